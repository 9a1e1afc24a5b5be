//! Parses and runs one case of a test file: a caller, a request, and the expected decision.

use crate::document::Fault;
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::repo::Repo;
use crate::model::request::UnverifiedRequest;
use crate::policy::{Explanation, PolicySet, caller_from_description};
use crate::wire::decision::DescribedCaller;
use jiff::Timestamp;
use serde::Deserialize;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

/// Source address of a case that states none (RFC 5737).
const SOURCE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A case before validation.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCase {
    name: Option<String>,
    caller: Option<DescribedCaller>,
    repo: Option<String>,
    branch: Option<String>,
    source_ip: Option<String>,
    time: Option<String>,
    expect: Option<RawExpectation>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawExpectation {
    allowed: Option<bool>,
    reason: Option<String>,
    policies: Option<Vec<Option<String>>>,
    secrets: Option<Vec<Option<String>>>,
}

/// A valid case.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    caller: Caller,
    facts: Facts,
    request: UnverifiedRequest,
    expected: Expectation,
}

/// The expected decision; absent fields are not compared.
#[derive(Debug)]
struct Expectation {
    allowed: bool,
    reason: Option<String>,
    /// Matching policies, in order.
    policies: Option<Vec<String>>,
    /// Secrets that would be read, in order.
    secrets: Option<Vec<String>>,
}

impl RawCase {
    /// Validates the case. If it has faults, adds them to `faults` and returns `None`.
    pub fn check(self, pointer: &str, faults: &mut Vec<Fault>) -> Option<Case> {
        let before = faults.len();
        let mut fault = |key: &str, detail: String| faults.push(Fault::new(format!("{pointer}/{key}"), detail));
        let name = self.name.unwrap_or_default();
        if name.is_empty() {
            fault("name", "is missing".into());
        }
        let caller = self.caller.ok_or("is missing").and_then(caller_from_description);
        let caller = caller.map_err(|detail| fault("caller", detail.into())).ok();
        let repo = unwrap_parsed(self.repo.as_deref().map(Repo::try_from), |detail| fault("repo", detail));
        let branch = unwrap_parsed(self.branch.as_deref().map(Branch::try_from), |detail| fault("branch", detail));
        let source_ip = self.source_ip.map(|text| text.parse::<IpAddr>().map_err(|_| "must be an IP address"));
        let source_ip = unwrap_parsed(source_ip, |detail| fault("sourceIp", detail));
        let time = self.time.map(|text| text.parse::<Timestamp>().map_err(|_| "must be a time: 2026-11-20T12:00:00Z"));
        let time = unwrap_parsed(time, |detail| fault("time", detail));
        let expected = parse_expectation(self.expect, &mut fault);
        if faults.len() > before {
            return None;
        }
        let (caller, facts) = caller?;
        let request = UnverifiedRequest {
            repo,
            branch,
            source_ip: source_ip.unwrap_or(SOURCE_IP),
            // A case that states no time has a fixed one (1970), so that the test always has the same result.
            time: time.unwrap_or_default(),
        };
        Some(Case { name, caller, facts, request, expected: expected? })
    }
}

/// Unwraps an optional value that was parsed. Passes the error to `fault`.
fn unwrap_parsed<T, E: Display>(given: Option<Result<T, E>>, fault: impl FnOnce(String)) -> Option<T> {
    given?.map_err(|error| fault(error.to_string())).ok()
}

fn parse_expectation(raw: Option<RawExpectation>, fault: &mut impl FnMut(&str, String)) -> Option<Expectation> {
    let Some(raw) = raw else {
        fault("expect", "is missing".into());
        return None;
    };
    let Some(allowed) = raw.allowed else {
        fault("expect/allowed", "is missing".into());
        return None;
    };
    if allowed && raw.reason.is_some() {
        fault("expect/reason", "must be absent if allowed is true".into());
    }
    if !allowed && raw.secrets.is_some() {
        fault("expect/secrets", "must be absent if allowed is false".into());
    }
    let mut collect_texts = |key: &str, list: Option<Vec<Option<String>>>| {
        let list = list?;
        for index in list.iter().enumerate().filter(|(_, text)| text.is_none()).map(|(index, _)| index) {
            fault(&format!("expect/{key}/{index}"), "must not be null".into());
        }
        Some(list.into_iter().flatten().collect())
    };
    let (policies, secrets) = (collect_texts("policies", raw.policies), collect_texts("secrets", raw.secrets));
    Some(Expectation { allowed, reason: raw.reason, policies, secrets })
}

impl Case {
    /// Decides the case. Returns the differences from the expectation, one per line.
    pub fn run(&self, policies: &PolicySet) -> Vec<String> {
        let Explanation { allowed, reason, policies, secrets } =
            policies.explain(&self.caller, &self.facts, &self.request);
        let mut differences = Vec::new();
        let expected = &self.expected;
        let describe = |allowed: bool| if allowed { "allowed" } else { "denied" };
        if expected.allowed != allowed {
            differences.push(format!("expected {}, got {}: {reason}", describe(expected.allowed), describe(allowed)));
        } else if let Some(expected) = expected.reason.as_deref().filter(|expected| *expected != reason) {
            differences.push(format!("expected reason {expected}, got {reason}"));
        }
        // A policy in shadow mode does not take part in the decision.
        let enforced = || policies.iter().filter(|verdict| verdict.shadow.is_none());
        let matched = enforced().filter(|verdict| verdict.matched).map(|verdict| verdict.name.to_string()).collect();
        compare("policies", expected.policies.as_ref(), &matched, &mut differences);
        let secrets = secrets.iter().map(|entry| format!("{}:{}", entry.secret.store, entry.secret.path)).collect();
        compare("secrets", expected.secrets.as_ref(), &secrets, &mut differences);
        if !differences.is_empty() {
            for verdict in enforced().filter(|verdict| !verdict.matched) {
                let part = verdict.failed_at.map_or("secrets", |part| part.as_str());
                let detail = verdict.detail.as_deref().unwrap_or_default();
                differences.push(format!("{} does not match: {part}: {detail}", verdict.name));
            }
        }
        differences
    }
}

fn compare(field: &str, expected: Option<&Vec<String>>, got: &Vec<String>, differences: &mut Vec<String>) {
    if let Some(expected) = expected.filter(|expected| *expected != got) {
        differences.push(format!("expected {field} [{}], got [{}]", expected.join(", "), got.join(", ")));
    }
}
