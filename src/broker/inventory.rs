//! The inventory: when each policy last matched and each of its secrets was last read, by whom, and what is not used.

use super::administer::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{Act, Resource, Verb};
use crate::audit::{Counted, UsageError, UsageEvent, UsageTimes, Use, UseKind};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, ServiceAccount, Workload};
use crate::model::repo::Repo;
use crate::model::request::Request;
use crate::policy::PolicySet;
use crate::wire::inventory::{Inventory, InventoryItem};
use crate::wire::problem::Code;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

/// The period without a `since`.
pub const DEFAULT_PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);
/// The maximum number of names of repos of one item.
const MAX_REPOS: i64 = 50;
/// Pages of events that a request counts before it answers.
const PAGES_OF_A_REQUEST: usize = 10;
/// Pages that are counted in the background before other tasks are looked at.
const PAGES_AT_ONCE: usize = 50;
/// The interval of counting in the background.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// The intervals of counting after which the gauges are set, and after which old uses are deleted.
const TELL_EVERY: u32 = 10;
const TIDY_EVERY: u32 = 120;

/// The place of an item in the inventory: time of last use, policy, store and path.
pub type InventoryPlace = (String, String, String, String);

/// The place of the last item of a page. Its text is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryCursor(InventoryPlace);

impl std::str::FromStr for InventoryCursor {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

impl Broker {
    /// A page of the inventory. Uses since `since` are counted by caller and repo.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`.
    pub async fn inventory(
        &self,
        who: &Administrator,
        since: Option<Timestamp>,
        page: Page<InventoryCursor>,
    ) -> Result<Inventory, Error> {
        self.authorise(who, Act { verb: Verb::List, resource: Resource::Audit, name: None }).await?;
        let unavailable = |_| Error::Plain(Code::DatabaseUnavailable);
        let now = self.stages.clock.now();
        let since = since.unwrap_or_else(|| now.checked_sub(DEFAULT_PERIOD).unwrap_or(now));
        let policies = self.stages.policies.load_full();
        if !policies.unread_clusters().is_empty() {
            return Err(Code::PoliciesUnavailable.into());
        }
        let usage = self.stages.audit.reader().usage();
        let uses = |event: &UsageEvent<'_>| uses(event, &policies);
        let counted = usage.catch_up(now, PAGES_OF_A_REQUEST, &uses).await.map_err(unavailable)?;
        let live: Vec<&str> = policies.names().collect();
        let mut items = items(&policies, usage.times(&live).await.map_err(unavailable)?, since);
        if let Some(InventoryCursor(after)) = &page.after {
            items.retain(|item| place(item) > *after);
        }
        let next = page.cut(&mut items).and_then(|last| serde_json::to_string(&place(last)).ok());
        let names: BTreeSet<&str> = items.iter().map(|item| item.policy.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut used = usage.used_by(&names, since, MAX_REPOS).await.map_err(unavailable)?;
        for item in &mut items {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            if let Some(by) = used.remove(&(item.policy.clone(), text(&item.store), text(&item.path))) {
                (item.callers, item.repos, item.repos_total) = (by.callers, by.names, by.repos);
            }
        }
        Ok(Inventory { items, since: since.to_string(), complete: counted == Counted::Whole, continue_token: next })
    }

    /// Counts uses in the background, so that they are known when their events are deleted.
    pub async fn follow_usage(&self) {
        for round in 0_u32.. {
            let policies = self.stages.policies.load_full();
            if !policies.unread_clusters().is_empty() {
                // Uses of a policy that is not known are not counted, and never looked at again.
                sleep(COUNT_EVERY).await;
                continue;
            }
            let usage = self.stages.audit.reader().usage();
            let uses = |event: &UsageEvent<'_>| uses(event, &policies);
            let now = self.stages.clock.now();
            let counted = async {
                while usage.catch_up(now, PAGES_AT_ONCE, &uses).await? == Counted::Partly {}
                if round.is_multiple_of(TIDY_EVERY) {
                    usage.tidy(now).await?;
                    usage.forget_gone(now, &|name| policies.get(name).is_some()).await?;
                }
                let live: Vec<&str> = policies.names().collect();
                Ok(if round.is_multiple_of(TELL_EVERY) { Some(usage.times(&live).await?) } else { None })
            };
            let counted: Result<_, UsageError> = counted.await;
            match counted {
                Ok(Some(times)) => {
                    let items = items(&policies, times, now.checked_sub(DEFAULT_PERIOD).unwrap_or(now));
                    let unused = items.iter().filter(|item| item.unused).count();
                    self.stages.metrics.set_inventory(items.len() - unused, unused);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "uses of policies could not be counted; they are counted later"),
            }
            sleep(COUNT_EVERY).await;
        }
    }
}

/// The items without callers and repos, those that are unused first.
fn items(policies: &PolicySet, times: Vec<UsageTimes>, since: Timestamp) -> Vec<InventoryItem> {
    let since = format!("{since:.6}");
    let times: BTreeMap<(String, String, String), String> =
        times.into_iter().map(|one| ((one.policy, one.store, one.path), one.at)).collect();
    let time = |policy: &str, store: &str, path: &str| {
        times.get(&(policy.to_owned(), store.to_owned(), path.to_owned())).cloned()
    };
    let mut items = Vec::new();
    for policy in policies.policies() {
        let name = policy.name();
        let last_matched = time(name, "", "");
        let mode = if policy.is_shadow() { "audit" } else { "enforce" };
        let item = |store: Option<&str>, path: Option<&str>, last_read: Option<String>| {
            let used = if path.is_some() && !policy.is_shadow() { &last_read } else { &last_matched };
            let unused = used.as_ref().is_none_or(|used| *used < since);
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
        // One that is listed twice, with other keys, is one item.
        let secrets: BTreeSet<_> = policy.listed_secrets().collect();
        if secrets.is_empty() {
            items.push(item(None, None, None));
        }
        let secrets = secrets.into_iter();
        items.extend(secrets.map(|one| item(Some(one.store), Some(one.path), time(name, one.store, one.path))));
    }
    items.sort_by_cached_key(place);
    items
}

fn place(item: &InventoryItem) -> InventoryPlace {
    let used = if item.path.is_some() { &item.last_read } else { &item.last_matched };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(used), item.policy.clone(), text(&item.store), text(&item.path))
}

/// What an event used of the policies that are in force.
fn uses(event: &UsageEvent<'_>, policies: &PolicySet) -> Vec<Use> {
    // What these name attested something else, or nothing: it did not match.
    if matches!(event.reason.as_deref(), Some("attestation_failed" | "admission_policy_missing")) {
        return Vec::new();
    }
    let mut uses = Vec::new();
    let whom = event.caller.as_ref().map(|caller| format!("{} {}", caller.issuer, caller.subject));
    let request = request(event);
    let caller = caller(event);
    let shadow = event.shadow.iter().map(|shadow| &shadow.policy);
    for name in event.policies.iter().chain(shadow) {
        let Some(policy) = policies.get(name) else { continue };
        let used = |store: &str, path: &str, kind: UseKind, used_by: &str| Use {
            policy: name.clone(),
            store: store.to_owned(),
            path: path.to_owned(),
            kind,
            name: used_by.to_owned(),
        };
        let mut note = |store: &str, path: &str, first: Option<UseKind>| {
            uses.extend(first.map(|kind| used(store, path, kind, "")));
            uses.extend(whom.iter().map(|whom| used(store, path, UseKind::Caller, whom)));
            uses.extend(event.repo.iter().map(|repo| used(store, path, UseKind::Repo, repo)));
        };
        if policy.denies() {
            note("", "", Some(UseKind::Matched));
            continue;
        }
        // In shadow mode it grants nothing: another policy granted what was read.
        if let (Some(caller), Some(request), false) = (&caller, &request, policy.is_shadow()) {
            for secret in &event.secrets {
                if let Some(written) = policy.find_listed_secret(&secret.store, &secret.path, caller, request) {
                    note(written.store, written.path, Some(UseKind::Read));
                }
            }
        }
        uses.push(used("", "", UseKind::Matched, ""));
    }
    uses
}

fn request(event: &UsageEvent<'_>) -> Option<Request> {
    let repo = Repo::try_from(event.repo.as_deref()?).ok()?;
    Some(Request { repo, branch: Branch::try_from(event.branch.as_deref()?).ok()? })
}

/// The caller as far as the event knows it: without groups and claims.
fn caller(event: &UsageEvent<'_>) -> Option<Caller> {
    let caller = event.caller.as_ref()?;
    let account = caller.namespace.clone().zip(caller.service_account.clone());
    let (workload, unbound) = match (account, &caller.pod) {
        (Some((namespace, service_account)), Some(pod)) => {
            let pod = Pod { name: pod.name.clone(), uid: pod.uid.clone() };
            (Some(Workload { namespace, service_account, pod }), None)
        }
        (Some((namespace, name)), None) => (None, Some(ServiceAccount { namespace, name })),
        (None, _) => (None, None),
    };
    Some(Caller {
        issuer: caller.issuer.as_str().into(),
        subject: caller.subject.clone(),
        groups: Vec::new(),
        workload,
        unbound,
        claims: serde_json::Map::new(),
    })
}
