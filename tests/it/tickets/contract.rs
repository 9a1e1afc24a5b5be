//! The contract of every ticket store.

use super::*;
use claviger::tickets::ListPosition as ListPlace;
use claviger::tickets::MAX_BYTES_PER_CALLER;
use futures_util::future::join_all;

/// Runs the tests below for every store.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(&super::Place::memory()).await; })+ }
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(&super::Place::sqlite()).await; })+ }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(&super::Place::postgres().await).await; })+ }
    };
}

contract! {
    a_ticket_opens_for_its_token_and_ends_once,
    of_many_who_race_one_ends_it,
    who_does_not_prove_the_key_learns_nothing,
    a_ticket_expires_once_and_is_remembered_and_forgotten,
    a_revoked_ticket_says_so,
    the_same_redeemer_may_repeat_a_download_for_a_while,
    one_callers_tickets_are_bounded_and_anothers_are_not,
    one_callers_bundles_are_bounded_in_bytes,
    what_waits_is_listed_newest_first,
    a_hundred_at_once_are_as_good_as_one_after_the_other,
}

async fn a_ticket_opens_for_its_token_and_ends_once(place: &Place) {
    let replica = place.replica().await;
    let token = replica.waiting("a").await;
    let presented = replica.presented(&token, start()).await.unwrap();
    assert_eq!((*presented.ticket).clone(), ticket(&token, "a"), "as it was issued");
    assert_eq!(presented.redeemed_at, None);
    assert_eq!(replica.opens(&token, start()).await, bundle());
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(1));
    assert!(replica.redeems(&token).await);
    assert!(!replica.redeems(&token).await);
    assert!(!replica.ends(&token, FinalState::Revoked).await);
    assert_eq!(replica.rejection(&token, start()).await, Rejection::Redeemed { at: start() });
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));
    assert_eq!(replica.events().await, 2, "an event for what was done, and none for what was not");
}

async fn of_many_who_race_one_ends_it(place: &Place) {
    let replica = place.replica().await;
    for _ in 0..5 {
        let token = replica.waiting("a").await;
        let before = replica.events().await;
        let racers = (0..64).map(|racer| {
            let ending = match racer % 3 {
                0 => redeemed(None, &token),
                1 => FinalState::Revoked,
                _ => FinalState::Expired,
            };
            replica.ends(&token, ending)
        });
        assert_eq!(join_all(racers).await.into_iter().filter(|won| *won).count(), 1);
        assert_eq!(replica.events().await, before + 1);
    }
}

async fn who_does_not_prove_the_key_learns_nothing(place: &Place) {
    let replica = place.replica().await;
    let token = replica.waiting("a").await;
    let stranger = TicketToken::random().unwrap();
    let (id, key) = (token.to_url_segment(), stranger.to_url_segment());
    let forged = format!("{}.{}", &id[..22], &key[23..]).parse().unwrap();
    for wrong in [&stranger, &forged] {
        assert_eq!(replica.rejection(wrong, start()).await, Rejection::Unknown);
    }
    assert!(replica.redeems(&token).await);
    for wrong in [&stranger, &forged] {
        assert_eq!(replica.rejection(wrong, start()).await, Rejection::Unknown);
        assert!(!replica.redeems(&stranger).await, "there is nothing to end");
    }
}

async fn a_ticket_expires_once_and_is_remembered_and_forgotten(place: &Place) {
    let replica = place.replica().await;
    let (token, redeemed) = (replica.waiting("a").await, replica.waiting("b").await);
    assert!(replica.redeems(&redeemed).await);
    let (expiry, just_before) = (start() + LIFE, SignedDuration::from_micros(-1));

    assert_eq!(replica.overdue(expiry + just_before).await, []);
    assert!(replica.presented(&token, expiry + just_before).await.is_ok());
    // It is expired even if no upkeep has ended it yet.
    assert_eq!(replica.rejection(&token, expiry).await, Rejection::Expired);
    assert_eq!(replica.overdue(expiry).await, [token.ticket_id()], "a redeemed ticket does not expire");
    assert_eq!(replica.overdue(expiry).await, [token.ticket_id()], "what was not ended is still due");
    assert!(replica.ends(&token, FinalState::Expired).await);
    assert!(!replica.ends(&token, FinalState::Expired).await);
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
        assert_eq!(replica.rejection(&token, start()).await, Rejection::Unknown, "nothing is left");
    }
}

async fn a_revoked_ticket_says_so(place: &Place) {
    let replica = place.replica().await;
    let token = replica.waiting("a").await;
    assert!(replica.ends(&token, FinalState::Revoked).await);
    assert!(!replica.redeems(&token).await);
    assert_eq!(replica.rejection(&token, start()).await, Rejection::Revoked);
    let expiry = start() + LIFE;
    assert_eq!(replica.overdue(expiry).await, []);
    assert_eq!(replica.rejection(&token, expiry).await, Rejection::Revoked);
}

async fn the_same_redeemer_may_repeat_a_download_for_a_while(place: &Place) {
    let replica = place.replica().await;
    let (token, plain) = (replica.waiting("a").await, replica.waiting("a").await);
    assert!(replica.ends(&token, redeemed(Some("k"), &token)).await);
    assert!(replica.redeems(&plain).await);
    let again = async |token, key, at| replica.presented_again(token, key, at).await.map(|shown| shown.redeemed_at);
    let gone = || Err(Rejection::Redeemed { at: start() });
    assert_eq!(again(&token, Some("k"), start()).await, Ok(Some(start())));
    assert_eq!(again(&token, Some("other"), start()).await, gone());
    assert_eq!(again(&token, None, start()).await, gone());
    assert_eq!(again(&plain, Some("k"), start()).await, gone(), "its first redemption showed none");

    let last = start() + SignedDuration::from_secs(30);
    let just_before = last - SignedDuration::from_micros(1);
    replica.tickets.store.tidy(just_before).await.unwrap();
    let shown = replica.presented_again(&token, Some("k"), just_before).await.unwrap();
    assert_eq!(replica.tickets.sealer.open(&shown.sealed, &token), Ok(bundle()));
    assert_eq!(again(&token, Some("k"), last).await, gone());
    replica.tickets.store.tidy(last).await.unwrap();
    assert_eq!(again(&token, Some("k"), just_before).await, gone(), "the bundle is forgotten");
    assert!(!replica.ends(&token, redeemed(Some("k"), &token)).await);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));

    // Never after its expiry.
    let token = TicketToken::random().unwrap();
    let mut short = ticket(&token, "a");
    short.expires_at = start() + SignedDuration::from_secs(5);
    assert!(replica.issues(&short, &token, &bundle()).await);
    assert!(replica.ends(&token, redeemed(Some("k"), &token)).await);
    assert_eq!(again(&token, Some("k"), start()).await, Ok(Some(start())));
    assert_eq!(again(&token, Some("k"), short.expires_at).await, gone());
    replica.tickets.store.tidy(short.expires_at).await.unwrap();
    assert_eq!(again(&token, Some("k"), start()).await, gone(), "the bundle is forgotten");
}

async fn one_callers_tickets_are_bounded_and_anothers_are_not(place: &Place) {
    let replica = place.replica().await;
    let asks = (0..3 * MAX_LIVE).map(|_| async {
        let token = TicketToken::random().unwrap();
        replica.issues(&ticket(&token, "greedy"), &token, &bundle()).await.then_some(token)
    });
    let tokens: Vec<TicketToken> = join_all(asks).await.into_iter().flatten().collect();
    assert_eq!(tokens.len(), MAX_LIVE);
    replica.waiting("other").await;
    let one_more = async || {
        let token = TicketToken::random().unwrap();
        replica.issues(&ticket(&token, "greedy"), &token, &bundle()).await
    };
    assert!(!one_more().await);
    assert!(replica.redeems(&tokens[0]).await);
    assert!(one_more().await);
    assert!(!one_more().await);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(MAX_LIVE + 1));
}

async fn one_callers_bundles_are_bounded_in_bytes(place: &Place) {
    let replica = place.replica().await;
    // Two fit; the third does not.
    let large = bundle_of(&"x".repeat(MAX_BYTES_PER_CALLER * 2 / 5));
    let issue = async |pod: &str, bundle: &Bundle| {
        let token = TicketToken::random().unwrap();
        replica.issues(&ticket(&token, pod), &token, bundle).await.then_some(token)
    };
    let first = issue("greedy", &large).await.expect("room");
    assert!(issue("greedy", &large).await.is_some());
    assert!(issue("greedy", &large).await.is_none());
    assert!(issue("greedy", &bundle()).await.is_some(), "a small one has room");
    assert!(issue("other", &large).await.is_some());
    assert!(replica.ends(&first, redeemed(Some("k"), &first)).await);
    assert!(issue("greedy", &large).await.is_none(), "it is kept for a repetition");
    replica.tickets.store.tidy(start() + SignedDuration::from_secs(30)).await.unwrap();
    assert!(issue("greedy", &large).await.is_some());
}

async fn what_waits_is_listed_newest_first(place: &Place) {
    let replica = place.replica().await;
    let mut ids = Vec::new();
    for second in 0..7 {
        let token = TicketToken::random().unwrap();
        let mut ticket = ticket(&token, &second.to_string());
        ticket.issued_at += SignedDuration::from_secs(second);
        ticket.expires_at = ticket.issued_at + LIFE;
        assert!(replica.issues(&ticket, &token, &bundle()).await);
        if second == 3 {
            assert!(replica.redeems(&token).await);
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
    assert_eq!(left.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), ids[..4], "the expired ones do not wait");
}

async fn a_hundred_at_once_are_as_good_as_one_after_the_other(place: &Place) {
    let replica = place.replica().await;
    let lives = (0..100).map(|pod: usize| {
        let replica = &replica;
        async move {
            let token = replica.waiting(&pod.to_string()).await;
            assert_eq!(replica.opens(&token, start()).await, bundle());
            let ends = join_all([replica.redeems(&token), replica.redeems(&token)]).await;
            assert_eq!(ends.into_iter().filter(|won| *won).count(), 1);
            assert_eq!(replica.rejection(&token, start()).await, Rejection::Redeemed { at: start() });
        }
    });
    join_all(lives).await;
    assert_eq!(replica.events().await, 200);
    assert_eq!(replica.tickets.store.count_waiting().await, Ok(0));
}
