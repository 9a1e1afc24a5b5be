//! Measures decisions with few and many policies, and the time to load policies.
#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use claviger::document::parse;
use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::facts::{Facts, PipelineRunFacts};
use claviger::model::request::UnverifiedRequest;
use claviger::policy::{AuthenticatorKind, Bounds, Ceiling, Decision, Policy, PolicySet, Tenants};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the policies of a set differ.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Each has its own namespace, as a literal.
    Literal,
    /// Each has its own namespaces, as a prefix.
    Prefix,
    /// As `Prefix`; all attest repo and branch by the `PipelineRun`, and have a condition.
    Attested,
    /// All match every namespace, and their repos differ only at the end, so that no index helps.
    Open,
}

fn manifest(shape: Shape, number: usize) -> String {
    let (namespace, repo) = match shape {
        Shape::Literal => (format!("team-{number}"), "acme/*".to_owned()),
        Shape::Prefix | Shape::Attested => (format!("team-{number}-*"), "acme/*".to_owned()),
        Shape::Open => ("*".to_owned(), format!("*/site-{number}")),
    };
    let expressions = match shape {
        Shape::Attested => concat!(
            "  attest: {repo: 'caller.pipelineRun.params[\"repo\"]', branch: 'caller.pipelineRun.params[\"branch\"]'}\n",
            "  condition: '!caller.namespace.startsWith(\"sandbox-\") && request.branch != \"gh-pages\"'\n",
        ),
        _ => "",
    };
    format!(
        "---\napiVersion: claviger.dev/v1alpha1\nkind: Policy\nmetadata: {{name: team-{number}}}\nspec:\n  \
         subjects: [{{kubernetes: {{namespaces: [\"{namespace}\"], serviceAccounts: [build-bot]}}}}]\n  \
         repos: [\"{repo}\"]\n  branches: [main, \"release/**\", \"feature/**\"]\n{expressions}  \
         secrets:\n    - {{store: vault, path: homelab/shared}}\n    - {{store: vault, path: \"homelab/{{repo}}/{{branch}}\"}}\n"
    )
}

fn bounds() -> Bounds {
    Bounds {
        stores: ["vault".into()].into(),
        authenticators: [("cluster".into(), AuthenticatorKind::Kubernetes)].into(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::default(),
    }
}

fn text(shape: Shape, count: usize) -> String {
    (0..count).map(|number| manifest(shape, number)).collect()
}

fn load(text: &str) -> PolicySet {
    let bounds = bounds();
    let documents = text.split("---\n").skip(1).map(|document| parse(document).expect("well-formed"));
    PolicySet::new(documents.map(|tree| Policy::from_document(tree, &bounds).expect("a policy")))
}

/// A caller that matches the policy in the middle, with a branch of one kilobyte.
fn request(shape: Shape, count: usize) -> (Caller, Facts, UnverifiedRequest) {
    let number = count / 2;
    let namespace = match shape {
        Shape::Prefix | Shape::Attested => format!("team-{number}-ci"),
        Shape::Literal | Shape::Open => format!("team-{number}"),
    };
    let repo = format!("acme/site-{number}");
    let branch = format!("feature/{}", "x".repeat(1016));
    let params = [("repo", &repo), ("branch", &branch)];
    let params = params.map(|(name, value)| (name.to_owned(), value.as_str().into())).into();
    let facts =
        Facts { pipeline_run: Some(PipelineRunFacts { params, ..PipelineRunFacts::default() }), ..Facts::default() };
    let asked = UnverifiedRequest {
        repo: Some(repo.as_str().try_into().expect("a repo")),
        branch: Some(branch.as_str().try_into().expect("a branch")),
        source_ip: [192, 0, 2, 7].into(),
        time: "2026-11-20T14:05:00Z".parse().expect("a time"),
    };
    let subject = format!("system:serviceaccount:{namespace}:build-bot");
    let pod = Pod { name: "build-1".into(), uid: "1".into() };
    let workload = Some(Workload { namespace, service_account: "build-bot".into(), pod });
    (
        Caller {
            issuer: "cluster".into(),
            subject,
            groups: vec![],
            workload,
            unbound_account: None,
            claims: serde_json::Map::new(),
        },
        facts,
        asked,
    )
}

fn deciding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for shape in [Shape::Literal, Shape::Prefix, Shape::Attested, Shape::Open] {
        for count in [100, 10_000] {
            let set = load(&text(shape, count));
            let (caller, facts, asked) = request(shape, count);
            let decide = || {
                let needs = set.needs(black_box(&caller), &asked);
                (needs, set.decide(&caller, &facts, black_box(&asked)))
            };
            assert!(matches!(decide().1, Decision::Granted(grant) if grant.policies.len() == 1), "{shape:?} {count}");
            group.bench_function(format!("{shape:?}/{count}"), |bencher| bencher.iter(decide));
            let mut taken: Vec<Duration> = (0..5000)
                .map(|_| {
                    let started = Instant::now();
                    black_box(decide());
                    started.elapsed()
                })
                .collect();
            taken.sort_unstable();
            println!("decide/{shape:?}/{count}: p50 {:?}, p99 {:?}", taken[2500], taken[4950]);
        }
    }
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for shape in [Shape::Literal, Shape::Attested] {
        let text = text(shape, 10_000);
        group.bench_function(format!("{shape:?}/10000"), |bencher| bencher.iter(|| load(black_box(&text)).len()));
    }
}

/// One policy among many is another one: what a change of a custom resource or of a stored policy costs.
fn changing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    group.sample_size(20);
    for shape in [Shape::Literal, Shape::Attested, Shape::Open] {
        let set = load(&text(shape, 10_000));
        let changed = load(&text(shape, 5_001)).policies()[5_000].clone();
        let policies = |other: &Arc<Policy>| -> Vec<Arc<Policy>> {
            let same = set.policies().iter().filter(|policy| policy.name() != other.name()).cloned();
            same.chain([other.clone()]).collect()
        };
        group.bench_function(format!("{shape:?}/10000"), |bencher| {
            bencher.iter_batched(
                || policies(&changed),
                |policies| set.with_policies(policies).0,
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, deciding, loading, changing);
criterion_main!(benches);
