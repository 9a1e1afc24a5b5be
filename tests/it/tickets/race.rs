//! Exactly one of many concurrent redemptions succeeds, on three replicas with one PostgreSQL; and a proof that
//! the check would detect a second one.
//!
//! `CLAVIGER_RACE` sets the number of tickets (`make race`).

use super::history::{Attempt, HistoryFaults, check_history};
use super::*;
use crate::rig::keep_alive::Client;
use crate::rig::oidc::allow;
use crate::rig::replicas::{Replicas, new_database};
use crate::rig::scale::scale;
use async_trait::async_trait;
use claviger::database::{DatabaseError, StepRunner, UnitOfWork};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Barrier, Mutex};

const REDEEMERS: usize = 64;
const REPLICAS: usize = 3;

#[test]
fn one_of_192_concurrent_redemptions_on_three_replicas_gets_each_ticket() {
    let tickets = scale("CLAVIGER_RACE", 12);
    let replicas = Replicas::start(
        REPLICAS,
        &new_database(postgres()),
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("site", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({}),
    );
    let issued: Vec<(String, String)> = (0..tickets).map(|number| replicas.ticket(number)).collect();
    let attempts = Mutex::new(Vec::new());
    let start = Barrier::new(REDEEMERS * REPLICAS);
    std::thread::scope(|scope| {
        for redeemer in 0..REDEEMERS * REPLICAS {
            let (issued, attempts, start, replicas) = (&issued, &attempts, &start, &replicas);
            scope.spawn(move || {
                let mut mine = Vec::with_capacity(issued.len());
                for (path, ticket) in issued {
                    // A new connection each time: an idle one would be closed while others wait on a busy machine.
                    let client = Client::new(replicas.get(redeemer).api);
                    start.wait();
                    let answer = client
                        .and_then(|mut client| client.exchange(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")));
                    mine.push((
                        Attempt { ticket: ticket.clone(), status: answer.as_ref().ok().map(|(status, _)| *status) },
                        answer,
                    ));
                }
                attempts.lock().unwrap().extend(mine);
            });
        }
    });
    // Collected after all have ended: a failure in between would leave the others waiting.
    let mut seen = Vec::new();
    for (attempt, answer) in attempts.into_inner().unwrap() {
        let (status, body) = answer.unwrap();
        assert!(status == 410 || status == 200 && body.starts_with("export TOKEN='s3cret'\n"), "{status} {body}");
        seen.push(attempt);
    }
    let attempts = seen;
    let events = replicas.events();
    assert_eq!(check_history(&attempts, &events), HistoryFaults::default());
    let winners = attempts.iter().filter(|attempt| attempt.status == Some(200));
    assert_eq!(winners.count(), tickets, "each ticket has one successful redemption");
    assert_eq!(events.iter().filter(|event| event["type"] == "ticket.redeemed").count(), tickets);
    // Events of one caller and reason are combined into a count after the first few, written within a minute.
    let losers = (tickets * (REDEEMERS * REPLICAS - 1)) as u64;
    let told = || -> u64 {
        let told = replicas.events();
        let told =
            told.iter().filter(|event| event["type"] == "ticket.rejected" && event["reason"] == "already_redeemed");
        told.map(|event| event["count"].as_u64().unwrap_or(1)).sum()
    };
    let began = std::time::Instant::now();
    while told() < losers && began.elapsed() < std::time::Duration::from_secs(90) {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert_eq!(told(), losers, "every failed redemption is in the log");
    println!("{tickets} tickets, {} attempts, {tickets} winners", attempts.len());
}

/// A wrong implementation: it reads the state of the ticket first, and then ends it.
struct ReadThenEnd;

#[async_trait]
impl StepRunner for ReadThenEnd {
    async fn run(&self, work: &mut UnitOfWork, steps: &[&Step]) -> Result<Vec<bool>, DatabaseError> {
        let mut done = Vec::new();
        for step in steps {
            let id = step.payload::<String>().unwrap();
            let found = work.run("SELECT id FROM tickets WHERE id = $1 AND state = 0", &[id.into()]).await?;
            work.run("UPDATE tickets SET state = 1, ended_at = 0 WHERE id = $1", &[id.into()]).await?;
            done.push(!found.is_empty());
        }
        Ok(done)
    }

    fn on_end(&self, _steps: &[&Step], _committed: bool) {}
}

/// Redeems tickets concurrently on three replicas with the steps of `step`, and checks the history.
async fn race_with(step: impl Fn(&Replica, &TicketToken) -> Step) -> HistoryFaults {
    let place = TestDatabase::postgres().await;
    let replicas = [place.replica().await, place.replica().await, place.replica().await];
    let mut attempts = Vec::new();
    for round in 0..30 {
        let token = replicas[0].new_ticket(&round.to_string()).await;
        let id = token.ticket_id();
        let racers = replicas.iter().flat_map(|replica| std::iter::repeat_n(replica, 4));
        let racers =
            racers.map(|replica| replica.commit_as(EventType::TicketRedeemed, Some(id), step(replica, &token)));
        for won in join_all(racers).await {
            attempts.push(Attempt { ticket: id.to_string(), status: Some(if won { 200 } else { 410 }) });
        }
    }
    let rows = replicas[0].database.run("SELECT event FROM audit_events ORDER BY rowid", &[]).await.unwrap();
    let events: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.text(0).unwrap()).unwrap()).collect();
    check_history(&attempts, &events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_check_detects_a_store_that_reads_before_it_writes() {
    let history = race_with(|_, token| Step::new(Arc::new(ReadThenEnd), token.ticket_id().to_string()));
    let verdict = Box::pin(history).await;
    assert_ne!(verdict.released_twice, BTreeSet::new());
    assert_ne!(verdict.recorded_twice, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_check_finds_no_fault_if_the_statement_decides() {
    let ending = |replica: &Replica, token: &TicketToken| {
        replica.tickets.store.step_to_end(token.ticket_id(), redeemed(None, token))
    };
    assert_eq!(Box::pin(race_with(ending)).await, HistoryFaults::default());
}
