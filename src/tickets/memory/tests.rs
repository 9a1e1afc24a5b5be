//! Unit tests of the memory store. The integration tests check the contract of both stores.

use super::*;
use crate::config::database::Url;
use crate::database::Database;
use crate::model::branch::Branch;
use crate::model::bundle::{Bundle, Entry};
use crate::model::caller::Caller;
use crate::model::repo::Repo;
use crate::model::secret::SecretValue;
use crate::model::ticket::TicketToken;
use crate::model::ticket_binding::TicketBinding;
use crate::tickets::seal::TicketSealer;
use jiff::SignedDuration;

const LIFE: SignedDuration = SignedDuration::from_secs(60);
/// Two bundles of this size fit into a caller's limit.
const LARGE: usize = 15 << 20;

/// A store, and functions that run steps like the audit log.
struct TestStore {
    store: MemoryTicketStore,
    database: Database,
    sealer: TicketSealer,
}

impl TestStore {
    async fn new() -> Self {
        let database = Database::open(&Url::SqliteMemory).await.expect("opens");
        Self { store: MemoryTicketStore::new(64), database, sealer: TicketSealer::new_random().expect("random bytes") }
    }

    /// Runs a step and ends it; `committed` is the outcome of the event. Returns whether the step was accepted.
    async fn run_and_end(&self, step: Step, committed: bool) -> bool {
        let accepted = self.run(&step).await;
        if accepted {
            step.runner().on_end(&[&step], committed);
        }
        accepted
    }

    async fn run(&self, step: &Step) -> bool {
        step.runner().run(&mut self.database.begin_lazily(), &[step]).await.expect("in memory")[0]
    }

    async fn issue(&self, subject: &str, bytes: usize, committed: bool) -> Option<TicketToken> {
        self.issue_with(subject, None, bytes, committed).await
    }

    /// Issues a ticket for a token with this ID.
    async fn issue_with(
        &self,
        subject: &str,
        jti: Option<usize>,
        bytes: usize,
        committed: bool,
    ) -> Option<TicketToken> {
        let token = TicketToken::random().expect("random bytes");
        let mut ticket = ticket(&token, subject);
        if let Some(jti) = jti {
            let mut caller = (*ticket.caller).clone();
            caller.claims.insert("jti".into(), jti.to_string().into());
            ticket.caller = Arc::new(caller);
        }
        let entry = Entry { value: SecretValue::new("x".repeat(bytes)), named_by_policy: true, is_base64: false };
        let bundle = Bundle { entries: [("K".to_owned(), entry)].into(), ..Bundle::default() };
        let sealed = self.sealer.seal(&bundle, &token, &ticket).expect("sealed");
        self.run_and_end(self.store.step_to_issue(&ticket, sealed, None), committed).await.then_some(token)
    }

    async fn state(&self, token: &TicketToken) -> Option<TicketState> {
        self.store.find(token.ticket_id()).await.expect("in memory").map(|found| found.state)
    }
}

fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn ticket(token: &TicketToken, subject: &str) -> Ticket {
    Ticket {
        id: token.ticket_id(),
        caller: Arc::new(Caller {
            issuer: "dev".into(),
            subject: subject.into(),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: serde_json::Map::new(),
        }),
        repo: Repo::try_from("site").expect("a repo"),
        branch: Branch::try_from("main").expect("a branch"),
        policies: Vec::new(),
        keys: ["K".into()].into(),
        secrets: [].into(),
        issued_at: start(),
        expires_at: start() + LIFE,
        binding: TicketBinding::None,
        source_ip: [127, 0, 0, 1].into(),
    }
}

fn redeemed() -> FinalState {
    FinalState::Redeemed { at: start(), replay_digest: None }
}

#[tokio::test]
async fn until_an_end_is_durable_the_ticket_is_waiting_and_no_other_end_begins() {
    let test = TestStore::new().await;
    let token = test.issue("s", 1, true).await.expect("within the limits");
    let first = test.store.step_to_end(token.ticket_id(), redeemed());
    assert!(test.run(&first).await);
    assert_eq!(test.state(&token).await, Some(TicketState::Waiting));
    assert!(!test.run_and_end(test.store.step_to_end(token.ticket_id(), FinalState::Revoked), true).await);
    first.runner().on_end(&[&first], false);
    assert_eq!(test.state(&token).await, Some(TicketState::Waiting), "the event was not durable");
    assert!(test.run_and_end(test.store.step_to_end(token.ticket_id(), redeemed()), true).await);
    assert_eq!(test.state(&token).await, Some(TicketState::Redeemed { at: start(), replay_digest: None }));
}

#[tokio::test]
async fn a_ticket_is_overdue_after_a_redemption_that_failed() {
    let test = TestStore::new().await;
    let token = test.issue("s", 1, true).await.expect("within the limits");
    let redemption = test.store.step_to_end(token.ticket_id(), redeemed());
    assert!(test.run(&redemption).await);
    assert!(test.store.list_overdue(start() + LIFE).await.expect("in memory").is_empty());
    redemption.runner().on_end(&[&redemption], false);
    let overdue = test.store.list_overdue(start() + LIFE).await.expect("in memory");
    assert_eq!(overdue.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [token.ticket_id()]);
}

#[tokio::test]
async fn a_ticket_whose_issue_is_not_durable_is_never_found() {
    let test = TestStore::new().await;
    let token = TicketToken::random().expect("random bytes");
    let ticket = ticket(&token, "s");
    let sealed = test.sealer.seal(&Bundle::default(), &token, &ticket).expect("sealed");
    let step = test.store.step_to_issue(&ticket, sealed, None);
    assert!(test.run(&step).await);
    assert_eq!(test.state(&token).await, None);
    step.runner().on_end(&[&step], false);
    assert_eq!(test.state(&token).await, None);
    let table = test.store.0.lock();
    assert!(
        table.records.is_empty() && table.callers.is_empty() && table.quota_bytes.is_empty() && table.sealed_bytes == 0
    );
}

#[tokio::test]
async fn all_tables_are_empty_after_the_retention() {
    let test = TestStore::new().await;
    for ending in [
        redeemed(),
        FinalState::Revoked,
        FinalState::Expired,
        FinalState::Redeemed { at: start(), replay_digest: Some(Box::new([7; 32])) },
    ] {
        let token = test.issue("s", 100, true).await.expect("within the limits");
        assert!(test.run_and_end(test.store.step_to_end(token.ticket_id(), ending), true).await);
    }
    assert!(test.store.0.lock().sealed_bytes > 100, "one download may be repeated");
    test.store.tidy(start() + SignedDuration::from_secs(30)).await.expect("in memory");
    assert_eq!(test.store.0.lock().sealed_bytes, 0);
    let end = start() + LIFE + SignedDuration::from_mins(5);
    test.store.tidy(end - SignedDuration::from_nanos(1)).await.expect("in memory");
    assert_eq!(test.store.0.lock().records.len(), 4);
    test.store.tidy(end).await.expect("in memory");
    let table = test.store.0.lock();
    assert!(table.records.is_empty() && table.by_expiry.is_empty() && table.by_age.is_empty());
    assert!(table.by_removal_second.is_empty() && table.by_replay_end.is_empty());
    assert!(table.callers.is_empty() && table.quota_bytes.is_empty());
}

#[tokio::test]
async fn total_size_of_bundles_is_bounded() {
    let test = TestStore::new().await;
    // Two bundles fit into a caller's limit, and 17 into the total.
    let mut tokens = Vec::new();
    for caller in 0..8 {
        for _ in 0..2 {
            tokens.push(test.issue(&caller.to_string(), LARGE, true).await.expect("within the limits"));
        }
    }
    assert!(test.issue("0", LARGE, true).await.is_none(), "more than the limit of a caller");
    tokens.push(test.issue("8", LARGE, true).await.expect("within the limits"));
    assert!(test.issue("9", LARGE, true).await.is_none(), "more than the total allows");
    let redemption = test.store.step_to_end(tokens[0].ticket_id(), redeemed());
    assert!(test.run(&redemption).await);
    assert!(test.issue("9", LARGE, true).await.is_none(), "the redemption may still fail");
    redemption.runner().on_end(&[&redemption], true);
    assert!(test.issue("9", LARGE, true).await.is_some());
}

#[tokio::test]
async fn tokens_of_one_subject_share_its_limit_of_bytes() {
    let test = TestStore::new().await;
    let mut tokens = Vec::new();
    for jti in 0..20 {
        tokens.extend(test.issue_with("minter", Some(jti), LARGE, true).await);
    }
    assert_eq!(tokens.len(), 2, "as many as for one token");
    assert!(test.issue("another", LARGE, true).await.is_some());
    // Small bundles count separately for each token.
    for jti in 0..64 {
        assert!(test.issue_with("minter", Some(100 + jti / 32), 1, true).await.is_some(), "{jti}");
    }
    assert!(test.run_and_end(test.store.step_to_end(tokens[0].ticket_id(), FinalState::Revoked), true).await);
    assert!(test.issue_with("minter", Some(7), LARGE, true).await.is_some(), "below the limit again");
    assert!(test.issue_with("minter", Some(8), LARGE, true).await.is_none());
}

#[tokio::test]
async fn tickets_of_a_caller_share_equal_bytes_and_decode_to_the_same_tickets() {
    let test = TestStore::new().await;
    let (first, second) = (test.issue("s", 1, true).await, test.issue("s", 1, true).await);
    let (first, second) = (first.expect("within the limits"), second.expect("within the limits"));
    let other = test.issue("another", 1, true).await.expect("within the limits");
    let shared = |token: &TicketToken| test.store.0.lock().records[&token.ticket_id()].encoded_ticket.shared().clone();
    assert!(Arc::ptr_eq(&shared(&first), &shared(&second)));
    assert!(!Arc::ptr_eq(&shared(&first), &shared(&other)));
    for (token, subject) in [(first, "s"), (second, "s"), (other, "another")] {
        let found = test.store.find(token.ticket_id()).await.expect("in memory").expect("a ticket");
        assert_eq!(found.ticket, ticket(&token, subject));
        assert!(test.sealer.open(&found.sealed, &token).is_ok());
    }
}

#[tokio::test]
async fn ended_tickets_are_bounded_for_each_caller() {
    let test = TestStore::new().await;
    let ended = async |subject: &str| {
        let token = test.issue(subject, 10, true).await.expect("within the limits");
        let ending = FinalState::Redeemed { at: start(), replay_digest: None };
        assert!(test.run_and_end(test.store.step_to_end(token.ticket_id(), ending), true).await);
        token
    };
    let honest = ended("honest").await;
    let mut flood = Vec::new();
    for _ in 0..3000 {
        flood.push(ended("flood").await);
    }
    assert_eq!(test.store.0.lock().records.len(), 1 + 1024);
    assert_eq!(test.store.0.lock().by_removal_second.len(), 1 + 1024);
    assert_eq!(test.state(&flood[0]).await, None);
    for token in [&honest, &flood[2999], &flood[3000 - 1024]] {
        assert!(matches!(test.state(token).await, Some(TicketState::Redeemed { .. })));
    }
    test.store.tidy(start() + SignedDuration::from_hours(1)).await.expect("in memory");
    let table = test.store.0.lock();
    assert!(table.records.is_empty() && table.by_removal_second.is_empty() && table.callers.is_empty());
}
