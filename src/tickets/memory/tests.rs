//! What a ticket's life looks like, and that no two redeemers share one.

use super::*;
use crate::model::binding::BindTo;
use crate::model::branch::Branch;
use crate::model::bundle::{Bundle, Entry};
use crate::model::caller::Caller;
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret::SecretValue;
use crate::tickets::seal::{SealError, Sealer};
use jiff::SignedDuration;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIFE: SignedDuration = SignedDuration::from_secs(60);

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
            claims: serde_json::Map::new(),
        }),
        repo: Repo::try_from("site").expect("a repo"),
        branch: Branch::try_from("main").expect("a branch"),
        policies: vec![PolicyRef { name: "p".into(), revision: "1".into() }],
        keys: vec!["K".into()],
        secrets: Vec::new(),
        issued_at: start(),
        expires_at: start() + LIFE,
        bind_to: BindTo::None,
        source_ip: [127, 0, 0, 1].into(),
    }
}

fn bundle() -> Bundle {
    let entry = Entry { value: SecretValue::new("hunter2".into()), named_by_policy: true };
    Bundle { entries: [("K".to_owned(), entry)].into(), stale: true, versions: "v".into() }
}

fn waiting(tickets: &Tickets, sealer: &Sealer) -> TicketToken {
    let token = TicketToken::random().expect("random bytes");
    let ticket = ticket(&token, "s");
    let sealed = sealer.seal(&bundle(), &token, &ticket).expect("sealed");
    tickets.insert(Arc::new(ticket), sealed).expect("room");
    token
}

fn fixture() -> (Tickets, Sealer, TicketToken) {
    let (tickets, sealer) = (Tickets::new(64), Sealer::new().expect("random bytes"));
    let token = waiting(&tickets, &sealer);
    (tickets, sealer, token)
}

#[test]
fn a_ticket_opens_for_its_token_and_is_taken_once() {
    let (tickets, sealer, token) = fixture();
    let (ticket, sealed) = tickets.peek(&token, start()).expect("it waits");
    assert_eq!(sealer.open(&sealed, &token, &ticket), Ok(bundle()));
    assert_eq!(tickets.take(token.ticket_id(), start()), Ok(()));
    assert_eq!(tickets.take(token.ticket_id(), start()), Err(Rejection::Redeemed { at: start() }));
    assert_eq!(tickets.peek(&token, start()).expect_err("taken").rejection, Rejection::Redeemed { at: start() });
    assert_eq!(tickets.waiting(), 0);
}

#[test]
fn of_many_racing_redeemers_one_takes_it() {
    let (tickets, _, token) = fixture();
    let winners = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                if tickets.take(token.ticket_id(), start()).is_ok() {
                    winners.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), 1);
}

#[test]
fn who_does_not_prove_the_key_learns_nothing() {
    let (tickets, _, token) = fixture();
    let stranger = TicketToken::random().expect("random bytes");
    let (id, key) = (token.to_url_segment(), stranger.to_url_segment());
    let forged = format!("{}.{}", &id[..22], &key[23..]).parse().expect("a canonical spelling");
    for token in [stranger, forged] {
        let refused = tickets.peek(&token, start()).expect_err("not proven");
        assert_eq!(refused.rejection, Rejection::Unknown);
        assert!(refused.ticket.is_none());
    }
    assert!(tickets.peek(&token, start()).is_ok());
}

#[test]
fn what_was_not_recorded_waits_again() {
    let (tickets, _, token) = fixture();
    tickets.take(token.ticket_id(), start()).expect("it waits");
    tickets.put_back(token.ticket_id());
    assert_eq!(tickets.waiting(), 1);
    assert!(tickets.peek(&token, start()).is_ok());
    tickets.withdraw(token.ticket_id());
    assert_eq!(tickets.waiting(), 0);
    assert_eq!(tickets.peek(&token, start()).expect_err("gone").rejection, Rejection::Unknown);
}

#[test]
fn a_ticket_expires_is_remembered_and_forgotten() {
    let (tickets, _, token) = fixture();
    let redeemed = waiting(&tickets, &Sealer::new().expect("random bytes"));
    tickets.take(redeemed.ticket_id(), start()).expect("it waits");
    let (expiry, end) = (start() + LIFE, start() + LIFE + SignedDuration::from_mins(5));
    let just_before = SignedDuration::from_nanos(-1);

    assert!(tickets.sweep(expiry + just_before).is_empty());
    assert!(tickets.peek(&token, expiry + just_before).is_ok());
    // Nobody needs the sweep to have come by.
    assert_eq!(tickets.peek(&token, expiry).expect_err("late").rejection, Rejection::Expired);
    let unredeemed: Vec<_> = tickets.sweep(expiry).iter().map(|ticket| ticket.id).collect();
    assert_eq!(unredeemed, [token.ticket_id()], "a redeemed ticket does not expire");
    assert!(tickets.sweep(expiry).is_empty(), "told twice");
    assert_eq!(tickets.waiting(), 0);
    tickets.put_back(redeemed.ticket_id());
    assert_eq!(tickets.waiting(), 0, "what has expired meanwhile does not come back");
    assert_eq!(tickets.peek(&redeemed, expiry).expect_err("late").rejection, Rejection::Expired);

    tickets.sweep(end + just_before);
    assert_eq!(tickets.peek(&token, end).expect_err("late").rejection, Rejection::Expired);
    tickets.sweep(end);
    for token in [token, redeemed] {
        assert_eq!(tickets.peek(&token, end).expect_err("forgotten").rejection, Rejection::Unknown);
    }
    let held = tickets.lock();
    assert_eq!(held.sealed_bytes, 0);
    assert!(held.tickets.is_empty() && held.to_expire.is_empty() && held.to_forget.is_empty() && held.live.is_empty());
}

#[test]
fn a_burned_ticket_says_so() {
    let (tickets, _, token) = fixture();
    assert_eq!(tickets.revoke(token.ticket_id()), Ok(()));
    assert_eq!(tickets.revoke(token.ticket_id()), Err(Rejection::Revoked));
    assert_eq!(tickets.take(token.ticket_id(), start()), Err(Rejection::Revoked));
    tickets.settle(token.ticket_id());
    assert_eq!(tickets.peek(&token, start()).expect_err("burned").rejection, Rejection::Revoked);
}

#[test]
fn one_callers_tickets_are_bounded_and_anothers_are_not() {
    let (tickets, sealer) = (Tickets::new(2), Sealer::new().expect("random bytes"));
    let tokens = [(); 2].map(|()| waiting(&tickets, &sealer));
    let insert = |subject| {
        let token = TicketToken::random().expect("random bytes");
        let ticket = ticket(&token, subject);
        let sealed = sealer.seal(&bundle(), &token, &ticket).expect("sealed");
        tickets.insert(Arc::new(ticket), sealed)
    };
    assert_eq!(insert("s"), Err(TooManyTickets));
    assert!(!tickets.has_room_for(&ticket(&tokens[0], "s").caller.identity()));
    assert_eq!(insert("other"), Ok(()));
    tickets.take(tokens[0].ticket_id(), start()).expect("it waits");
    assert_eq!(insert("s"), Ok(()));
}

#[test]
fn a_bundle_opens_only_for_the_ticket_and_epoch_it_was_sealed_for() {
    let (tickets, sealer, token) = fixture();
    let (ticket, sealed) = tickets.peek(&token, start()).expect("it waits");
    let changes: [fn(&mut Ticket); 6] = [
        |ticket| ticket.expires_at += LIFE,
        |ticket| ticket.bind_to = BindTo::Ip,
        |ticket| ticket.policies.clear(),
        |ticket| ticket.policies[0].revision = "2".into(),
        |ticket| ticket.policies[0] = PolicyRef { name: "p1".into(), revision: "".into() },
        |ticket| Arc::make_mut(&mut ticket.caller).subject.push('2'),
    ];
    for change in changes {
        let mut edited = (*ticket).clone();
        change(&mut edited);
        assert_eq!(sealer.open(&sealed, &token, &edited), Err(SealError::DoesNotOpen), "{edited:?}");
    }
    let other = TicketToken::random().expect("random bytes");
    assert_eq!(sealer.open(&sealed, &other, &ticket), Err(SealError::DoesNotOpen));
    let restarted = Sealer::new().expect("random bytes");
    assert_eq!(restarted.open(&sealed, &token, &ticket), Err(SealError::DoesNotOpen));
    assert_eq!(sealer.open(&sealed, &token, &ticket), Ok(bundle()));
}

#[test]
fn all_bundles_together_are_bounded_in_bytes() {
    let (tickets, sealer) = (Tickets::new(64), Sealer::new().expect("random bytes"));
    let value = "x".repeat(MAX_SEALED_BYTES / 4);
    let entry = Entry { value: SecretValue::new(value), named_by_policy: true };
    let large = Bundle { entries: [("K".to_owned(), entry)].into(), ..Bundle::default() };
    let insert = |subject: &str| {
        let token = TicketToken::random().expect("random bytes");
        let ticket = ticket(&token, subject);
        let sealed = sealer.seal(&large, &token, &ticket).expect("sealed");
        tickets.insert(Arc::new(ticket), sealed).map(|()| token.ticket_id())
    };
    // A seal is a little larger than what is in it, so that the fourth quarter does not fit.
    let ids = ["a", "b", "c"].map(|subject| insert(subject).expect("room"));
    assert_eq!(insert("d"), Err(TooManyTickets));
    tickets.take(ids[0], start()).expect("it waits");
    assert_eq!(insert("d"), Err(TooManyTickets), "it may have to be put back");
    tickets.settle(ids[0]);
    tickets.settle(ids[0]);
    assert!(insert("d").is_ok());
    tickets.withdraw(ids[1]);
    assert!(insert("e").is_ok());
}
