//! Builds the bundle of a request, for tickets and for direct delivery: decides, reads the granted secrets and merges them.

use super::error::Error;
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use super::refusal::{EventData, Refusal};
use crate::audit::Event;
use crate::metrics::labels::Outcome;
use crate::model::branch::Branch;
use crate::model::bundle::Bundle;
use crate::model::compatible_api::CompatibleApi;
use crate::model::duration;
use crate::model::facts::{Facts, Needs};
use crate::model::repo::Repo;
use crate::model::request::UnverifiedRequest;
use crate::model::secret::Secret;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::model::shadow::ShadowVerdict;
use crate::model::ticket_binding::TicketBinding;
use crate::policy::{
    self, Absence, AllowedDeliveries, Decision, Denial, Grant, GrantedSecret, MergeError, MergedSecrets, PolicySet,
};
use crate::stores::{FetchError, FetchedSecret, ReadError, ReadRequest};
use crate::traces::Stage;
use crate::wire::problem::Code;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

/// Maximum number of secrets of one request that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The granted secrets of a request, read and merged.
pub(super) struct GatheredSecrets {
    pub(super) grant: Grant,
    pub(super) bundle: Bundle,
    /// The secrets that were read.
    pub(super) secrets: Arc<[SecretVersion]>,
    /// When the newest of the secrets was created, if the stores report it.
    pub(super) created_at: Option<Timestamp>,
    /// Number of granted secrets that do not exist.
    pub(super) missing: usize,
    /// The requested lifetime of the ticket.
    pub(super) requested_ttl: Option<Duration>,
    /// When the first of the secrets expires. `None` if no secret expires. A time and not a duration, because other reads of the
    /// request may take longer than this one.
    pub(super) secrets_expire_at: Option<Instant>,
    /// The verdicts of policies in shadow mode.
    pub(super) shadow: Vec<ShadowVerdict>,
}

impl GatheredSecrets {
    /// The data for the audit event.
    pub(super) fn event_data(&self) -> EventData {
        let keys = self.bundle.entries.keys().cloned().collect();
        let (secrets, shadow) = (self.secrets.clone(), self.shadow.clone());
        EventData { secrets, keys, shadow, ..EventData::from_grant(&self.grant) }
    }
}

/// Sets the reason of the event to `stale` if the bundle has a stale value, which is served because its store is unreachable.
/// Otherwise removes the reason.
pub(super) fn set_stale_reason(event: &mut Event, is_stale: bool) {
    event.reason = is_stale.then_some("stale");
}

impl Broker {
    /// Decides a request, reads the granted secrets and merges them, within the request timeout.
    pub(super) async fn gather(&self, request: &IssueRequest, mode: DeliveryMode) -> Result<GatheredSecrets, Refusal> {
        let deadline = Instant::now() + self.stages.limits.request_timeout;
        if self.is_draining() {
            return Err(Code::Draining.into());
        }
        if self.clocks_differ.load(Ordering::Relaxed) {
            return Err(Code::ClocksDiffer.into());
        }
        if !self.requests.charge(request.caller.quota_identity()) {
            return Err(Code::RateLimited.into());
        }
        let unverified = self.parse_request(request)?;
        let requested_ttl = request.body.ttl.as_deref().map(|ttl| self.parse_ttl(ttl)).transpose();
        let requested_ttl = requested_ttl.map_err(|error| Refusal::new(error, requested_event_data(&unverified)))?;
        let DecidedRequest { policies, facts, needs, grant } =
            self.decide(request, &unverified, mode, deadline).await?;
        // Concurrent with the reads, so that policies in shadow mode do not delay them.
        let shadow = self.shadow_verdicts(&policies, &request.caller, (&facts, needs), &unverified, mode);
        let gathered = async { self.gather_granted(request, mode, grant?, requested_ttl, deadline).await };
        let (shadow, gathered) = tokio::join!(shadow, gathered);
        match gathered {
            Ok(gathered) => Ok(GatheredSecrets { shadow, ..gathered }),
            Err(mut refusal) => {
                refusal.event_data.shadow = shadow;
                Err(refusal)
            }
        }
    }

    /// Reads the granted secrets and merges them.
    async fn gather_granted(
        &self,
        request: &IssueRequest,
        mode: DeliveryMode,
        grant: Grant,
        requested_ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<GatheredSecrets, Refusal> {
        if mode == DeliveryMode::Ticket && self.is_ticket_limit_reached(request, &grant).await {
            return Err(Refusal {
                outcome: Outcome::Denied,
                ..Refusal::new(Code::TicketLimit, EventData::from_grant(&grant))
            });
        }
        if mode == DeliveryMode::Ticket
            && self.ticket_binding(&grant) == TicketBinding::Ip
            && !request.context.source_is_known
        {
            let error = Error::InvalidRequest(
                "the X-Forwarded-For of a trusted proxy is not an address, so the ticket cannot be bound to one",
            );
            return Err(Refusal { reason: "source_unknown", ..Refusal::new(error, EventData::from_grant(&grant)) });
        }
        let min_lifetime = match mode {
            DeliveryMode::Direct => Duration::ZERO,
            DeliveryMode::Ticket => self.ticket_ttl(&grant, requested_ttl),
        };
        let reading = self.read(&grant, request, min_lifetime).instrument(Stage::Stores.span());
        let result = timeout_at(deadline, reading).await.unwrap_or(Err(Error::Plain(Code::Timeout)));
        let (reads, secrets_expire_at) = result.map_err(|error| {
            let outcome = if error.code() == Code::NotPodBound { Outcome::Denied } else { Outcome::Failed };
            Refusal { outcome, ..Refusal::new(error, EventData::from_grant(&grant)) }
        })?;
        let secrets = secret_versions(&reads);
        let merged = match self.merge(&reads, request) {
            Ok(merged) => merged,
            Err(error) => return Err(Refusal::new(error, EventData { secrets, ..EventData::from_grant(&grant) })),
        };
        let versions = self.stages.versions_key.digest(existing_secrets(&reads));
        let bundle = Bundle { entries: merged.entries, stale: merged.stale, versions };
        let created_at = existing_secrets(&reads).filter_map(|(_, secret)| secret.created_at).max();
        let missing = merged.missing;
        let shadow = Vec::new();
        Ok(GatheredSecrets { grant, bundle, secrets, created_at, missing, requested_ttl, secrets_expire_at, shadow })
    }

    pub(super) fn ticket_binding(&self, grant: &Grant) -> TicketBinding {
        grant.binding.unwrap_or(self.stages.ticket_settings.binding)
    }

    /// The lifetime of a ticket for this grant: at most `limit`, and at most what policies and settings allow.
    pub(super) fn ticket_ttl(&self, grant: &Grant, limit: Option<Duration>) -> Duration {
        let allowed = grant.ttl.unwrap_or(self.stages.ticket_settings.ttl).min(self.stages.ticket_settings.max_ttl);
        limit.map_or(allowed, |limit| limit.min(allowed))
    }

    fn parse_ttl(&self, text: &str) -> Result<Duration, Error> {
        let ttl = duration::parse(text).map_err(|_| Error::InvalidRequest("ttl must be a duration such as 90s"))?;
        if ttl < Duration::from_secs(1) {
            return Err(Error::InvalidRequest("ttl must be at least 1s"));
        }
        if ttl > self.stages.ticket_settings.max_ttl {
            return Err(Error::InvalidRequest("ttl is above the server's maximum"));
        }
        Ok(ttl)
    }

    /// Decides by the active policies. The whole decision uses one set, even if another set becomes active meanwhile.
    async fn decide(
        &self,
        request: &IssueRequest,
        unverified: &UnverifiedRequest,
        mode: DeliveryMode,
        deadline: Instant,
    ) -> Result<DecidedRequest, Refusal> {
        let policies = self.stages.policies.load_full();
        if !policies.unread_clusters().is_empty() {
            return Err(Refusal::new(Code::PoliciesUnavailable, requested_event_data(unverified)));
        }
        let needs = policies.needs(&request.caller, unverified);
        let facts = timeout_at(deadline, self.facts(&request.caller, needs)).await;
        let facts = facts.unwrap_or(Err(Error::Plain(Code::Timeout)));
        let facts = facts.map_err(|error| Refusal::new(error, requested_event_data(unverified)))?;
        let started = Instant::now();
        let decision = Stage::Policy.span().in_scope(|| policies.decide(&request.caller, &facts, unverified));
        self.stages.metrics.observe_decision(started.elapsed());
        let grant = require_grant(decision, unverified, |delivery| mode.is_allowed(delivery, &request.caller));
        Ok(DecidedRequest { policies, facts, needs, grant })
    }

    /// Parses repo and branch. One that is omitted remains `None`; attestation must provide it.
    fn parse_request(&self, request: &IssueRequest) -> Result<UnverifiedRequest, Refusal> {
        let repo = request.body.repo.as_deref().map(Repo::try_from).transpose()?;
        match request.body.branch.as_deref().map(Branch::try_from).transpose() {
            Ok(branch) => Ok(UnverifiedRequest {
                repo,
                branch,
                source_ip: request.context.source_ip,
                time: self.stages.clock.now(),
            }),
            Err(error) => Err(Refusal::new(error, EventData { repo, ..EventData::default() })),
        }
    }

    /// Reads all secrets of the grant, which must be valid for at least `min_lifetime` from now. Also returns when the first of
    /// these secrets expires; `None` if no secret expires.
    async fn read(
        &self,
        grant: &Grant,
        request: &IssueRequest,
        min_lifetime: Duration,
    ) -> Result<(Reads, Option<Instant>), Error> {
        let read = |granted: GrantedSecret| async move {
            let query = ReadRequest {
                secret: &granted.secret,
                mode: granted.lease,
                caller: &request.caller,
                min_lifetime,
                write: granted.write.as_ref(),
                // Vault's clients read repeatedly, and without a pod each new token would get a lease of its own.
                pods_only: request.context.via == Some(CompatibleApi::Vault),
                request_id: &request.context.request_id,
            };
            match self.stages.stores.read_for_caller(query).await {
                Ok(FetchedSecret { secret, expires_at }) => Ok(((granted, Ok(secret)), expires_at)),
                Err(FetchError::Store(ReadError::Absent)) => Ok(((granted, Err(Absence::Absent)), None)),
                Err(FetchError::Store(ReadError::Deleted)) => Ok(((granted, Err(Absence::Deleted)), None)),
                Err(error) => Err(Error::from(error)),
            }
        };
        let each = grant.secrets.iter().cloned().map(read);
        // Most requests are for a few cached secrets, for which a stream costs more than the reads.
        let reads: Vec<_> = if grant.secrets.len() <= CONCURRENT_READS {
            try_join_all(each).await?
        } else {
            stream::iter(each).buffered(CONCURRENT_READS).try_collect().await?
        };
        let expires_at = reads.iter().filter_map(|(_, expires_at)| *expires_at).min();
        Ok((reads.into_iter().map(|(read, _)| read).collect(), expires_at))
    }

    fn merge(&self, reads: &Reads, request: &IssueRequest) -> Result<MergedSecrets, Error> {
        let merged = policy::merge(reads, request.body.keys.as_deref()).map_err(|error| match error {
            MergeError::SecretNotFound(_) => Code::SecretNotFound.into(),
            MergeError::KeyAbsent { secret, .. } => {
                self.stages.metrics.count_absent_key(&secret.store);
                Code::KeyAbsent.into()
            }
            MergeError::NotBase64 { key, .. } => Error::NotBase64 { key },
        })?;
        if request.body.required == Some(true) && merged.entries.is_empty() {
            return Err(Code::SecretNotFound.into());
        }
        Ok(merged)
    }
}

/// A decided request: the result, and the policies and facts that it is based on.
struct DecidedRequest {
    policies: Arc<PolicySet>,
    facts: Facts,
    needs: Needs,
    grant: Result<Grant, Refusal>,
}

/// The grant, if the decision grants the requested mode of delivery.
fn require_grant(
    decision: Decision,
    unverified: &UnverifiedRequest,
    is_allowed: impl Fn(AllowedDeliveries) -> bool,
) -> Result<Grant, Refusal> {
    match decision {
        Decision::Granted(grant) if is_allowed(grant.delivery) => Ok(grant),
        Decision::Granted(grant) => Err(Refusal {
            outcome: Outcome::Denied,
            ..Refusal::new(Code::DeliveryNotAllowed, EventData::from_grant(&grant))
        }),
        Decision::Denied(denial) => {
            let code = match denial {
                Denial::AttestationFailed(_) => Code::AttestationFailed,
                _ => Code::Denied,
            };
            let policies = denial.policies().iter().map(|policy| policy.name.clone()).collect();
            let event_data = EventData { policies, ..requested_event_data(unverified) };
            Err(Refusal { outcome: Outcome::Denied, reason: denial.as_str(), ..Refusal::new(code, event_data) })
        }
        Decision::PartMissing(part) => {
            let refusal = Refusal::new(Error::InvalidRequest(part.missing_message()), requested_event_data(unverified));
            Err(Refusal { reason: part.as_str(), ..refusal })
        }
    }
}

fn requested_event_data(unverified: &UnverifiedRequest) -> EventData {
    EventData { repo: unverified.repo.clone(), branch: unverified.branch.clone(), ..EventData::default() }
}

/// The granted secrets, each with the result of its read.
type Reads = Vec<(GrantedSecret, Result<Arc<Secret>, Absence>)>;

/// The secrets that exist.
fn existing_secrets(reads: &Reads) -> impl Iterator<Item = (&SecretRef, &Arc<Secret>)> {
    reads.iter().filter_map(|(granted, read)| Some((&granted.secret, read.as_ref().ok()?)))
}

fn secret_versions(reads: &Reads) -> Arc<[SecretVersion]> {
    existing_secrets(reads)
        .map(|(secret, read)| SecretVersion { secret: secret.clone(), version: read.version.clone() })
        .collect()
}
