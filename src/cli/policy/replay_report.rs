//! The report of `claviger policy diff`, which replays the requests of the audit log against changed policies: who would gain or
//! lose which secrets, and how many requests could not be replayed.

use super::output::{JsonFormat, print_json, print_line};
use crate::cli::command_error::CommandError;
use crate::policy::{DecisionDifference, RecordedRequest, ReplayResult};
use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum number of listed differences. The requests of further ones are only counted.
const MAX_DIFFERENCES: usize = 10_000;

/// The results of all replayed requests.
#[derive(Default)]
pub struct ReplayReport {
    replayed: u64,
    differences: BTreeMap<AffectedRequest, Occurrences>,
    /// Number of requests whose difference is not listed, because there are [`MAX_DIFFERENCES`] already.
    unlisted: u64,
    /// Number of requests that could not be replayed, by reason.
    unreplayed: BTreeMap<String, u64>,
    /// Number of unreplayed requests whose decision the changed policies may change.
    unknown: u64,
}

/// A caller, repo and branch for which the decision differs, and the secrets that would be gained or lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct AffectedRequest {
    issuer: String,
    subject: String,
    repo: String,
    branch: String,
    allowed_before: bool,
    allowed_after: bool,
    gained: Vec<String>,
    lost: Vec<String>,
}

/// The number of requests, and the time of the last one.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Occurrences {
    requests: u64,
    last_at: String,
}

#[derive(Serialize)]
struct DifferenceLine<'r> {
    #[serde(flatten)]
    affected: &'r AffectedRequest,
    #[serde(flatten)]
    occurrences: &'r Occurrences,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayReportJson<'r> {
    replayed: u64,
    differences: Vec<DifferenceLine<'r>>,
    unlisted_requests: u64,
    not_replayed: &'r BTreeMap<String, u64>,
}

impl ReplayReport {
    pub fn has_differences(&self) -> bool {
        self.unlisted > 0 || !self.differences.is_empty()
    }

    /// Number of requests for which it is unknown whether the changed policies make a difference.
    pub const fn unknown_requests(&self) -> u64 {
        self.unknown
    }

    /// Counts requests that could not be replayed.
    pub fn count_unreplayed(&mut self, reason: &str, requests: u64) {
        *self.unreplayed.entry(reason.to_owned()).or_default() += requests;
    }

    /// Adds the result for one event, which stands for this number of equal requests.
    pub fn add(&mut self, recorded: &RecordedRequest, result: ReplayResult, requests: u64, time: &str) {
        let DecisionDifference { allowed, gained, lost } = match result {
            ReplayResult::Same => {
                self.replayed += requests;
                return;
            }
            ReplayResult::Unknown(policy) => {
                self.unknown += requests;
                let reason = format!("policy {policy} needs claims or facts that the log does not hold");
                return self.count_unreplayed(&reason, requests);
            }
            ReplayResult::Differs(difference) => difference,
        };
        self.replayed += requests;
        let affected = AffectedRequest {
            issuer: recorded.caller.issuer.to_string(),
            subject: recorded.caller.subject.clone(),
            repo: recorded.request.repo.to_string(),
            branch: recorded.request.branch.to_string(),
            allowed_before: allowed.0,
            allowed_after: allowed.1,
            gained,
            lost,
        };
        if self.differences.len() >= MAX_DIFFERENCES && !self.differences.contains_key(&affected) {
            self.unlisted += requests;
            return;
        }
        let occurrences = self.differences.entry(affected).or_default();
        occurrences.requests += requests;
        if occurrences.last_at.as_str() < time {
            time.clone_into(&mut occurrences.last_at);
        }
    }

    pub fn print(&self, output: Option<JsonFormat>) -> Result<(), CommandError> {
        let lines = self.differences.iter().map(|(affected, occurrences)| DifferenceLine { affected, occurrences });
        if output.is_some() {
            return print_json(&ReplayReportJson {
                replayed: self.replayed,
                differences: lines.collect(),
                unlisted_requests: self.unlisted,
                not_replayed: &self.unreplayed,
            });
        }
        for DifferenceLine { affected, occurrences } in lines {
            let AffectedRequest { subject, repo, branch, allowed_before, allowed_after, gained, lost, .. } = affected;
            let change = match (allowed_before, allowed_after) {
                (true, false) => "would be denied",
                (false, true) => "would be allowed",
                _ => "would get other secrets",
            };
            let Occurrences { requests, last_at } = occurrences;
            print_line(&format!("{subject} for {repo} {branch}: {change} ({requests} requests, last {last_at})"))?;
            for (sign, secrets) in [('+', gained), ('-', lost)] {
                for secret in secrets {
                    print_line(&format!("  {sign} {secret}"))?;
                }
            }
        }
        if self.unlisted > 0 {
            print_line(&format!("{} further requests differ", self.unlisted))?;
        }
        for (reason, requests) in &self.unreplayed {
            print_line(&format!("not replayed: {requests} requests: {reason}"))?;
        }
        let differing = self.differences.values().map(|occurrences| occurrences.requests).sum::<u64>() + self.unlisted;
        print_line(&format!("{} requests replayed, {differing} differ", self.replayed))
    }
}
