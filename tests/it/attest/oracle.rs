//! Checks the asserted repos and branches of fifty pods against an independent oracle: `oracle.yaml` has the truth
//! and the permissions, `oracle/book.rs` derives the expected decisions. `CLAVIGER_ORACLE_SEED` repeats a run.

mod book;
mod cast;
mod dice;

use super::{Desk, caller};
use crate::rig::claviger::{Claviger, download_path};
use crate::rig::http::percent_encode;
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::front::Front;
use book::{Book, Outcome, Pair};
use cast::{Player, assemble};
use claviger::attest::AttestError;
use claviger::document::parse_all;
use claviger::model::branch::Branch;
use claviger::model::repo::Repo;
use claviger::model::request::UnverifiedRequest;
use claviger::policy::{AuthenticatorKind, Bounds, Ceiling, Decision, Denial, Policy, PolicySet, Tenants};
use dice::Dice;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const POLICIES: &str = include_str!("oracle/policies.yaml");
/// Decided inside the test process.
const PAIRS: u64 = 100_000;
/// Sent over HTTP.
const REQUESTS: u64 = 2_000;

/// Counts of each outcome, and the faults.
#[derive(Default)]
struct Tally {
    seen: BTreeMap<(&'static str, usize), u64>,
    wrong: Vec<String>,
}

impl Tally {
    fn note(&mut self, number: u64, player: &Player, asked: Pair, expected: &Outcome, actual: &Outcome) {
        *self.seen.entry(kind(expected)).or_default() += 1;
        if actual != expected {
            let role = &player.role;
            self.wrong.push(format!("{number}: {role:?} asks {asked:?}: {actual:?} instead of {expected:?}"));
        }
    }

    fn with(mut self, other: Self) -> Self {
        for (kind, count) in other.seen {
            *self.seen.entry(kind).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self
    }

    /// Checks that there are no faults and that each kind of outcome occurs at least this often.
    fn is_clean(&self, seed: u64, at_least: u64) {
        let first = &self.wrong[..self.wrong.len().min(5)];
        assert!(first.is_empty(), "CLAVIGER_ORACLE_SEED={seed}: {} wrong, {first:#?}", self.wrong.len());
        let kinds =
            [("granted", 1), ("granted", 2), ("granted", 3), ("denied", 0), ("attestation_failed", 0), ("left_out", 0)];
        assert!(kinds.iter().all(|kind| self.seen.get(kind) >= Some(&at_least)), "{seed}: {:?}", self.seen);
    }
}

fn kind(outcome: &Outcome) -> (&'static str, usize) {
    match outcome {
        Outcome::Granted(paths) => ("granted", paths.len()),
        Outcome::Denied => ("denied", 0),
        Outcome::AttestationFailed => ("attestation_failed", 0),
        Outcome::LeftOut => ("left_out", 0),
        Outcome::Pending => ("pending", 0),
    }
}

#[expect(clippy::disallowed_methods, reason = "a run that failed has to be repeated")]
fn seed() -> u64 {
    std::env::var("CLAVIGER_ORACLE_SEED")
        .map_or_else(|_| RandomState::new().hash_one("a seed"), |seed| seed.parse().unwrap())
}

fn policies() -> PolicySet {
    let bounds = Bounds {
        stores: ["vault".into()].into(),
        authenticators: [("cluster".into(), AuthenticatorKind::Kubernetes)].into(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::default(),
    };
    let documents = parse_all(POLICIES).unwrap();
    PolicySet::new(documents.into_iter().map(|document| Policy::from_document(document, &bounds).unwrap()))
}

fn asked_of(pair: Pair<'_>) -> UnverifiedRequest {
    UnverifiedRequest {
        repo: pair.repo.map(|repo| Repo::try_from(repo).unwrap()),
        branch: pair.branch.map(|branch| Branch::try_from(branch).unwrap()),
        source_ip: "192.0.2.7".parse().unwrap(),
        time: "2026-11-20T14:05:00Z".parse().unwrap(),
    }
}

/// The book's outcome; pending where a policy needs a run that may still list the player's `TaskRun` later.
fn expected(book: &Book, policies: &PolicySet, player: &Player<'_>, pair: Pair<'_>) -> Outcome {
    let asks_for_it = policies.needs(&caller(&player.pod), &asked_of(pair)).pipeline_run;
    if player.role.how == "adopted" && asks_for_it { Outcome::Pending } else { book.outcome(&player.role, pair) }
}

async fn decided(desk: &Desk, policies: &PolicySet, player: &Player<'_>, pair: Pair<'_>) -> Outcome {
    let (caller, asked) = (caller(&player.pod), asked_of(pair));
    let facts = match desk.0.facts(&caller, policies.needs(&caller, &asked)).await {
        Ok(facts) => facts,
        Err(AttestError::NotYet) => return Outcome::Pending,
        Err(error) => panic!("{error}"),
    };
    match policies.decide(&caller, &facts, &asked) {
        Decision::Granted(grant) => Outcome::Granted(grant.secrets.into_iter().map(|one| one.secret.path).collect()),
        Decision::Denied(Denial::AttestationFailed(_)) => Outcome::AttestationFailed,
        Decision::Denied(_) => Outcome::Denied,
        Decision::PartMissing(_) => Outcome::LeftOut,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_pairs_are_decided_as_the_oracle_says() {
    let (kube, seed, policies) = (Kube::start().await, seed(), policies());
    let book = Book::open();
    let players = assemble(&kube, &book).await;
    let front = Front::start(kube.plane, User::Broker).await;
    let desk = Desk::of(front.kubeconfig.clone()).await;
    let half = async |first: u64| {
        let mut tally = Tally::default();
        for number in (first..PAIRS).step_by(2) {
            let mut dice = Dice::new(seed, number);
            let player = &players[dice.roll(players.len())];
            let asked = dice.asks(&book, &player.role);
            let actual = decided(&desk, &policies, player, asked).await;
            tally.note(number, player, asked, &expected(&book, &policies, player, asked), &actual);
        }
        tally
    };
    let (even, odd) = tokio::join!(half(0), half(1));
    even.with(odd).is_clean(seed, PAIRS / 200);
    let lookups = front.asked().len();
    assert!(lookups < 10_000, "the caches were on: {lookups}");
}

/// Each secret has one key, which is its path.
fn serve(kube: &Kube, book: &Book) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let secrets: BTreeMap<String, Value> =
        book.paths().into_iter().map(|path| (path.clone(), json!({path: "s3cret"}))).collect();
    fs::write(at("secrets.yaml"), json!(secrets).to_string()).unwrap();
    fs::create_dir(at("policies")).unwrap();
    fs::write(at("policies/oracle.yaml"), POLICIES).unwrap();
    let config = json!({
        "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": kube.plane.kubeconfig(User::Broker)}}],
        "stores": [{"name": "vault", "file": {"path": at("secrets.yaml")}}],
        "policies": {"directory": at("policies")},
        "tickets": {"maxLivePerPod": 100_000},
    });
    Claviger::serve_in(folder, config)
}

fn answered(claviger: &Claviger, player: &Player, asked: Pair) -> Outcome {
    let field = |(name, value): (&str, Option<&str>)| Some(format!("{name}={}", percent_encode(value?)));
    let form: Vec<String> = [("repo", asked.repo), ("branch", asked.branch)].into_iter().filter_map(field).collect();
    let answer = claviger.ask(&player.pod.token, &form.join("&"));
    if answer.status != 201 {
        return match (answer.status, answer.code().as_str()) {
            (403, "denied") => Outcome::Denied,
            (403, "attestation_failed") => Outcome::AttestationFailed,
            (400, "invalid_request") => Outcome::LeftOut,
            (503, "attestation_pending") => Outcome::Pending,
            _ => panic!("{answer:?}\n{}", claviger.log()),
        };
    }
    let download = claviger.download(&format!("{}?format=json", download_path(&answer)));
    assert_eq!(download.status, 200, "{download:?}");
    Outcome::Granted(download.json().as_object().unwrap().keys().cloned().collect())
}

/// A bundle lists its keys in sorted order, not in the order of the grants.
fn as_bundle(outcome: Outcome) -> Outcome {
    let Outcome::Granted(mut paths) = outcome else { return outcome };
    paths.sort();
    Outcome::Granted(paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_requests_are_answered_as_the_oracle_says() {
    let (kube, seed, policies) = (Kube::start().await, seed(), policies());
    let book = Book::open();
    let players = assemble(&kube, &book).await;
    let claviger = serve(&kube, &book);
    let half = |first: u64| {
        let mut tally = Tally::default();
        for number in (first..REQUESTS).step_by(2) {
            let mut dice = Dice::new(seed, number);
            let player = &players[dice.roll(players.len())];
            let asked = dice.asks(&book, &player.role);
            let expected = as_bundle(expected(&book, &policies, player, asked));
            tally.note(number, player, asked, &expected, &as_bundle(answered(&claviger, player, asked)));
        }
        tally
    };
    let tally = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        half(0).with(odd.join().unwrap())
    });
    tally.is_clean(seed, REQUESTS / 200);
}
