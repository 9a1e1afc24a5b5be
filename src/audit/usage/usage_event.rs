//! The members of a recorded event from which the uses of policies and secrets are found.

use crate::metrics::labels::EventType;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// A recorded event about a request for secrets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageEvent<'a> {
    /// The time of writing.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// `ticket.issued`, `ticket.denied`, `ticket.failed` or `secrets.read`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The reason, if there is one.
    pub reason: Option<String>,
    /// The caller.
    pub caller: Option<UsageCaller>,
    /// The repo.
    pub repo: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The policies that allowed or denied the request.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The ticket; an event without one is about a request for secrets.
    ticket_id: Option<IgnoredAny>,
    /// The secrets that were read.
    #[serde(default)]
    pub secrets: Vec<UsageSecret>,
    /// The policies in shadow mode that apply.
    #[serde(default)]
    pub shadow: Vec<UsageShadow>,
}

/// The caller of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageCaller {
    /// The authenticator.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// The namespace of a pod.
    pub namespace: Option<String>,
    /// The ServiceAccount of a pod.
    pub service_account: Option<String>,
    /// The pod that the token is bound to.
    pub pod: Option<UsagePod>,
}

/// The pod of a caller.
#[derive(Debug, Deserialize)]
pub struct UsagePod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// A secret that was read.
#[derive(Debug, Deserialize)]
pub struct UsageSecret {
    /// The store.
    pub store: String,
    /// The path.
    pub path: String,
}

/// A policy in shadow mode that applies.
#[derive(Debug, Deserialize)]
pub struct UsageShadow {
    /// The name of the policy.
    pub policy: String,
}

impl<'a> UsageEvent<'a> {
    /// Parses the text of an event. `None` if it is not of this form, because it was altered, or if it is a failed redemption:
    /// policies are evaluated and secrets are read for the ticket, and not for its redemption.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let event: Self = serde_json::from_str(text).ok()?;
        let is_redemption = event.kind == EventType::TicketFailed.as_str() && event.ticket_id.is_some();
        (!is_redemption).then_some(event)
    }
}
