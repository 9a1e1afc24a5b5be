//! Tests of policies, with helpers that make callers, requests and policies.

mod attestation;
mod compile;
mod condition;
mod decide;
mod directory;
mod documentation;
mod draft;
mod explain;
mod index;
mod manifest;
mod merge;
mod needed_paths;
mod needs;
mod oracle;
mod replay;
mod shadow;
mod template;
mod token_binding;
mod write;

use super::{AuthenticatorKind, Bounds, Ceiling, Decision, Denial, Grant, Policy, PolicySet, Tenants};
use crate::document::{Fault, decode, parse};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts};
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};
use crate::wire::policy::PolicySpec;
use serde_json::{Map, Value};
use std::time::Duration;

/// Bounds with two stores, a cluster, two issuers, a maximum ticket lifetime of 15 minutes, and no ceiling.
fn bounds() -> Bounds {
    let authenticators = [
        ("cluster", AuthenticatorKind::Kubernetes),
        ("github", AuthenticatorKind::Oidc),
        ("gitlab", AuthenticatorKind::Oidc),
    ];
    Bounds {
        stores: ["vault", "local"].map(Into::into).into(),
        authenticators: authenticators.map(|(name, kind)| (name.into(), kind)).into(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::default(),
    }
}

fn bounds_with_ceiling(ceiling: &[(&str, &str)]) -> Bounds {
    let entries = ceiling.iter().map(|(store, prefix)| ((*store).into(), (*prefix).to_owned()));
    Bounds { ceiling: Ceiling::new(entries), ..bounds() }
}

fn spec(yaml: &str) -> PolicySpec {
    decode(parse(yaml).expect("well-formed")).expect("decodes")
}

fn policy(name: &str, yaml: &str) -> Policy {
    Policy::compile(name, &spec(yaml), &bounds()).expect(name)
}

/// The faults of a spec, as `pointer: detail`.
fn faults(yaml: &str) -> Vec<String> {
    faults_within(yaml, &bounds())
}

fn faults_within(yaml: &str, bounds: &Bounds) -> Vec<String> {
    faults_as_text(Policy::compile("p", &spec(yaml), bounds).map(|_| ()))
}

fn faults_as_text(result: Result<(), Vec<Fault>>) -> Vec<String> {
    let faults = result.err().unwrap_or_default();
    faults.into_iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect()
}

fn pod(namespace: &str, service_account: &str) -> Caller {
    Caller {
        issuer: "cluster".into(),
        subject: format!("system:serviceaccount:{namespace}:{service_account}"),
        groups: vec![],
        unbound_account: None,
        workload: Some(Workload {
            namespace: namespace.into(),
            service_account: service_account.into(),
            pod: Pod { name: "build-1".into(), uid: "1".into() },
        }),
        claims: Map::new(),
    }
}

fn oidc_caller(issuer: &str, claims: Value) -> Caller {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    Caller {
        issuer: issuer.into(),
        subject: "somebody".into(),
        groups: vec![],
        workload: None,
        unbound_account: None,
        claims,
    }
}

fn request_for(repo: &str, branch: &str) -> UnverifiedRequest {
    partial_request(Some(repo), Some(branch))
}

fn verified_request(repo: &str, branch: &str) -> Request {
    Request { repo: Repo::try_from(repo).expect(repo), branch: Branch::try_from(branch).expect(branch) }
}

/// A request that omits the parts that are `None`.
fn partial_request(repo: Option<&str>, branch: Option<&str>) -> UnverifiedRequest {
    UnverifiedRequest {
        repo: repo.map(|repo| Repo::try_from(repo).expect(repo)),
        branch: branch.map(|branch| Branch::try_from(branch).expect(branch)),
        source_ip: "192.0.2.7".parse().expect("an address"),
        time: "2026-11-20T14:05:00Z".parse().expect("a Friday"),
    }
}

/// Facts about a pod with these labels.
fn facts_with_labels(labels: &[(&str, &str)]) -> Facts {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Facts { pod: Some(PodFacts { labels, ..PodFacts::default() }), ..Facts::default() }
}

/// Facts about a `PipelineRun` with these params.
fn facts_with_params(params: Value) -> Facts {
    let Value::Object(params) = params else { panic!("params are an object") };
    let params = params.into_iter().collect();
    Facts { pipeline_run: Some(PipelineRunFacts { params, ..PipelineRunFacts::default() }), ..Facts::default() }
}

fn decide(policies: Vec<Policy>, caller: &Caller, facts: &Facts, request: &UnverifiedRequest) -> Decision {
    PolicySet::new(policies).decide(caller, facts, request)
}

fn expect_grant(policies: Vec<Policy>, caller: &Caller, request: &UnverifiedRequest) -> Grant {
    match decide(policies, caller, &Facts::default(), request) {
        Decision::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

fn expect_denial(policies: Vec<Policy>, caller: &Caller, request: &UnverifiedRequest) -> Denial {
    match decide(policies, caller, &Facts::default(), request) {
        Decision::Denied(denial) => denial,
        other => panic!("{other:?}"),
    }
}

fn paths(grant: &Grant) -> Vec<&str> {
    grant.secrets.iter().map(|secret| secret.secret.path.as_str()).collect()
}

fn names(policies: &[PolicyRef]) -> Vec<&str> {
    policies.iter().map(|policy| &*policy.name).collect()
}
