//! Tickets: one contract for every store, the stored data, and several replicas.

mod at_rest;
mod clocks;
mod closed_connections;
mod contract;
pub mod history;
mod kills;
mod look_ups;
mod max_per_caller;
mod race;
mod revoked_together;
mod served;
mod total_limit;
pub mod under_load;
mod unknown_outcome;

use crate::rig::postgres::{parse_postgres_url, postgres};
use claviger::audit::{AuditLog, ChainHasher, Event, EventCommitError};
use claviger::config::database::Url;
use claviger::config::tickets::{TicketStorage, Tickets as Settings};
use claviger::database::{Database, Step};
use claviger::metrics::Metrics;
use claviger::metrics::labels::{EventType, Outcome};
use claviger::model::branch::Branch;
use claviger::model::bundle::{Bundle, Entry};
use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::clock::SystemClock;
use claviger::model::idempotency_key::IdempotencyKey;
use claviger::model::policy_ref::PolicyRef;
use claviger::model::repo::Repo;
use claviger::model::secret::SecretValue;
use claviger::model::secret_ref::{SecretRef, SecretVersion};
use claviger::model::ticket::{TicketId, TicketToken};
use claviger::model::ticket_binding::TicketBinding;
use claviger::sealing::keys::RootKey;
use claviger::tickets::{FinalState, RedeemError, RedeemableTicket, Rejection, Ticket, Tickets};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const LIFE: SignedDuration = SignedDuration::from_secs(60);
const KEY: [u8; 32] = [7; 32];
/// The maximum number of waiting tickets of one caller.
const MAX_LIVE: usize = 8;

/// A database for tickets.
struct TestDatabase {
    url: Url,
    store: TicketStorage,
    _folder: Option<TempDir>,
}

/// A replica with its tickets, and with the audit log that commits their steps.
struct Replica {
    tickets: Tickets,
    audit: AuditLog,
    database: Database,
}

impl TestDatabase {
    fn memory() -> Self {
        Self { url: Url::SqliteMemory, store: TicketStorage::Memory, _folder: None }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: Url::SqliteFile(folder.path().join("claviger.db")),
            store: TicketStorage::Database,
            _folder: Some(folder),
        }
    }

    async fn postgres() -> Self {
        Self {
            url: Url::Postgres(parse_postgres_url(&postgres().database().await)),
            store: TicketStorage::Database,
            _folder: None,
        }
    }

    async fn replica(&self) -> Replica {
        self.replica_with_key(&KEY).await
    }

    async fn replica_with_key(&self, key: &[u8; 32]) -> Replica {
        let database = Database::open(&self.url).await.unwrap();
        let minutes = Duration::from_mins(2);
        let settings = Settings {
            ttl: minutes,
            max_ttl: minutes,
            binding: TicketBinding::None,
            store: self.store,
            max_live_per_pod: MAX_LIVE,
        };
        let tickets = Tickets::open(&settings, &database, &RootKey::new((*key).into())).unwrap();
        let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
        let (audit, _writer) =
            AuditLog::open(&database, false, ChainHasher::new(None, &[]), Arc::new(SystemClock), metrics)
                .await
                .unwrap();
        Replica { tickets, audit, database }
    }
}

impl Replica {
    /// Commits a step with an event, like the broker. Returns whether it took effect.
    async fn commit(&self, step: Step) -> bool {
        self.commit_as(EventType::TicketRedeemed, None, step).await
    }

    async fn commit_as(&self, kind: EventType, id: Option<TicketId>, step: Step) -> bool {
        let mut event = Event::new(kind, Outcome::Ok);
        event.ticket_id = id;
        match self.audit.commit(event, Some(step)).await {
            Ok(()) => true,
            Err(EventCommitError::Rejected(_)) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn issue(&self, ticket: &Ticket, token: &TicketToken, bundle: &Bundle) -> bool {
        let sealed = self.tickets.sealer.seal(bundle, token, ticket).unwrap();
        self.commit_as(EventType::TicketIssued, Some(ticket.id), self.tickets.store.step_to_issue(ticket, sealed, None))
            .await
    }

    /// Issues a ticket for a pod.
    async fn new_ticket(&self, pod: &str) -> TicketToken {
        let token = TicketToken::random().unwrap();
        assert!(self.issue(&ticket(&token, pod), &token, &bundle()).await);
        token
    }

    async fn end(&self, token: &TicketToken, ending: FinalState) -> bool {
        self.commit(self.tickets.store.step_to_end(token.ticket_id(), ending)).await
    }

    async fn redeem(&self, token: &TicketToken) -> bool {
        self.end(token, redeemed(None, token)).await
    }

    async fn present(&self, token: &TicketToken, at: Timestamp) -> Result<RedeemableTicket, Rejection> {
        self.present_again(token, None, at).await
    }

    async fn present_again(
        &self,
        token: &TicketToken,
        key: Option<&str>,
        at: Timestamp,
    ) -> Result<RedeemableTicket, Rejection> {
        let key = key.map(|key| IdempotencyKey::try_from(key).unwrap());
        match self.tickets.find_redeemable(token, key.as_ref(), at).await {
            Ok(presented) => Ok(presented),
            Err(RedeemError::Refused { rejection, ticket }) => {
                assert_eq!(ticket.is_some(), rejection != Rejection::Unknown);
                Err(rejection)
            }
            Err(RedeemError::Unavailable) => panic!("the store is available"),
        }
    }

    async fn rejection(&self, token: &TicketToken, at: Timestamp) -> Rejection {
        self.present(token, at).await.expect_err("it is refused")
    }

    async fn open_bundle(&self, token: &TicketToken, at: Timestamp) -> Bundle {
        let presented = self.present(token, at).await.unwrap();
        self.tickets.sealer.open(&presented.sealed, token).unwrap()
    }

    async fn overdue(&self, at: Timestamp) -> Vec<TicketId> {
        self.tickets.store.list_overdue(at).await.unwrap().iter().map(|ticket| ticket.id).collect()
    }

    async fn events(&self) -> i64 {
        let rows = self.database.run("SELECT count(*) FROM audit_events", &[]).await.unwrap();
        rows[0].number(0).unwrap()
    }
}

fn redeemed(key: Option<&str>, token: &TicketToken) -> FinalState {
    let replay = key.map(|key| IdempotencyKey::try_from(key).unwrap().digest(token.ticket_id()));
    FinalState::Redeemed { at: start(), replay_digest: replay.map(Box::new) }
}

fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50)
}

fn ticket(token: &TicketToken, pod: &str) -> Ticket {
    let secret = SecretRef { store: "vault".into(), path: "homelab/site/main".into() };
    Ticket {
        id: token.ticket_id(),
        caller: Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "system:serviceaccount:ci:build-bot".into(),
            groups: Vec::new(),
            unbound_account: None,
            workload: Some(Workload {
                namespace: "ci".into(),
                service_account: "build-bot".into(),
                pod: Pod { name: pod.into(), uid: format!("uid-{pod}") },
            }),
            claims: serde_json::Map::new(),
        }),
        repo: Repo::try_from("site").unwrap(),
        branch: Branch::try_from("main").unwrap(),
        policies: vec![PolicyRef { name: "site-builds".into(), revision: "7".into() }],
        keys: ["K".into()].into(),
        secrets: [SecretVersion { secret, version: Some("3".into()) }].into(),
        issued_at: start(),
        expires_at: start() + LIFE,
        binding: TicketBinding::Ip,
        source_ip: [127, 0, 0, 1].into(),
    }
}

fn bundle() -> Bundle {
    bundle_of("hunter2")
}

fn bundle_of(value: &str) -> Bundle {
    let entry = Entry { value: SecretValue::new(value.into()), named_by_policy: true, is_base64: false };
    Bundle { entries: [("K".to_owned(), entry)].into(), stale: true, versions: "v".into() }
}
