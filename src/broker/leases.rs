//! Verbs of administrators on leases: list and revoke.

use super::administrator::Administrator;
use super::error::Error;
use super::page::Page;
use super::pipeline::Broker;
use crate::admins::{AdminAction, Resource, Verb};
use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::stores::{EndedLease, LeaseView, PageStart, RevocationProgress, RevocationRequest};
use crate::wire::caller::{CallerObject, PodObject};
use crate::wire::lease::{LeaseList, LeaseObject};
use crate::wire::problem::Code;
use std::str::FromStr;

/// Maximum number of secrets that an event names. If there are more, the event also has their count.
const MAX_LISTED_SECRETS: usize = 100;

/// The position of a lease in a list: its acquisition time and its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasePosition(PageStart);

/// The error of a text that is not a position in a list of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsePositionError;

impl FromStr for LeasePosition {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let (time, id) = text.split_once(' ').ok_or(ParsePositionError)?;
        let is_time = time.parse::<jiff::Timestamp>().is_ok();
        if is_time && is_lease_id(id) { Ok(Self((time.to_owned(), id.to_owned()))) } else { Err(ParsePositionError) }
    }
}

impl Broker {
    /// A page of leases, newest first, with the continuation token of the next page.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn list_leases(
        &self,
        administrator: &Administrator,
        page: Page<LeasePosition>,
    ) -> Result<LeaseList, Error> {
        self.authorise(administrator, leases_action(Verb::List, None)).await?;
        let after = page.after.as_ref().map(|position| &position.0);
        let listed = self.stages.stores.list_leases(after, page.limit_plus_one()).await;
        let mut views = listed.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let next = page.truncate(&mut views).map(LeaseView::position).map(|(time, id)| format!("{time} {id}"));
        Ok(LeaseList { items: views.into_iter().map(lease_object).collect(), continue_token: next })
    }

    /// Revokes one lease, or evicts one cached secret.
    ///
    /// # Errors
    /// `denied`, `not_found`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn end_lease(&self, administrator: &Administrator, id: &str) -> Result<RevocationProgress, Error> {
        // An invalid ID is not sent to the API server.
        let valid_id = is_lease_id(id).then_some(id);
        self.authorise(administrator, leases_action(Verb::Delete, valid_id)).await?;
        let Some(id) = valid_id else { return Err(Code::NotFound.into()) };
        let ended = self.stages.stores.end_lease(id, &revocation_request(administrator)).await;
        match ended.map_err(|_| Error::Plain(Code::DatabaseUnavailable))? {
            None => Err(Code::NotFound.into()),
            // The revocation is recorded by the stores.
            Some(EndedLease::Revoked(revoked)) => Ok(revoked),
            Some(EndedLease::Evicted(secret)) => {
                self.record_eviction(administrator, vec![secret]).await?;
                Ok(RevocationProgress::Done)
            }
        }
    }

    /// Revokes every lease of a store, or those at one path. Cached static secrets are evicted.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn end_leases(
        &self,
        administrator: &Administrator,
        store: &str,
        path: Option<&str>,
    ) -> Result<RevocationProgress, Error> {
        self.authorise(administrator, leases_action(Verb::DeleteCollection, None)).await?;
        let (evicted, revoked) = self.stages.stores.end_leases(store, path, &revocation_request(administrator)).await;
        // First, because the secrets are evicted even if the leases cannot be revoked.
        if !evicted.is_empty() {
            self.record_eviction(administrator, evicted).await?;
        }
        revoked.map_err(|_| Error::Plain(Code::DatabaseUnavailable))
    }

    /// Records that secrets were evicted. If the event cannot be written now, it is written later.
    async fn record_eviction(&self, administrator: &Administrator, secrets: Vec<SecretRef>) -> Result<(), Error> {
        let version = |secret| SecretVersion { secret, version: None };
        let mut event: Event = administrator.context.event(EventType::LeaseRevoked, Outcome::Ok);
        event.caller = Some(administrator.applicant.caller.clone());
        event.reason = Some("administrator");
        event.count = Some(secrets.len() as u64).filter(|count| *count > MAX_LISTED_SECRETS as u64);
        event.secrets = secrets.into_iter().take(MAX_LISTED_SECRETS).map(version).collect();
        let recorded = self.stages.audit.record(event.clone()).await;
        if recorded.is_err() {
            self.stages.audit.record_later(event);
        }
        recorded.map_err(Error::from)
    }
}

fn revocation_request(administrator: &Administrator) -> RevocationRequest {
    let (by, request_id) = (administrator.applicant.caller.clone(), administrator.context.request_id.clone());
    RevocationRequest { by, request_id }
}

fn leases_action(verb: Verb, name: Option<&str>) -> AdminAction<'_> {
    AdminAction { verb, resource: Resource::Leases, name }
}

fn is_lease_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The representation of a caller in the API.
pub(super) fn caller_object(caller: &Caller) -> CallerObject {
    let (namespace, service_account) = caller.service_account().unzip();
    CallerObject {
        issuer: caller.issuer.to_string(),
        subject: caller.subject.clone(),
        namespace: namespace.map(str::to_owned),
        service_account: service_account.map(str::to_owned),
        pod: caller
            .workload
            .as_ref()
            .map(|workload| PodObject { name: workload.pod.name.clone(), uid: workload.pod.uid.clone() }),
    }
}

fn lease_object(view: LeaseView) -> LeaseObject {
    LeaseObject {
        lease_id: view.id,
        store: view.store,
        path: view.path,
        kind: if view.is_dynamic { "dynamic" } else { "static" }.to_owned(),
        acquired_at: view.acquired_at,
        expires_at: view.expires_at,
        renewable: view.renewable,
        stale: view.stale,
        held_by: view.held_by.as_deref().map(caller_object),
        state: view.state.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_lease_ids_are_validated() {
        let id = "0123456789abcdef0123456789abcdef";
        let text = format!("2026-01-01T00:00:00.000000Z {id}");
        assert_eq!(text.parse(), Ok(LeasePosition(("2026-01-01T00:00:00.000000Z".into(), id.into()))));
        for other in
            ["", " ", id, "2026-01-01T00:00:00Z", "x 0123456789abcdef0123456789abcdef", "2026-01-01T00:00:00Z x"]
        {
            assert_eq!(other.parse::<LeasePosition>(), Err(ParsePositionError), "{other:?}");
        }
        for id in ["", "x", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde%"] {
            assert!(!is_lease_id(id), "{id}");
        }
    }
}
