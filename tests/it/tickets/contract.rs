//! The contract of every ticket store.

use super::*;
use claviger::tickets::ListPosition as ListPlace;
use claviger::tickets::MAX_BYTES_PER_CALLER;
use futures_util::future::join_all;

/// Runs the tests below for every store.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(&super::TestDatabase::memory()).await; })+ }
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(&super::TestDatabase::sqlite()).await; })+ }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(&super::TestDatabase::postgres().await).await; })+ }
    };
}

contract! {
    a_ticket_can_be_opened_with_its_token_and_ended_once,
    one_of_many_concurrent_ends_succeeds,
    a_wrong_key_is_rejected_like_an_unknown_ticket,
    a_ticket_expires_once_and_its_state_is_deleted_after_the_retention_time,
    a_revoked_ticket_is_rejected_as_revoked,
    a_download_can_be_repeated_for_30_seconds_with_its_idempotency_key,
    the_number_of_waiting_tickets_is_limited_per_caller,
    the_total_size_of_bundles_is_limited_per_caller,
    waiting_tickets_are_listed_newest_first,
    a_hundred_concurrent_tickets_are_all_issued_and_redeemed,
}

async fn a_ticket_can_be_opened_with_its_token_and_ended_once(db: &TestDatabase) {
    let replica = db.replica().await;
    let token = replica.new_ticket("a").await;
    let presented = replica.present(&token, start()).await.unwrap();
    assert_eq!((*presented.ticket).clone(), ticket(&token, "a"), "the ticket is stored as it was issued");
    assert_eq!(presented.redeemed_at, None);
    assert_eq!(replica.open_bundle(&token, start()).await, bundle());
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(1));
    assert!(replica.redeem(&token).await);
    assert!(!replica.redeem(&token).await);
    assert!(!replica.end(&token, FinalState::Revoked).await);
    assert_eq!(replica.rejection(&token, start()).await, Rejection::Redeemed { at: start() });
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));
    assert_eq!(replica.events().await, 2, "only the successful steps have events");
}

async fn one_of_many_concurrent_ends_succeeds(db: &TestDatabase) {
    let replica = db.replica().await;
    for _ in 0..5 {
        let token = replica.new_ticket("a").await;
        let before = replica.events().await;
        let racers = (0..64).map(|racer| {
            let ending = match racer % 3 {
                0 => redeemed(None, &token),
                1 => FinalState::Revoked,
                _ => FinalState::Expired,
            };
            replica.end(&token, ending)
        });
        assert_eq!(join_all(racers).await.into_iter().filter(|won| *won).count(), 1);
        assert_eq!(replica.events().await, before + 1);
    }
}

async fn a_wrong_key_is_rejected_like_an_unknown_ticket(db: &TestDatabase) {
    let replica = db.replica().await;
    let token = replica.new_ticket("a").await;
    let stranger = TicketToken::random().unwrap();
    let (id, key) = (token.to_url_segment(), stranger.to_url_segment());
    let forged = format!("{}.{}", &id[..22], &key[23..]).parse().unwrap();
    for wrong in [&stranger, &forged] {
        assert_eq!(replica.rejection(wrong, start()).await, Rejection::Unknown);
    }
    assert!(replica.redeem(&token).await);
    for wrong in [&stranger, &forged] {
        assert_eq!(replica.rejection(wrong, start()).await, Rejection::Unknown);
        assert!(!replica.redeem(&stranger).await, "an unknown ticket cannot be ended");
    }
}

async fn a_ticket_expires_once_and_its_state_is_deleted_after_the_retention_time(db: &TestDatabase) {
    let replica = db.replica().await;
    let (token, redeemed) = (replica.new_ticket("a").await, replica.new_ticket("b").await);
    assert!(replica.redeem(&redeemed).await);
    let (expiry, just_before) = (start() + LIFE, SignedDuration::from_micros(-1));

    assert_eq!(replica.overdue(expiry + just_before).await, []);
    assert!(replica.present(&token, expiry + just_before).await.is_ok());
    // It is expired even if no upkeep has ended it yet.
    assert_eq!(replica.rejection(&token, expiry).await, Rejection::Expired);
    assert_eq!(replica.overdue(expiry).await, [token.ticket_id()], "a redeemed ticket does not expire");
    assert_eq!(replica.overdue(expiry).await, [token.ticket_id()], "an expired ticket is listed until it is ended");
    assert!(replica.end(&token, FinalState::Expired).await);
    assert!(!replica.end(&token, FinalState::Expired).await);
    assert_eq!(replica.overdue(expiry).await, []);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));

    let end = expiry + replica.tickets.store.state_retention();
    for at in [expiry, end + just_before] {
        replica.tickets.store.tidy(at).await.unwrap();
        assert_eq!(replica.rejection(&token, at).await, Rejection::Expired);
        assert_eq!(replica.rejection(&redeemed, at).await, Rejection::Redeemed { at: start() });
    }
    assert_eq!(replica.rejection(&token, end).await, Rejection::Unknown);
    replica.tickets.store.tidy(end).await.unwrap();
    for token in [token, redeemed] {
        assert_eq!(replica.rejection(&token, start()).await, Rejection::Unknown, "the ticket is deleted");
    }
}

async fn a_revoked_ticket_is_rejected_as_revoked(db: &TestDatabase) {
    let replica = db.replica().await;
    let token = replica.new_ticket("a").await;
    assert!(replica.end(&token, FinalState::Revoked).await);
    assert!(!replica.redeem(&token).await);
    assert_eq!(replica.rejection(&token, start()).await, Rejection::Revoked);
    let expiry = start() + LIFE;
    assert_eq!(replica.overdue(expiry).await, []);
    assert_eq!(replica.rejection(&token, expiry).await, Rejection::Revoked);
}

async fn a_download_can_be_repeated_for_30_seconds_with_its_idempotency_key(db: &TestDatabase) {
    let replica = db.replica().await;
    let (token, plain) = (replica.new_ticket("a").await, replica.new_ticket("a").await);
    assert!(replica.end(&token, redeemed(Some("k"), &token)).await);
    assert!(replica.redeem(&plain).await);
    let again = async |token, key, at| replica.present_again(token, key, at).await.map(|shown| shown.redeemed_at);
    let gone = || Err(Rejection::Redeemed { at: start() });
    assert_eq!(again(&token, Some("k"), start()).await, Ok(Some(start())));
    assert_eq!(again(&token, Some("other"), start()).await, gone());
    assert_eq!(again(&token, None, start()).await, gone());
    assert_eq!(again(&plain, Some("k"), start()).await, gone(), "the first redemption had no idempotency key");

    let last = start() + SignedDuration::from_secs(30);
    let just_before = last - SignedDuration::from_micros(1);
    replica.tickets.store.tidy(just_before).await.unwrap();
    let shown = replica.present_again(&token, Some("k"), just_before).await.unwrap();
    assert_eq!(replica.tickets.sealer.open(&shown.sealed, &token), Ok(bundle()));
    assert_eq!(again(&token, Some("k"), last).await, gone());
    replica.tickets.store.tidy(last).await.unwrap();
    assert_eq!(again(&token, Some("k"), just_before).await, gone(), "the bundle is deleted");
    assert!(!replica.end(&token, redeemed(Some("k"), &token)).await);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));

    // No repetition after the expiry.
    let token = TicketToken::random().unwrap();
    let mut short = ticket(&token, "a");
    short.expires_at = start() + SignedDuration::from_secs(5);
    assert!(replica.issue(&short, &token, &bundle()).await);
    assert!(replica.end(&token, redeemed(Some("k"), &token)).await);
    assert_eq!(again(&token, Some("k"), start()).await, Ok(Some(start())));
    assert_eq!(again(&token, Some("k"), short.expires_at).await, gone());
    replica.tickets.store.tidy(short.expires_at).await.unwrap();
    assert_eq!(again(&token, Some("k"), start()).await, gone(), "the bundle is deleted");
}

async fn the_number_of_waiting_tickets_is_limited_per_caller(db: &TestDatabase) {
    let replica = db.replica().await;
    let asks = (0..3 * MAX_LIVE).map(|_| async {
        let token = TicketToken::random().unwrap();
        replica.issue(&ticket(&token, "greedy"), &token, &bundle()).await.then_some(token)
    });
    let tokens: Vec<TicketToken> = join_all(asks).await.into_iter().flatten().collect();
    assert_eq!(tokens.len(), MAX_LIVE);
    replica.new_ticket("other").await;
    let one_more = async || {
        let token = TicketToken::random().unwrap();
        replica.issue(&ticket(&token, "greedy"), &token, &bundle()).await
    };
    assert!(!one_more().await);
    assert!(replica.redeem(&tokens[0]).await);
    assert!(one_more().await);
    assert!(!one_more().await);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(MAX_LIVE + 1));
}

async fn the_total_size_of_bundles_is_limited_per_caller(db: &TestDatabase) {
    let replica = db.replica().await;
    // Two bundles fit; the third does not.
    let large = bundle_of(&"x".repeat(MAX_BYTES_PER_CALLER * 2 / 5));
    let issue = async |pod: &str, bundle: &Bundle| {
        let token = TicketToken::random().unwrap();
        replica.issue(&ticket(&token, pod), &token, bundle).await.then_some(token)
    };
    let first = issue("greedy", &large).await.expect("room");
    assert!(issue("greedy", &large).await.is_some());
    assert!(issue("greedy", &large).await.is_none());
    assert!(issue("greedy", &bundle()).await.is_some(), "a small bundle fits");
    assert!(issue("other", &large).await.is_some());
    assert!(replica.end(&first, redeemed(Some("k"), &first)).await);
    assert!(issue("greedy", &large).await.is_none(), "the redeemed bundle still counts");
    replica.tickets.store.tidy(start() + SignedDuration::from_secs(30)).await.unwrap();
    assert!(issue("greedy", &large).await.is_some());
}

async fn waiting_tickets_are_listed_newest_first(db: &TestDatabase) {
    let replica = db.replica().await;
    let mut ids = Vec::new();
    for second in 0..7 {
        let token = TicketToken::random().unwrap();
        let mut ticket = ticket(&token, &second.to_string());
        ticket.issued_at += SignedDuration::from_secs(second);
        ticket.expires_at = ticket.issued_at + LIFE;
        assert!(replica.issue(&ticket, &token, &bundle()).await);
        if second == 3 {
            assert!(replica.redeem(&token).await);
        } else {
            ids.insert(0, token.ticket_id());
        }
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = replica.tickets.store.list_waiting(start(), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(ListPlace { issued_at: last.issued_at.as_microsecond(), id: last.id });
        listed.extend(page.iter().map(|ticket| ticket.id));
    }
    assert_eq!(listed, ids);
    let at = start() + LIFE + SignedDuration::from_secs(1);
    let left = replica.tickets.store.list_waiting(at, None, 100).await.unwrap();
    assert_eq!(left.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), ids[..4], "expired tickets are not listed");
}

async fn a_hundred_concurrent_tickets_are_all_issued_and_redeemed(db: &TestDatabase) {
    let replica = db.replica().await;
    let lives = (0..100).map(|pod: usize| {
        let replica = &replica;
        async move {
            let token = replica.new_ticket(&pod.to_string()).await;
            assert_eq!(replica.open_bundle(&token, start()).await, bundle());
            let ends = join_all([replica.redeem(&token), replica.redeem(&token)]).await;
            assert_eq!(ends.into_iter().filter(|won| *won).count(), 1);
            assert_eq!(replica.rejection(&token, start()).await, Rejection::Redeemed { at: start() });
        }
    });
    join_all(lives).await;
    assert_eq!(replica.events().await, 200);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));
}
