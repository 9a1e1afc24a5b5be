//! The inventory: when each policy last matched, when each of its secrets was last read and by whom, and which of them are unused.

use super::administrator::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{AdminAction, Resource, Verb};
use crate::audit::{LastUse, PolicyUse, UsageError, UsageEvent, UsageProgress, UseKind};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod};
use crate::model::clock::format_time;
use crate::model::repo::Repo;
use crate::model::request::Request;
use crate::policy::PolicySet;
use crate::wire::inventory::{Inventory, InventoryItem};
use crate::wire::problem::Code;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The period of an inventory that is requested without `since`.
pub const DEFAULT_PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Maximum number of repos that one item names.
const MAX_REPOS: i64 = 50;
/// Maximum number of pages (of a thousand events) that a request for the inventory adds before its response.
const MAX_PAGES_PER_REQUEST: usize = 10;
/// Maximum number of pages that the background task adds in one call. It repeats the call until no event is left.
const MAX_PAGES_PER_CALL: usize = 50;
/// Interval between rounds of counting in the background.
const COUNT_INTERVAL: Duration = Duration::from_secs(30);
/// The gauges are set in every tenth round.
const ROUNDS_PER_GAUGE_UPDATE: u32 = 10;
/// Old uses are deleted in every 120th round.
const ROUNDS_PER_TIDY: u32 = 120;

/// The sort key of an item in the inventory: time of last use, policy, store and path.
pub type InventoryPosition = (String, String, String, String);

/// The position of the last item of a page. Its text is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryCursor(InventoryPosition);

impl std::str::FromStr for InventoryCursor {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

impl Broker {
    /// A page of the inventory, unused items first. The callers and repos of an item are counted from `since` on.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `policies_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn inventory(
        &self,
        administrator: &Administrator,
        since: Option<Timestamp>,
        page: Page<InventoryCursor>,
    ) -> Result<Inventory, Error> {
        self.authorise(administrator, AdminAction { verb: Verb::List, resource: Resource::Audit, name: None }).await?;
        let unavailable = |_| Error::Plain(Code::DatabaseUnavailable);
        let now = self.stages.clock.now();
        let since = since.unwrap_or_else(|| now.checked_sub(DEFAULT_PERIOD).unwrap_or(now));
        let policies = self.stages.policies.load_full();
        if !policies.unread_clusters().is_empty() {
            return Err(Code::PoliciesUnavailable.into());
        }
        let usage = self.stages.audit.reader().usage();
        let uses = |event: &UsageEvent<'_>| uses_in(event, &policies);
        let progress = usage.add_new_events(now, MAX_PAGES_PER_REQUEST, &uses).await.map_err(unavailable)?;
        let active: Vec<&str> = policies.names().collect();
        let mut items = list_items(&policies, usage.last_uses(&active).await.map_err(unavailable)?, since);
        if let Some(InventoryCursor(after)) = &page.after {
            items.retain(|item| position(item) > *after);
        }
        let next = page.truncate(&mut items).and_then(|last| serde_json::to_string(&position(last)).ok());
        let names: BTreeSet<&str> = items.iter().map(|item| item.policy.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut summaries = usage.summarise(&names, since, MAX_REPOS).await.map_err(unavailable)?;
        for item in &mut items {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            if let Some(summary) = summaries.remove(&(item.policy.clone(), text(&item.store), text(&item.path))) {
                (item.callers, item.repos, item.repos_total) = (summary.callers, summary.repo_names, summary.repos);
            }
        }
        Ok(Inventory {
            items,
            since: since.to_string(),
            complete: progress == UsageProgress::Complete,
            continue_token: next,
        })
    }

    /// Counts uses periodically, so that they are known after their events are deleted. Never returns.
    pub async fn follow_usage(self: Arc<Self>) {
        for round in 0_u32.. {
            let policies = self.stages.policies.load_full();
            if !policies.unread_clusters().is_empty() {
                // No event is counted a second time, so counting waits until all policies are known.
                sleep(COUNT_INTERVAL).await;
                continue;
            }
            let usage = self.stages.audit.reader().usage();
            let uses = |event: &UsageEvent<'_>| uses_in(event, &policies);
            let now = self.stages.clock.now();
            let count = async {
                while usage.add_new_events(now, MAX_PAGES_PER_CALL, &uses).await? == UsageProgress::Partial {}
                if round.is_multiple_of(ROUNDS_PER_TIDY) {
                    usage.tidy(now).await?;
                    usage.tidy_deleted_policies(now, &|name| policies.get(name).is_some()).await?;
                }
                let active: Vec<&str> = policies.names().collect();
                Ok(if round.is_multiple_of(ROUNDS_PER_GAUGE_UPDATE) {
                    Some(usage.last_uses(&active).await?)
                } else {
                    None
                })
            };
            let last_uses: Result<_, UsageError> = count.await;
            match last_uses {
                Ok(Some(last_uses)) => {
                    let items = list_items(&policies, last_uses, now.checked_sub(DEFAULT_PERIOD).unwrap_or(now));
                    let unused = items.iter().filter(|item| item.unused).count();
                    self.stages.metrics.set_inventory(items.len() - unused, unused);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "uses of policies could not be counted; they are counted later"),
            }
            sleep(COUNT_INTERVAL).await;
        }
    }
}

/// All items in the order of the inventory, still without callers and repos.
fn list_items(policies: &PolicySet, last_uses: Vec<LastUse>, since: Timestamp) -> Vec<InventoryItem> {
    let since = format_time(since);
    let times: BTreeMap<(String, String, String), String> =
        last_uses.into_iter().map(|used| ((used.policy, used.store, used.path), used.last_at)).collect();
    let last_use = |policy: &str, store: &str, path: &str| {
        times.get(&(policy.to_owned(), store.to_owned(), path.to_owned())).cloned()
    };
    let mut items = Vec::new();
    for policy in policies.policies() {
        let name = policy.name();
        let last_matched = last_use(name, "", "");
        // `mode: audit` in a policy is called shadow mode here.
        let mode = if policy.is_shadow() { "audit" } else { "enforce" };
        let item = |store: Option<&str>, path: Option<&str>, last_read: Option<String>| {
            let last_used = if path.is_some() && !policy.is_shadow() { &last_read } else { &last_matched };
            let unused = last_used.as_ref().is_none_or(|last_used| *last_used < since);
            InventoryItem {
                policy: name.to_string(),
                store: store.map(str::to_owned),
                path: path.map(str::to_owned),
                last_matched: last_matched.clone(),
                last_read,
                callers: 0,
                repos: Vec::new(),
                repos_total: 0,
                unused,
                mode: mode.to_owned(),
            }
        };
        // A secret that is listed several times, with different keys, is one item.
        let secrets: BTreeSet<_> = policy.listed_secrets().collect();
        if secrets.is_empty() {
            items.push(item(None, None, None));
        }
        let secrets = secrets.into_iter();
        items.extend(
            secrets
                .map(|secret| item(Some(secret.store), Some(secret.path), last_use(name, secret.store, secret.path))),
        );
    }
    items.sort_by_cached_key(position);
    items
}

fn position(item: &InventoryItem) -> InventoryPosition {
    let last_use = if item.path.is_some() { &item.last_read } else { &item.last_matched };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(last_use), item.policy.clone(), text(&item.store), text(&item.path))
}

/// The uses in an event of policies that still exist, and of their secrets.
fn uses_in(event: &UsageEvent<'_>, policies: &PolicySet) -> Vec<PolicyUse> {
    // The policies in these events did not match, because attestation failed.
    if matches!(event.reason.as_deref(), Some("attestation_failed" | "admission_policy_missing")) {
        return Vec::new();
    }
    let mut uses = Vec::new();
    let caller_name = event.caller.as_ref().map(|caller| format!("{} {}", caller.issuer, caller.subject));
    let request = request_in(event);
    let caller = caller_in(event);
    let shadow = event.shadow.iter().map(|shadow| &shadow.policy);
    for name in event.policies.iter().chain(shadow) {
        let Some(policy) = policies.get(name) else { continue };
        let used = |store: &str, path: &str, kind: UseKind, caller_or_repo: &str| PolicyUse {
            policy: name.clone(),
            store: store.to_owned(),
            path: path.to_owned(),
            kind,
            caller_or_repo: caller_or_repo.to_owned(),
        };
        let mut add = |store: &str, path: &str, kind: UseKind| {
            uses.push(used(store, path, kind, ""));
            uses.extend(caller_name.iter().map(|caller| used(store, path, UseKind::Caller, caller)));
            uses.extend(event.repo.iter().map(|repo| used(store, path, UseKind::Repo, repo)));
        };
        if policy.denies() {
            add("", "", UseKind::Matched);
            continue;
        }
        // A policy in shadow mode grants nothing, so its secrets were read by the grant of another policy.
        if let (Some(caller), Some(request), false) = (&caller, &request, policy.is_shadow()) {
            for secret in &event.secrets {
                if let Some(listed) = policy.find_listed_secret(&secret.store, &secret.path, caller, request) {
                    add(listed.store, listed.path, UseKind::Read);
                }
            }
        }
        uses.push(used("", "", UseKind::Matched, ""));
    }
    uses
}

fn request_in(event: &UsageEvent<'_>) -> Option<Request> {
    let repo = Repo::try_from(event.repo.as_deref()?).ok()?;
    Some(Request { repo, branch: Branch::try_from(event.branch.as_deref()?).ok()? })
}

/// The caller in an event, which has neither groups nor claims.
fn caller_in(event: &UsageEvent<'_>) -> Option<Caller> {
    let caller = event.caller.as_ref()?;
    let account = caller.namespace.clone().zip(caller.service_account.clone());
    let pod = caller.pod.as_ref().map(|pod| Pod { name: pod.name.clone(), uid: pod.uid.clone() });
    Some(Caller::from_event(&caller.issuer, &caller.subject, account, pod))
}
