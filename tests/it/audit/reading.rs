//! Reading: filters checked against an oracle, and pages that stay correct while the log grows.

use super::{Replica, TestDatabase, event_json, on_every_database};
use claviger::audit::Event;
use claviger::audit::Filter;
use claviger::metrics::labels::{EventType, Outcome};
use claviger::model::branch::Branch;
use claviger::model::caller::Caller;
use claviger::model::repo::Repo;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;

on_every_database! {
    every_filter_returns_the_same_events_as_an_oracle
    searches_of_a_large_log_are_complete_while_it_grows_and_shrinks
    a_clock_set_back_hides_no_event
    a_filter_by_any_subject_returns_only_its_events
    pages_are_complete_while_events_are_added
}

/// Applies the filter to one event.
fn matches(filter: &Filter, event: &Value) -> bool {
    let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
    let is = |member: &Value, wanted: Option<&str>| wanted.is_none_or(|wanted| *member == wanted);
    filter.since.is_none_or(|since| time >= since)
        && filter.until.is_none_or(|until| time < until)
        && is(&event["type"], filter.kind.map(EventType::as_str))
        && is(&event["outcome"], filter.outcome.map(Outcome::as_str))
        && is(&event["caller"]["subject"], filter.subject.as_deref())
        && is(&event["repo"], filter.repo.as_ref().map(Repo::as_str))
        && is(&event["branch"], filter.branch.as_ref().map(Branch::as_str))
        && is(&event["ticketId"], filter.ticket_id.as_deref())
}

/// A filter that matches `of`; the bits of `parts` select its conditions.
fn filter(of: &Value, until: &Value, parts: usize) -> Filter {
    let text = |member: &Value| member.as_str().map(str::to_owned);
    let has = |bit: usize| parts & (1 << bit) != 0;
    let time = |event: &Value| event["time"].as_str().unwrap().parse().unwrap();
    Filter {
        since: has(0).then(|| time(of)),
        until: has(1).then(|| time(until)),
        kind: EventType::ALL.iter().find(|kind| has(2) && of["type"] == kind.as_str()).copied(),
        outcome: Outcome::ALL.iter().find(|outcome| has(3) && of["outcome"] == outcome.as_str()).copied(),
        subject: text(&of["caller"]["subject"]).filter(|_| has(4)),
        repo: text(&of["repo"]).filter(|_| has(5)).map(|repo| Repo::try_from(repo.as_str()).unwrap()),
        branch: text(&of["branch"]).filter(|_| has(6)).map(|branch| Branch::try_from(branch.as_str()).unwrap()),
        ticket_id: text(&of["ticketId"]).filter(|_| has(7)),
    }
}

async fn pages(replica: &Replica, filter: &Filter, limit: usize) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = replica.log.reader().events(filter, after.as_ref(), limit).await.unwrap().events;
        let is_last = page.len() < limit;
        found.extend(page.iter().map(event_json));
        after = page.into_iter().last().map(|last| last.cursor).or(after);
        if is_last {
            return found;
        }
    }
}

async fn every_filter_returns_the_same_events_as_an_oracle(db: TestDatabase) {
    let (a, b) = (db.replica().await, db.replica().await);
    for round in 0..12 {
        a.record_each(round * 10..round * 10 + 6).await;
        b.record_each(round * 10 + 6..round * 10 + 10).await;
        // Across the ends of hours, days, months and a year.
        db.clock.advance(SignedDuration::from_hours([0, 1, 5, 30, 24 * 40][round % 5]));
    }
    let all = a.all().await;
    assert_eq!(all.len(), 120);
    assert!(all.is_sorted_by(|newer, older| newer["time"].as_str() >= older["time"].as_str()));
    let mut found_any = 0;
    for parts in 0..256 {
        let (one, other) = (&all[parts * 7 % 120], &all[parts * 3 % 60]);
        let filter = filter(one, other, parts);
        let expected: Vec<&Value> = all.iter().filter(|event| matches(&filter, event)).collect();
        let found = pages(&a, &filter, 1 + parts % 9).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        found_any += usize::from(!expected.is_empty());
    }
    assert!(found_any > 100, "{found_any}");
}

/// More events than SQLite compares one by one.
async fn searches_of_a_large_log_are_complete_while_it_grows_and_shrinks(db: TestDatabase) {
    let replica = db.replica().await;
    for round in 0..5 {
        replica.record_concurrently(round * 1000..round * 1000 + 1000).await;
        db.clock.advance(SignedDuration::from_hours(5));
    }
    if !db.database.is_remote() {
        let blocks = db.database.run("SELECT count(DISTINCT last_row) FROM audit_blocks", &[]).await.unwrap();
        assert_eq!(blocks[0].number(0).unwrap(), 2);
    }
    let deleted = replica.delete_older_than(&db, std::time::Duration::from_hours(22)).await;
    assert_eq!(deleted, 1000);
    let all = replica.all().await;
    assert_eq!(all.len(), 4000);
    for parts in (0..256).step_by(11) {
        let filter = filter(&all[parts * 31 % 4000], &all[parts * 7 % 1000], parts);
        let expected: Vec<&Value> = all.iter().filter(|event| matches(&filter, event)).collect();
        let found = pages(&replica, &filter, 301).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn pages_are_complete_while_events_are_added(db: TestDatabase) {
    let replica = db.replica().await;
    replica.record_each(0..50).await;
    let before = replica.all().await;
    let reader = replica.log.reader();
    let (mut found, mut after) = (Vec::new(), None);
    for round in 0..10 {
        let page = reader.events(&Filter::default(), after.as_ref(), 5).await.unwrap().events;
        found.extend(page.iter().map(event_json));
        after = page.into_iter().last().map(|last| last.cursor);
        replica.record_each(50 + round * 3..53 + round * 3).await;
    }
    assert_eq!(found, before);
    assert!(reader.events(&Filter::default(), after.as_ref(), 5).await.unwrap().events.is_empty());
    assert_eq!(replica.all().await.len(), 80);
}

/// The order is by time or by writing; the result set is the same.
async fn a_clock_set_back_hides_no_event(db: TestDatabase) {
    let replica = db.replica().await;
    for round in 0..8 {
        replica.record_each(round * 5..round * 5 + 5).await;
        db.clock.advance(SignedDuration::from_hours([7, -31, 2, 24 * 33, -24 * 400, 1, -3, 0][round]));
    }
    let all = replica.all().await;
    for at in 0..40 {
        let filter =
            Filter { kind: None, outcome: None, ..filter(&all[at], &all[(at * 7 + 3) % 40], at % 4 + (at % 2) * 16) };
        let expected: Vec<&Value> = all.iter().filter(|event| matches(&filter, event)).collect();
        let found = pages(&replica, &filter, 3).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn a_filter_by_any_subject_returns_only_its_events(db: TestDatabase) {
    let subjects = [
        "",
        " ",
        "a",
        "A",
        "a b",
        "\"a\"",
        "a\0b",
        "a OR b",
        "a*",
        "NEAR(a b)",
        "é",
        "e\u{301}",
        "-a",
        "'",
        &"x".repeat(1024),
    ];
    let replica = db.replica().await;
    for subject in subjects {
        let mut event = Event::new(EventType::TicketDenied, Outcome::Denied);
        event.caller = Some(Arc::new(Caller {
            issuer: "oidc".into(),
            subject: subject.into(),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: Map::new(),
        }));
        replica.log.record(event).await.unwrap();
    }
    for subject in subjects {
        let found = pages(&replica, &Filter { subject: Some(subject.into()), ..Filter::default() }, 10).await;
        assert_eq!(found.len(), 1, "{subject:?}");
        assert_eq!(found[0]["caller"]["subject"], subject);
    }
}
