//! Tests of the store in memory only; the contract of all stores is in the integration tests.

use super::*;
use crate::config::database::Url;
use crate::database::Database;
use crate::model::binding::BindTo;
use crate::model::branch::Branch;
use crate::model::bundle::{Bundle, Entry};
use crate::model::caller::Caller;
use crate::model::repo::Repo;
use crate::model::secret::SecretValue;
use crate::model::ticket::TicketToken;
use crate::tickets::seal::TicketSealer;
use jiff::SignedDuration;

const LIFE: SignedDuration = SignedDuration::from_secs(60);
/// Two bundles of this size fit into a caller's limit.
const LARGE: usize = 15 << 20;

/// A store, and a writer that runs steps like the audit log.
struct Bench {
    memory: Memory,
    database: Database,
    sealer: TicketSealer,
}

impl Bench {
    async fn new() -> Self {
        let database = Database::open(&Url::SqliteMemory).await.expect("opens");
        Self { memory: Memory::new(64), database, sealer: TicketSealer::new().expect("random bytes") }
    }

    /// Runs a step; `committed` is the outcome of the event.
    async fn does(&self, step: Step, committed: bool) -> bool {
        let could = self.begins(&step).await;
        if could {
            step.runner().ended(&[&step], committed);
        }
        could
    }

    async fn begins(&self, step: &Step) -> bool {
        step.runner().run(&mut self.database.begin_later(), &[step]).await.expect("memory")[0]
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
        self.does(self.memory.issuing(&ticket, sealed, None), committed).await.then_some(token)
    }

    async fn state(&self, token: &TicketToken) -> Option<TicketState> {
        self.memory.find(token.ticket_id()).await.expect("memory").map(|found| found.state)
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
            unbound: None,
            claims: serde_json::Map::new(),
        }),
        repo: Repo::try_from("site").expect("a repo"),
        branch: Branch::try_from("main").expect("a branch"),
        policies: Vec::new(),
        keys: vec!["K".into()],
        secrets: Vec::new(),
        issued_at: start(),
        expires_at: start() + LIFE,
        bind_to: BindTo::None,
        source_ip: [127, 0, 0, 1].into(),
    }
}

fn redeemed() -> Ending {
    Ending::Redeemed { at: start(), replay: None }
}

#[tokio::test]
async fn while_an_ending_is_not_durable_nobody_hears_of_it_and_no_other_begins() {
    let bench = Bench::new().await;
    let token = bench.issue("s", 1, true).await.expect("room");
    let first = bench.memory.ending(token.ticket_id(), redeemed());
    assert!(bench.begins(&first).await);
    assert_eq!(bench.state(&token).await, Some(TicketState::Waiting));
    assert!(!bench.does(bench.memory.ending(token.ticket_id(), Ending::Revoked), true).await);
    first.runner().ended(&[&first], false);
    assert_eq!(bench.state(&token).await, Some(TicketState::Waiting), "it was not recorded, so it did not happen");
    assert!(bench.does(bench.memory.ending(token.ticket_id(), redeemed()), true).await);
    assert_eq!(bench.state(&token).await, Some(TicketState::Redeemed { at: start(), replay: None }));
}

#[tokio::test]
async fn what_expires_while_it_is_being_redeemed_in_vain_still_expires() {
    let bench = Bench::new().await;
    let token = bench.issue("s", 1, true).await.expect("room");
    let redemption = bench.memory.ending(token.ticket_id(), redeemed());
    assert!(bench.begins(&redemption).await);
    assert!(bench.memory.overdue(start() + LIFE).await.expect("memory").is_empty());
    redemption.runner().ended(&[&redemption], false);
    let overdue = bench.memory.overdue(start() + LIFE).await.expect("memory");
    assert_eq!(overdue.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [token.ticket_id()]);
}

#[tokio::test]
async fn what_was_not_recorded_as_issued_was_never_there() {
    let bench = Bench::new().await;
    let token = TicketToken::random().expect("random bytes");
    let ticket = ticket(&token, "s");
    let sealed = bench.sealer.seal(&Bundle::default(), &token, &ticket).expect("sealed");
    let step = bench.memory.issuing(&ticket, sealed, None);
    assert!(bench.begins(&step).await);
    assert_eq!(bench.state(&token).await, None);
    step.runner().ended(&[&step], false);
    assert_eq!(bench.state(&token).await, None);
    let held = bench.memory.0.lock();
    assert!(held.slots.is_empty() && held.callers.is_empty() && held.accounts.is_empty() && held.sealed_bytes == 0);
}

#[tokio::test]
async fn in_the_end_nothing_is_left() {
    let bench = Bench::new().await;
    for ending in [
        redeemed(),
        Ending::Revoked,
        Ending::Expired,
        Ending::Redeemed { at: start(), replay: Some(Box::new([7; 32])) },
    ] {
        let token = bench.issue("s", 100, true).await.expect("room");
        assert!(bench.does(bench.memory.ending(token.ticket_id(), ending), true).await);
    }
    assert!(bench.memory.0.lock().sealed_bytes > 100, "one may be repeated");
    bench.memory.forget(start() + SignedDuration::from_secs(30)).await.expect("memory");
    assert_eq!(bench.memory.0.lock().sealed_bytes, 0);
    let end = start() + LIFE + SignedDuration::from_mins(5);
    bench.memory.forget(end - SignedDuration::from_nanos(1)).await.expect("memory");
    assert_eq!(bench.memory.0.lock().slots.len(), 4);
    bench.memory.forget(end).await.expect("memory");
    let held = bench.memory.0.lock();
    assert!(held.slots.is_empty() && held.by_expiry.is_empty() && held.by_age.is_empty());
    assert!(held.ends.is_empty() && held.replays.is_empty());
    assert!(held.callers.is_empty() && held.accounts.is_empty());
}

#[tokio::test]
async fn all_bundles_together_are_bounded_in_bytes() {
    let bench = Bench::new().await;
    // Two bundles fit into a caller's limit, and a little more than a dozen into the total.
    let mut tokens = Vec::new();
    for caller in 0..8 {
        for _ in 0..2 {
            tokens.push(bench.issue(&caller.to_string(), LARGE, true).await.expect("room"));
        }
    }
    assert!(bench.issue("0", LARGE, true).await.is_none(), "more than one caller may have");
    tokens.push(bench.issue("8", LARGE, true).await.expect("room"));
    assert!(bench.issue("9", LARGE, true).await.is_none(), "more than there is room for");
    let redemption = bench.memory.ending(tokens[0].ticket_id(), redeemed());
    assert!(bench.begins(&redemption).await);
    assert!(bench.issue("9", LARGE, true).await.is_none(), "it may turn out to wait on");
    redemption.runner().ended(&[&redemption], true);
    assert!(bench.issue("9", LARGE, true).await.is_some());
}

#[tokio::test]
async fn who_mints_tokens_fills_one_share_of_bytes_and_others_keep_theirs() {
    let bench = Bench::new().await;
    let mut tokens = Vec::new();
    for jti in 0..20 {
        tokens.extend(bench.issue_with("minter", Some(jti), LARGE, true).await);
    }
    assert_eq!(tokens.len(), 2, "as many as one token would have had");
    assert!(bench.issue("another", LARGE, true).await.is_some());
    // Small bundles count separately for each token.
    for jti in 0..64 {
        assert!(bench.issue_with("minter", Some(100 + jti / 32), 1, true).await.is_some(), "{jti}");
    }
    assert!(bench.does(bench.memory.ending(tokens[0].ticket_id(), Ending::Revoked), true).await);
    assert!(bench.issue_with("minter", Some(7), LARGE, true).await.is_some(), "there is room again");
    assert!(bench.issue_with("minter", Some(8), LARGE, true).await.is_none());
}

#[tokio::test]
async fn what_tickets_of_a_caller_have_in_common_is_held_once_and_each_comes_back_whole() {
    let bench = Bench::new().await;
    let (first, second) = (bench.issue("s", 1, true).await, bench.issue("s", 1, true).await);
    let (first, second) = (first.expect("room"), second.expect("room"));
    let other = bench.issue("another", 1, true).await.expect("room");
    let shared = |token: &TicketToken| bench.memory.0.lock().slots[&token.ticket_id()].details.shared().clone();
    assert!(Arc::ptr_eq(&shared(&first), &shared(&second)));
    assert!(!Arc::ptr_eq(&shared(&first), &shared(&other)));
    for (token, subject) in [(first, "s"), (second, "s"), (other, "another")] {
        let found = bench.memory.find(token.ticket_id()).await.expect("memory").expect("a ticket");
        assert_eq!(found.ticket, ticket(&token, subject));
        assert!(bench.sealer.open(&found.sealed, &token).is_ok());
    }
}

#[tokio::test]
async fn what_has_ended_is_bounded_for_each_caller_and_others_are_told_what_became_of_theirs() {
    let bench = Bench::new().await;
    let ended = async |subject: &str| {
        let token = bench.issue(subject, 10, true).await.expect("room");
        let ending = Ending::Redeemed { at: start(), replay: None };
        assert!(bench.does(bench.memory.ending(token.ticket_id(), ending), true).await);
        token
    };
    let honest = ended("honest").await;
    let mut flood = Vec::new();
    for _ in 0..3000 {
        flood.push(ended("flood").await);
    }
    assert_eq!(bench.memory.0.lock().slots.len(), 1 + 1024);
    assert_eq!(bench.memory.0.lock().ends.len(), 1 + 1024);
    assert_eq!(bench.state(&flood[0]).await, None);
    for told in [&honest, &flood[2999], &flood[3000 - 1024]] {
        assert!(matches!(bench.state(told).await, Some(TicketState::Redeemed { .. })));
    }
    bench.memory.forget(start() + SignedDuration::from_hours(1)).await.expect("memory");
    let held = bench.memory.0.lock();
    assert!(held.slots.is_empty() && held.ends.is_empty() && held.callers.is_empty());
}
