//! What a replay found: who would gain or lose what, and which requests could not be replayed.

use super::output::{print_json, print_line};
use crate::cli::failure::Failure;
use crate::policy::{DecisionDifference, RecordedRequest, ReplayResult};
use serde::Serialize;
use std::collections::BTreeMap;

/// The maximum number of different lines. Further differences are counted together.
const MAX_LINES: usize = 10_000;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object.
    Json,
}

/// The result of a replay.
#[derive(Default)]
pub struct Report {
    replayed: u64,
    differences: BTreeMap<Affected, Seen>,
    /// Requests with differences for which there was no line left.
    further: u64,
    /// Requests that could not be replayed, by reason.
    unreplayed: BTreeMap<String, u64>,
}

/// Who would gain or lose something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Affected {
    issuer: String,
    subject: String,
    repo: String,
    branch: String,
    allowed_before: bool,
    allowed_after: bool,
    gained: Vec<String>,
    lost: Vec<String>,
}

/// How often, and when for the last time.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    requests: u64,
    last_at: String,
}

#[derive(Serialize)]
struct Line<'r> {
    #[serde(flatten)]
    affected: &'r Affected,
    #[serde(flatten)]
    seen: &'r Seen,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'r> {
    replayed: u64,
    differences: Vec<Line<'r>>,
    further_differences: u64,
    not_replayed: &'r BTreeMap<String, u64>,
}

impl Report {
    pub fn has_differences(&self) -> bool {
        self.further > 0 || !self.differences.is_empty()
    }

    /// Counts requests that could not be replayed.
    pub fn not_replayed(&mut self, reason: &str, requests: u64) {
        *self.unreplayed.entry(reason.to_owned()).or_default() += requests;
    }

    /// Counts the requests of an event.
    pub fn add(&mut self, recorded: &RecordedRequest, replayed: ReplayResult, requests: u64, time: &str) {
        let DecisionDifference { allowed, gained, lost } = match replayed {
            ReplayResult::Same => {
                self.replayed += requests;
                return;
            }
            ReplayResult::Unknown(policy) => {
                let reason = format!("policy {policy} needs claims or facts that the log does not hold");
                return self.not_replayed(&reason, requests);
            }
            ReplayResult::Differs(difference) => difference,
        };
        self.replayed += requests;
        let affected = Affected {
            issuer: recorded.caller.issuer.to_string(),
            subject: recorded.caller.subject.clone(),
            repo: recorded.request.repo.to_string(),
            branch: recorded.request.branch.to_string(),
            allowed_before: allowed.0,
            allowed_after: allowed.1,
            gained,
            lost,
        };
        if self.differences.len() >= MAX_LINES && !self.differences.contains_key(&affected) {
            self.further += requests;
            return;
        }
        let seen = self.differences.entry(affected).or_default();
        seen.requests += requests;
        if seen.last_at.as_str() < time {
            time.clone_into(&mut seen.last_at);
        }
    }

    pub fn print(&self, output: Option<Format>) -> Result<(), Failure> {
        let lines = self.differences.iter().map(|(affected, seen)| Line { affected, seen });
        if output.is_some() {
            return print_json(&Printed {
                replayed: self.replayed,
                differences: lines.collect(),
                further_differences: self.further,
                not_replayed: &self.unreplayed,
            });
        }
        for Line { affected, seen } in lines {
            let Affected { subject, repo, branch, allowed_before, allowed_after, gained, lost, .. } = affected;
            let change = match (allowed_before, allowed_after) {
                (true, false) => "would be denied",
                (false, true) => "would be allowed",
                _ => "would get other secrets",
            };
            let Seen { requests, last_at } = seen;
            print_line(&format!("{subject} for {repo} {branch}: {change} ({requests} requests, last {last_at})"))?;
            for (sign, secrets) in [('+', gained), ('-', lost)] {
                for secret in secrets {
                    print_line(&format!("  {sign} {secret}"))?;
                }
            }
        }
        if self.further > 0 {
            print_line(&format!("{} further requests differ", self.further))?;
        }
        for (reason, requests) in &self.unreplayed {
            print_line(&format!("not replayed: {requests} requests: {reason}"))?;
        }
        let differing = self.differences.values().map(|seen| seen.requests).sum::<u64>() + self.further;
        print_line(&format!("{} requests replayed, {differing} differ", self.replayed))
    }
}
