//! Measures the audit log on SQLite and PostgreSQL: how fast events become durable, how long queries over a
//! million events take, and how fast the chains are verified, streamed and pruned. `make audit-figures` prints the
//! figures.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a figure that cannot be had ends it"
)]

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/it/rig/mod.rs"]
mod rig;

use claviger::audit::{
    AuditLog, ChainHasher, Event, Filter, PolicyUse, Retention, RetentionLimits, UsageEvent, UsageProgress, UseKind,
};
use claviger::config::database::Url;
use claviger::database::Database;
use claviger::metrics::Metrics;
use claviger::metrics::labels::{EventType, Outcome};
use claviger::model::branch::Branch;
use claviger::model::caller::Caller;
use claviger::model::clock::{Clock, SystemClock};
use claviger::model::repo::Repo;
use claviger::model::secret_ref::{SecretRef, SecretVersion};
use claviger::model::ticket::{TicketId, TicketToken};
use rig::postgres::{Postgres, parse_postgres_url};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const EVENTS: usize = 1_000_000;
const QUERIES: usize = 100;

/// Events as in a build cluster: 300 subjects, 1,000 repos, two events per ticket.
fn event(number: usize, ticket: TicketId) -> Event {
    let kind = if number.is_multiple_of(2) { EventType::TicketIssued } else { EventType::TicketRedeemed };
    let rare = number % 10_000 == 77;
    let mut event = Event::new(if rare { EventType::AdminDenied } else { kind }, Outcome::Ok);
    event.caller = Some(Arc::new(Caller {
        issuer: "cluster".into(),
        subject: format!("system:serviceaccount:team-{}:build-bot", number / 2 % 300),
        groups: Vec::new(),
        workload: None,
        unbound_account: None,
        claims: serde_json::Map::new(),
    }));
    event.source_ip = Some("10.1.2.3".parse().unwrap());
    event.repo = Some(Repo::try_from(format!("apps/site-{}", number / 2 % 1000).as_str()).unwrap());
    event.branch = Some(Branch::try_from("main").unwrap());
    event.policies = vec!["site-builds".into()];
    event.keys = ["GITHUB_TOKEN", "NPM_TOKEN", "PUBLIC_URL"].map(str::to_owned).into();
    event.ticket_id = Some(ticket);
    let secret = SecretRef { store: "vault".into(), path: "homelab/site/main".into() };
    event.secrets = [SecretVersion { secret, version: Some("3".into()) }].into();
    event.took = Duration::from_millis(7);
    event
}

fn tickets(count: usize) -> Arc<Vec<TicketId>> {
    Arc::new((0..count).map(|_| TicketToken::random().unwrap().ticket_id()).collect())
}

/// Records events from several concurrent tasks; each waits for its own event. Returns the duration of each.
async fn record(
    log: &AuditLog,
    numbers: std::ops::Range<usize>,
    tickets: &Arc<Vec<TicketId>>,
    at_once: usize,
) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    for task in 0..at_once {
        let (log, tickets, numbers) = (log.clone(), tickets.clone(), numbers.clone());
        tasks.spawn(async move {
            let mut took = Vec::new();
            for number in numbers.skip(task).step_by(at_once) {
                let started = Instant::now();
                log.record(event(number, tickets[number / 2])).await.unwrap();
                took.push(started.elapsed());
            }
            took
        });
    }
    tasks.join_all().await.concat()
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn figures(name: &str, url: Url) {
    let database = Database::open(&url).await.unwrap();
    let metrics = Arc::new(Metrics::new(&[], &[]).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = AuditLog::open(&database, false, ChainHasher::new(None, &[]), clock.clone(), metrics.clone()).await;
    let (log, _written) = opened.unwrap();
    let tickets = tickets(EVENTS / 2);
    let mut from = 0;
    for (at_once, count) in [(1, 2_000), (16, 20_000), (64, 100_000), (256, EVENTS - 122_000)] {
        let started = Instant::now();
        let mut took = record(&log, from..from + count, &tickets, at_once).await;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        println!(
            "{name}: {at_once:3} at once: {rate:.0} durable events/s, each p50 {:.2?} p99 {:.2?}",
            percentile(&mut took, 50),
            percentile(&mut took, 99)
        );
        from += count;
    }
    queries(name, &log, &tickets).await;
    inventory(name, &log).await;

    let started = Instant::now();
    let verified = log.reader().verify().await.unwrap();
    assert_eq!((verified.events, verified.first_broken), (EVENTS as u64, None));
    println!("{name}: verify: {:.0} events/s", EVENTS as f64 / started.elapsed().as_secs_f64());

    let (started, before) = (Instant::now(), resident());
    let (mut after, mut count, mut most) = (None, 0, 0);
    loop {
        let page = log.reader().events(&Filter::default(), after.as_ref(), 500).await.unwrap();
        count += page.events.len();
        most = most.max(resident());
        after = page.stopped_at.or_else(|| page.events.last().map(|last| last.cursor.clone()));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, EVENTS);
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!(
        "{name}: all of them by pages: {rate:.0} events/s, {} KiB more memory at most",
        most.saturating_sub(before)
    );

    let retention = Retention::new(
        &log,
        RetentionLimits { max_age: Duration::from_millis(1), max_size: None },
        clock,
        metrics.clone(),
    );
    let (started, mut deleted) = (Instant::now(), 0);
    let mut batches = Vec::new();
    while deleted < 50_000 {
        let started = Instant::now();
        deleted += retention.delete_old_batch().await.unwrap().deleted;
        batches.push(started.elapsed());
    }
    let rate = deleted as f64 / started.elapsed().as_secs_f64();
    println!(
        "{name}: retention: {rate:.0} events/s, a batch p50 {:.2?} p99 {:.2?}",
        percentile(&mut batches, 50),
        percentile(&mut batches, 99)
    );
}

async fn queries(name: &str, log: &AuditLog, tickets: &[TicketId]) {
    let kinds: [(&str, &dyn Fn(usize) -> Filter); 5] = [
        ("ticket", &|n| Filter { ticket_id: Some(tickets[n * 4_999].to_string()), ..Filter::default() }),
        ("subject", &|n| Filter {
            subject: Some(format!("system:serviceaccount:team-{}:build-bot", n * 3)),
            ..Filter::default()
        }),
        ("repo", &|n| Filter {
            repo: Repo::try_from(format!("apps/site-{}", n * 9).as_str()).ok(),
            ..Filter::default()
        }),
        ("rare type", &|_| Filter { kind: Some(EventType::AdminDenied), ..Filter::default() }),
        ("newest", &|_| Filter::default()),
    ];
    for (what, filter) in kinds {
        let mut took = Vec::new();
        for number in 0..QUERIES {
            let filter = filter(number);
            let started = Instant::now();
            assert!(!log.reader().events(&filter, None, 101).await.unwrap().events.is_empty());
            took.push(started.elapsed());
        }
        let most = percentile(&mut took, 100);
        println!("{name}: a page by {what}: p50 {:.2?}, at most {most:.2?}", percentile(&mut took, 50));
    }
}

/// What the inventory costs: counting the whole log once, and each request after that, which reads the table of uses alone.
async fn inventory(name: &str, log: &AuditLog) {
    let usage = log.reader().usage();
    let uses = |event: &UsageEvent<'_>| -> Vec<PolicyUse> {
        let of = |kind: UseKind, by: &str| PolicyUse {
            policy: event.policies[0].clone(),
            store: "vault".to_owned(),
            path: "homelab/{repo}/{branch}".to_owned(),
            kind,
            caller_or_repo: by.to_owned(),
        };
        let caller = event.caller.as_ref().map(|caller| of(UseKind::Caller, &caller.subject));
        let repo = event.repo.as_ref().map(|repo| of(UseKind::Repo, repo));
        let matched = PolicyUse { store: String::new(), path: String::new(), ..of(UseKind::Matched, "") };
        [matched, of(UseKind::Read, "")].into_iter().chain(caller).chain(repo).collect()
    };
    let (started, mut batches) = (Instant::now(), Vec::new());
    loop {
        let started = Instant::now();
        let counted = usage.add_new_events(SystemClock.now(), 10, &uses).await.unwrap();
        if counted != UsageProgress::Partial {
            break;
        }
        batches.push(started.elapsed());
    }
    let rate = EVENTS as f64 / started.elapsed().as_secs_f64();
    let most = percentile(&mut batches, 100);
    println!(
        "{name}: inventory: counts {rate:.0} events/s, 10,000 of them p50 {:.2?}, at most {most:.2?}",
        percentile(&mut batches, 50)
    );
    // 10,000 policies are in force; one of them was used.
    let names: Vec<String> =
        (0..9_999).map(|number| format!("idle-{number}")).chain(["site-builds".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut took = Vec::new();
    for _ in 0..QUERIES {
        let started = Instant::now();
        usage.add_new_events(SystemClock.now(), 10, &uses).await.unwrap();
        assert_eq!(usage.last_uses(&names).await.unwrap().len(), 2);
        let used = usage.summarise(&names[9_900..], "2026-01-01T00:00:00Z".parse().unwrap(), 50).await.unwrap();
        assert_eq!(used.values().next().map(|used| used.repos), Some(1000));
        took.push(started.elapsed());
    }
    let most = percentile(&mut took, 100);
    println!("{name}: inventory: a page p50 {:.2?}, at most {most:.2?}", percentile(&mut took, 50));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(figures("sqlite", Url::SqliteFile(folder.path().join("claviger.db"))));
    let server = Postgres::start(&[]).unwrap();
    let url = runtime.block_on(server.database());
    runtime.block_on(figures("postgres", Url::Postgres(parse_postgres_url(&url))));
}
