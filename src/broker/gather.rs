//! Builds the bundle of a request, for tickets and for direct delivery: decide, read, merge.

use super::error::Error;
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::Broker;
use super::refusal::{EventData, Refusal};
use crate::audit::Event;
use crate::metrics::labels::Outcome;
use crate::model::binding::BindTo;
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
use crate::policy::{
    self, Absence, Decision, Delivery, Denial, Grant, GrantedSecret, MergeError, MergedSecrets, PolicySet,
};
use crate::stores::{FetchError, Granted, ReadError, Reading};
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

/// Number of secrets of one request that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The granted secrets, read and merged.
pub(super) struct Gathered {
    pub(super) grant: Grant,
    pub(super) bundle: Bundle,
    /// The secrets that were read.
    pub(super) secrets: Vec<SecretVersion>,
    /// When the newest of the secrets was created, if the stores report it.
    pub(super) created_at: Option<Timestamp>,
    /// Number of granted secrets that do not exist.
    pub(super) missing: usize,
    /// The requested lifetime, or less if something in the bundle expires earlier.
    pub(super) asked_ttl: Option<Duration>,
    /// What policies in shadow mode would have changed.
    pub(super) shadow: Vec<ShadowVerdict>,
}

impl Gathered {
    /// The data for the audit event.
    pub(super) fn event_data(&self) -> EventData {
        let keys = self.bundle.entries.keys().cloned().collect();
        let (secrets, shadow) = (self.secrets.clone(), self.shadow.clone());
        EventData { secrets, keys, shadow, ..EventData::granted(&self.grant) }
    }
}

/// Marks the event of a bundle with a stale value, served because its store was unreachable.
pub(super) fn note_stale(event: &mut Event, is_stale: bool) {
    event.reason = is_stale.then_some("stale");
}

impl Broker {
    /// Decides, reads what is granted, and merges it, within the request timeout.
    pub(super) async fn gather(&self, ask: &IssueRequest, mode: DeliveryMode) -> Result<Gathered, Refusal> {
        let deadline = Instant::now() + self.stages.limits.request_timeout;
        if self.draining.load(Ordering::SeqCst) {
            return Err(Code::Draining.into());
        }
        if self.clocks_differ.load(Ordering::Relaxed) {
            return Err(Code::ClocksDiffer.into());
        }
        if !self.callers.charge(ask.caller.quota_identity()) {
            return Err(Code::RateLimited.into());
        }
        let asked = self.check_request(ask)?;
        let asked_ttl = ask.request.ttl.as_deref().map(|ttl| self.checked_ttl(ttl)).transpose();
        let asked_ttl = asked_ttl.map_err(|error| Refusal::new(error, requested_event_data(&asked)))?;
        let Decided { policies, facts, needs, grant } = self.decide(ask, &asked, mode, deadline).await?;
        // Beside the reads, so that a policy in shadow mode takes none of the time that is left for them.
        let shadow = self.shadow_verdicts(&policies, &ask.caller, (&facts, needs), &asked, mode);
        let gathered = async { self.gather_granted(ask, mode, grant?, asked_ttl, deadline).await };
        let (shadow, gathered) = tokio::join!(shadow, gathered);
        match gathered {
            Ok(gathered) => Ok(Gathered { shadow, ..gathered }),
            Err(mut refusal) => {
                refusal.event_data.shadow = shadow;
                Err(refusal)
            }
        }
    }

    /// Reads what is granted, and merges it.
    async fn gather_granted(
        &self,
        ask: &IssueRequest,
        mode: DeliveryMode,
        grant: Grant,
        asked_ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<Gathered, Refusal> {
        if mode == DeliveryMode::Ticket && self.is_ticket_limit_reached(ask, &grant).await {
            return Err(Refusal {
                outcome: Outcome::Denied,
                ..Refusal::new(Code::TicketLimit, EventData::granted(&grant))
            });
        }
        if mode == DeliveryMode::Ticket && self.binding(&grant) == BindTo::Ip && !ask.context.source_is_known {
            let error = Error::InvalidRequest(
                "the X-Forwarded-For of a trusted proxy is not an address, so the ticket cannot be bound to one",
            );
            return Err(Refusal { reason: "source_unknown", ..Refusal::new(error, EventData::granted(&grant)) });
        }
        let reading =
            self.read(&grant, ask, self.secret_lifetime(mode, &grant, asked_ttl)).instrument(Stage::Stores.span());
        let read = timeout_at(deadline, reading).await.unwrap_or(Err(Error::Plain(Code::Timeout)));
        let (reads, good_for) = read.map_err(|error| {
            let outcome = if error.code() == Code::NotPodBound { Outcome::Denied } else { Outcome::Failed };
            Refusal { outcome, ..Refusal::new(error, EventData::granted(&grant)) }
        })?;
        // A ticket lives no longer than the secrets in it.
        let asked_ttl = [asked_ttl, good_for].into_iter().flatten().min();
        let secrets = versions_read(&reads);
        let merged = match self.merge(&reads, ask) {
            Ok(merged) => merged,
            Err(error) => return Err(Refusal::new(error, EventData { secrets, ..EventData::granted(&grant) })),
        };
        let versions = self.stages.versions_key.digest(present(&reads));
        let bundle = Bundle { entries: merged.entries, stale: merged.stale, versions };
        let created_at = present(&reads).filter_map(|(_, lease)| lease.created_at).max();
        let missing = merged.missing;
        Ok(Gathered { grant, bundle, secrets, created_at, missing, asked_ttl, shadow: Vec::new() })
    }

    /// The binding of the ticket for this grant.
    pub(super) fn binding(&self, grant: &Grant) -> BindTo {
        grant.bind_to.unwrap_or(self.stages.ticket_settings.bind_to)
    }

    fn checked_ttl(&self, text: &str) -> Result<Duration, Error> {
        let ttl = duration::parse(text).map_err(|_| Error::InvalidRequest("ttl must be a duration such as 90s"))?;
        if ttl < Duration::from_secs(1) {
            return Err(Error::InvalidRequest("ttl must be at least 1s"));
        }
        if ttl > self.stages.ticket_settings.max_ttl {
            return Err(Error::InvalidRequest("ttl is above the server's maximum"));
        }
        Ok(ttl)
    }

    /// Decides by one set of policies, even if another one becomes active meanwhile.
    async fn decide(
        &self,
        ask: &IssueRequest,
        asked: &UnverifiedRequest,
        mode: DeliveryMode,
        deadline: Instant,
    ) -> Result<Decided, Refusal> {
        let policies = self.stages.policies.load_full();
        if !policies.unread_clusters().is_empty() {
            return Err(Refusal::new(Code::PoliciesUnavailable, requested_event_data(asked)));
        }
        let needs = policies.needs(&ask.caller, asked);
        let facts = timeout_at(deadline, self.facts(&ask.caller, needs)).await;
        let facts = facts.unwrap_or(Err(Error::Plain(Code::Timeout)));
        let facts = facts.map_err(|error| Refusal::new(error, requested_event_data(asked)))?;
        let started = Instant::now();
        let decision = Stage::Policy.span().in_scope(|| policies.decide(&ask.caller, &facts, asked));
        self.stages.metrics.observe_decision(started.elapsed());
        let grant = decided(decision, asked, |delivery| mode.hands_over(delivery, &ask.caller));
        Ok(Decided { policies, facts, needs, grant })
    }

    /// A repo or branch that the request leaves out must be attested.
    fn check_request(&self, ask: &IssueRequest) -> Result<UnverifiedRequest, Refusal> {
        let repo = ask.request.repo.as_deref().map(Repo::try_from).transpose()?;
        match ask.request.branch.as_deref().map(Branch::try_from).transpose() {
            Ok(branch) => {
                Ok(UnverifiedRequest { repo, branch, source_ip: ask.context.source_ip, time: self.stages.clock.now() })
            }
            Err(error) => Err(Refusal::new(error, EventData { repo, ..EventData::default() })),
        }
    }

    /// Reads all secrets of the grant, and nothing else. Also returns their shortest remaining lifetime, if any
    /// expires.
    async fn read(
        &self,
        grant: &Grant,
        ask: &IssueRequest,
        life: Duration,
    ) -> Result<(Reads, Option<Duration>), Error> {
        let read = |granted: GrantedSecret| async move {
            let wanted = Granted {
                secret: &granted.secret,
                mode: granted.lease,
                caller: &ask.caller,
                life,
                write: granted.write.as_ref(),
                // Vault's clients read repeatedly, possibly with a new token each time.
                pods_only: ask.context.via == Some(CompatibleApi::Vault),
                request: &ask.context.request_id,
            };
            match self.stages.stores.read_for(wanted).await {
                Ok(Reading { secret, good_for }) => Ok(((granted, Ok(secret)), good_for)),
                Err(FetchError::Store(ReadError::Absent)) => Ok(((granted, Err(Absence::Absent)), None)),
                Err(FetchError::Store(ReadError::Deleted)) => Ok(((granted, Err(Absence::Deleted)), None)),
                Err(error) => Err(Error::from(error)),
            }
        };
        let each = grant.secrets.iter().cloned().map(read);
        // Most requests are for a few cached secrets. For those, a stream costs more than the reads.
        let reads: Vec<_> = if grant.secrets.len() <= CONCURRENT_READS {
            try_join_all(each).await?
        } else {
            stream::iter(each).buffered(CONCURRENT_READS).try_collect().await?
        };
        let good_for = reads.iter().filter_map(|(_, good_for)| *good_for).min();
        Ok((reads.into_iter().map(|(read, _)| read).collect(), good_for))
    }

    /// The maximum time until the secrets are delivered.
    fn secret_lifetime(&self, mode: DeliveryMode, grant: &Grant, asked: Option<Duration>) -> Duration {
        match mode {
            DeliveryMode::Direct => Duration::ZERO,
            DeliveryMode::Ticket => {
                let allowed =
                    grant.ttl.unwrap_or(self.stages.ticket_settings.ttl).min(self.stages.ticket_settings.max_ttl);
                asked.map_or(allowed, |asked| asked.min(allowed))
            }
        }
    }

    fn merge(&self, reads: &Reads, ask: &IssueRequest) -> Result<MergedSecrets, Error> {
        let merged = policy::merge(reads, ask.request.keys.as_deref()).map_err(|error| match error {
            MergeError::SecretNotFound(_) => Code::SecretNotFound.into(),
            MergeError::KeyAbsent { secret, .. } => {
                self.stages.metrics.count_absent_key(&secret.store);
                Code::KeyAbsent.into()
            }
            MergeError::NotBase64 { key, .. } => Error::NotBase64 { key },
        })?;
        if ask.request.required == Some(true) && merged.entries.is_empty() {
            return Err(Code::SecretNotFound.into());
        }
        Ok(merged)
    }
}

/// A decision, and what it was made of.
struct Decided {
    policies: Arc<PolicySet>,
    facts: Facts,
    needs: Needs,
    grant: Result<Grant, Refusal>,
}

/// The grant, or why there is none for the requested delivery.
fn decided(
    decision: Decision,
    asked: &UnverifiedRequest,
    suffices: impl Fn(Delivery) -> bool,
) -> Result<Grant, Refusal> {
    match decision {
        Decision::Granted(grant) if suffices(grant.delivery) => Ok(grant),
        Decision::Granted(grant) => Err(Refusal {
            outcome: Outcome::Denied,
            ..Refusal::new(Code::DeliveryNotAllowed, EventData::granted(&grant))
        }),
        Decision::Denied(denial) => {
            let code = match denial {
                Denial::AttestationFailed(_) => Code::AttestationFailed,
                _ => Code::Denied,
            };
            let policies = denial.policies().iter().map(|policy| policy.name.to_string()).collect();
            let event_data = EventData { policies, ..requested_event_data(asked) };
            Err(Refusal { outcome: Outcome::Denied, reason: denial.as_str(), ..Refusal::new(code, event_data) })
        }
        Decision::PartMissing(part) => {
            let refusal = Refusal::new(Error::InvalidRequest(part.missing_message()), requested_event_data(asked));
            Err(Refusal { reason: part.as_str(), ..refusal })
        }
    }
}

fn requested_event_data(asked: &UnverifiedRequest) -> EventData {
    EventData { repo: asked.repo.clone(), branch: asked.branch.clone(), ..EventData::default() }
}

type Reads = Vec<(GrantedSecret, Result<Arc<Secret>, Absence>)>;

fn present(reads: &Reads) -> impl Iterator<Item = (&SecretRef, &Arc<Secret>)> {
    reads.iter().filter_map(|(granted, read)| Some((&granted.secret, read.as_ref().ok()?)))
}

fn versions_read(reads: &Reads) -> Vec<SecretVersion> {
    present(reads)
        .map(|(secret, read)| SecretVersion { secret: secret.clone(), version: read.version.clone() })
        .collect()
}
