//! Checks the asserted repos and branches of fifty pods against an independent oracle: `oracle.yaml` has the truth
//! and the permissions, `oracle/expected_outcomes.rs` derives the expected decisions. `CLAVIGER_ORACLE_SEED` repeats a run.

mod expected_outcomes;
mod pods;
mod random_requests;

use super::{TestAttestors, caller};
use crate::rig::claviger::{Claviger, download_path};
use crate::rig::http::percent_encode;
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::recording_proxy::RecordingProxy;
use claviger::attest::AttestError;
use claviger::document::parse_all;
use claviger::model::branch::Branch;
use claviger::model::repo::Repo;
use claviger::model::request::UnverifiedRequest;
use claviger::policy::{AuthenticatorKind, Bounds, Ceiling, Decision, Denial, Policy, PolicySet, Tenants};
use expected_outcomes::{Oracle, Outcome, RepoAndBranch};
use pods::{OraclePod, create_pods};
use random_requests::RandomRequests;
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
    fn note(
        &mut self,
        number: u64,
        oracle_pod: &OraclePod,
        asked: RepoAndBranch,
        expected: &Outcome,
        actual: &Outcome,
    ) {
        *self.seen.entry(kind(expected)).or_default() += 1;
        if actual != expected {
            let role = &oracle_pod.role;
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
    fn assert_no_faults(&self, seed: u64, at_least: u64) {
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

fn unverified_request(requested: RepoAndBranch<'_>) -> UnverifiedRequest {
    UnverifiedRequest {
        repo: requested.repo.map(|repo| Repo::try_from(repo).unwrap()),
        branch: requested.branch.map(|branch| Branch::try_from(branch).unwrap()),
        source_ip: "192.0.2.7".parse().unwrap(),
        time: "2026-11-20T14:05:00Z".parse().unwrap(),
    }
}

/// The oracle's outcome. It is pending if a policy needs a run that may still list the pod's `TaskRun` later.
fn expected(
    oracle: &Oracle,
    policies: &PolicySet,
    oracle_pod: &OraclePod<'_>,
    requested: RepoAndBranch<'_>,
) -> Outcome {
    let asks_for_it = policies.needs(&caller(&oracle_pod.pod), &unverified_request(requested)).pipeline_run;
    if oracle_pod.role.how == "adopted" && asks_for_it {
        Outcome::Pending
    } else {
        oracle.outcome(&oracle_pod.role, requested)
    }
}

async fn outcome_in_process(
    attestors: &TestAttestors,
    policies: &PolicySet,
    oracle_pod: &OraclePod<'_>,
    requested: RepoAndBranch<'_>,
) -> Outcome {
    let (caller, asked) = (caller(&oracle_pod.pod), unverified_request(requested));
    let facts = match attestors.0.facts(&caller, policies.needs(&caller, &asked)).await {
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
    let oracle = Oracle::open();
    let players = create_pods(&kube, &oracle).await;
    let proxy = RecordingProxy::start(kube.plane, User::Broker).await;
    let attestors = TestAttestors::with_kubeconfig(proxy.kubeconfig.clone()).await;
    let half = async |first: u64| {
        let mut tally = Tally::default();
        for number in (first..PAIRS).step_by(2) {
            let mut random = RandomRequests::new(seed, number);
            let oracle_pod = &players[random.below(players.len())];
            let asked = random.request_of(&oracle, &oracle_pod.role);
            let actual = outcome_in_process(&attestors, &policies, oracle_pod, asked).await;
            tally.note(number, oracle_pod, asked, &expected(&oracle, &policies, oracle_pod, asked), &actual);
        }
        tally
    };
    let (even, odd) = tokio::join!(half(0), half(1));
    even.with(odd).assert_no_faults(seed, PAIRS / 200);
    let lookups = proxy.take_requests().len();
    assert!(lookups < 10_000, "the caches were used: {lookups}");
}

/// Each secret has one key, which is its path.
fn serve(kube: &Kube, oracle: &Oracle) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let secrets: BTreeMap<String, Value> =
        oracle.paths().into_iter().map(|path| (path.clone(), json!({path: "s3cret"}))).collect();
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

fn outcome_over_http(claviger: &Claviger, oracle_pod: &OraclePod, asked: RepoAndBranch) -> Outcome {
    let field = |(name, value): (&str, Option<&str>)| Some(format!("{name}={}", percent_encode(value?)));
    let form: Vec<String> = [("repo", asked.repo), ("branch", asked.branch)].into_iter().filter_map(field).collect();
    let answer = claviger.ask(&oracle_pod.pod.token, &form.join("&"));
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
    let oracle = Oracle::open();
    let players = create_pods(&kube, &oracle).await;
    let claviger = serve(&kube, &oracle);
    let half = |first: u64| {
        let mut tally = Tally::default();
        for number in (first..REQUESTS).step_by(2) {
            let mut random = RandomRequests::new(seed, number);
            let oracle_pod = &players[random.below(players.len())];
            let asked = random.request_of(&oracle, &oracle_pod.role);
            let expected = as_bundle(expected(&oracle, &policies, oracle_pod, asked));
            tally.note(
                number,
                oracle_pod,
                asked,
                &expected,
                &as_bundle(outcome_over_http(&claviger, oracle_pod, asked)),
            );
        }
        tally
    };
    let tally = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        half(0).with(odd.join().unwrap())
    });
    tally.assert_no_faults(seed, REQUESTS / 200);
}
