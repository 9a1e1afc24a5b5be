//! What issuing and direct delivery share: everything from what is asked to the bundle. Decide, read, merge.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::audit::{Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::binding::BindTo;
use crate::model::branch::Branch;
use crate::model::bundle::Bundle;
use crate::model::caller::Caller;
use crate::model::duration;
use crate::model::lease::Lease;
use crate::model::repo::Repo;
use crate::model::request::Asked;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::policy::{self, Absence, Decision, Delivery, Denial, Grant, GrantedSecret, MergeError};
use crate::stores::{Granted, ReadError, Reading, Unread};
use crate::traces::Stage;
use crate::wire::problem::Code;
use crate::wire::ticket::TicketRequest;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument as _;

/// Secrets of one request that are read at once.
const READS_AT_ONCE: usize = 16;

/// The reason of an event of a bundle that has an older answer of a store that could not be reached.
const STALE: &str = "stale";

/// A request for secrets by an authenticated caller.
#[derive(Debug)]
pub struct IssueRequest {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// What for.
    pub request: TicketRequest,
    /// From where.
    pub context: Context,
    /// Whether the lengths of the values are to be told with a ticket.
    pub sizes: bool,
}

/// How the secrets are to reach the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// By a ticket.
    Ticket,
    /// In the answer itself.
    Direct,
}

/// What a decision grants, read and merged.
pub(super) struct Gathered {
    pub(super) grant: Grant,
    pub(super) bundle: Bundle,
    /// How many of the secrets that the policies name do not exist.
    pub(super) missing: usize,
    /// The life that the caller asked for, or less where something in the bundle ends before.
    pub(super) asked_ttl: Option<Duration>,
}

impl DeliveryMode {
    /// The event of a request that went wrong.
    pub(super) const fn failed(self) -> EventType {
        match self {
            Self::Ticket => EventType::TicketFailed,
            Self::Direct => EventType::SecretsRead,
        }
    }

    const fn denied(self) -> EventType {
        match self {
            Self::Ticket => EventType::TicketDenied,
            Self::Direct => EventType::SecretsRead,
        }
    }

    const fn is_in(self, delivery: Delivery) -> bool {
        match self {
            Self::Ticket => delivery.ticket,
            Self::Direct => delivery.direct,
        }
    }
}

impl Broker {
    /// Opens the event of a request for secrets, as one that went wrong.
    pub(super) fn open_event(&self, ask: &IssueRequest, mode: DeliveryMode) -> OpenEvent {
        let mut event = OpenEvent::new(&self.stages.audit, ask.context.event(mode.failed(), Outcome::Failed));
        event.caller = Some(ask.caller.clone());
        event
    }

    /// Closes the event of a request for secrets that came to nothing, and says what is to be answered.
    pub(super) async fn failed(&self, error: Error, mut event: OpenEvent, ask: &IssueRequest) -> Error {
        if error.code() == Code::RateLimited {
            // An event each would let one caller fill the disk.
            self.aggregated.add(event.kind, Outcome::Failed, Code::RateLimited.as_str(), ask.context.source_ip);
            event.discard();
            return error;
        }
        if event.reason == Some(STALE) {
            event.reason = None;
        }
        event.reason.get_or_insert(error.code().as_str());
        self.record_refused(event).await.err().map_or(error, Error::from)
    }

    /// Records why a request was not read, and says what is to be answered.
    pub async fn unreadable(&self, caller: Arc<Caller>, context: &Context, mode: DeliveryMode, error: Error) -> Error {
        if !self.callers.charge(caller.account()) {
            let reason = Code::RateLimited.as_str();
            self.aggregated.add(mode.failed(), Outcome::Failed, reason, context.source_ip);
            return Code::RateLimited.into();
        }
        let mut event = OpenEvent::new(&self.stages.audit, context.event(mode.failed(), Outcome::Failed));
        event.caller = Some(caller);
        event.reason = Some(error.code().as_str());
        self.record_refused(event).await.err().map_or(error, Error::from)
    }

    /// Decides, reads what is granted, and merges it.
    pub(super) async fn gather(
        &self,
        ask: &IssueRequest,
        mode: DeliveryMode,
        event: &mut Event,
    ) -> Result<Gathered, Error> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Code::Draining.into());
        }
        if self.clocks_differ.load(Ordering::Relaxed) {
            return Err(Code::ClocksDiffer.into());
        }
        if !self.callers.charge(ask.caller.account()) {
            return Err(Code::RateLimited.into());
        }
        let asked = self.checked_asked(ask, event)?;
        let asked_ttl = ask.request.ttl.as_deref().map(|ttl| self.checked_ttl(ttl)).transpose()?;
        let grant = self.decide(&ask.caller, &asked, mode, event).await?;
        if mode == DeliveryMode::Ticket && self.binding(&grant) == BindTo::Ip && !ask.context.source_is_known {
            event.reason = Some("source_unknown");
            return Err(Error::InvalidRequest(
                "the X-Forwarded-For of a trusted proxy is no address, so that the ticket cannot be bound to one",
            ));
        }
        let reading = self.read(&grant, ask, self.life(mode, &grant, asked_ttl)).instrument(Stage::Stores.span());
        let (reads, good_for) = reading.await?;
        // What is in the ticket is good as long as the ticket.
        let asked_ttl = [asked_ttl, good_for].into_iter().flatten().min();
        event.secrets = versions_read(&reads);
        let versions = self.stages.versions_key.digest(present(&reads));
        let merged = policy::merge(&reads, ask.request.keys.as_deref()).map_err(|error| self.merge_failed(&error))?;
        if ask.request.required == Some(true) && merged.entries.is_empty() {
            return Err(Code::SecretNotFound.into());
        }
        let bundle = Bundle { entries: merged.entries, stale: merged.stale, versions };
        event.keys = bundle.entries.keys().cloned().collect();
        if bundle.stale {
            event.reason = Some(STALE);
        }
        Ok(Gathered { grant, bundle, missing: merged.missing, asked_ttl })
    }

    /// What the ticket of this grant is bound to.
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

    /// One set of policies from the first look to the last, whatever is put in force meanwhile.
    async fn decide(
        &self,
        caller: &Caller,
        asked: &Asked,
        mode: DeliveryMode,
        event: &mut Event,
    ) -> Result<Grant, Error> {
        let policies = self.stages.policies.load_full();
        let facts = self.facts(caller, policies.needs(caller, asked)).await?;
        let started = Instant::now();
        let decision = Stage::Policy.span().in_scope(|| policies.decide(caller, &facts, asked));
        self.stages.metrics.decision(started.elapsed());
        match decision {
            Decision::Granted(grant) => {
                event.repo = Some(grant.request.repo.clone());
                event.branch = Some(grant.request.branch.clone());
                event.policies = grant.policies.iter().map(|policy| policy.name.to_string()).collect();
                if mode.is_in(grant.delivery) {
                    return Ok(grant);
                }
                event.kind = mode.denied();
                event.outcome = Outcome::Denied;
                Err(Code::DeliveryNotAllowed.into())
            }
            Decision::Denied(denial) => {
                event.kind = mode.denied();
                event.outcome = Outcome::Denied;
                event.reason = Some(denial.as_str());
                event.policies = denial.policies().iter().map(|policy| policy.name.to_string()).collect();
                Err(match denial {
                    Denial::AttestationFailed(_) => Code::AttestationFailed.into(),
                    _ => Code::Denied.into(),
                })
            }
            Decision::LeftOut(part) => {
                event.reason = Some(part.as_str());
                Err(Error::InvalidRequest(part.missing()))
            }
        }
    }

    /// What is left out is for the policies to attest.
    fn checked_asked(&self, ask: &IssueRequest, event: &mut Event) -> Result<Asked, Error> {
        let repo = ask.request.repo.as_deref().map(Repo::try_from).transpose()?;
        event.repo.clone_from(&repo);
        let branch = ask.request.branch.as_deref().map(Branch::try_from).transpose()?;
        event.branch.clone_from(&branch);
        Ok(Asked { repo, branch, source_ip: ask.context.source_ip, time: self.stages.clock.now() })
    }

    /// Authorised first, then looked up: only what the grant names is read, and all of it is.
    /// With what was read, how long all of it is good, where some of it ends.
    async fn read(
        &self,
        grant: &Grant,
        ask: &IssueRequest,
        life: Duration,
    ) -> Result<(Reads, Option<Duration>), Error> {
        let reads: Vec<_> = stream::iter(grant.secrets.iter().cloned())
            .map(|granted| async move {
                let wanted = Granted {
                    secret: &granted.secret,
                    mode: granted.lease,
                    caller: &ask.caller,
                    life,
                    write: granted.write.as_ref(),
                    request: &ask.context.request_id,
                };
                match self.stages.stores.read_for(wanted).await {
                    Ok(Reading { lease, good_for }) => Ok(((granted, Ok(lease)), good_for)),
                    Err(Unread::Store(ReadError::Absent)) => Ok(((granted, Err(Absence::Absent)), None)),
                    Err(Unread::Store(ReadError::Deleted)) => Ok(((granted, Err(Absence::Deleted)), None)),
                    Err(error) => Err(Error::from(error)),
                }
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let good_for = reads.iter().filter_map(|(_, good_for)| *good_for).min();
        Ok((reads.into_iter().map(|(read, _)| read).collect(), good_for))
    }

    /// How long the secrets will wait until they are handed over, at most.
    fn life(&self, mode: DeliveryMode, grant: &Grant, asked: Option<Duration>) -> Duration {
        match mode {
            DeliveryMode::Direct => Duration::ZERO,
            DeliveryMode::Ticket => {
                let allowed =
                    grant.ttl.unwrap_or(self.stages.ticket_settings.ttl).min(self.stages.ticket_settings.max_ttl);
                asked.map_or(allowed, |asked| asked.min(allowed))
            }
        }
    }

    fn merge_failed(&self, error: &MergeError) -> Error {
        match error {
            MergeError::SecretNotFound(_) => Code::SecretNotFound.into(),
            MergeError::KeyAbsent { secret, .. } => {
                self.stages.metrics.key_absent(&secret.store);
                Code::KeyAbsent.into()
            }
            MergeError::NotBase64 { key, .. } => Error::NotBase64 { key: key.clone() },
        }
    }
}

type Reads = Vec<(GrantedSecret, Result<Arc<Lease>, Absence>)>;

fn present(reads: &Reads) -> impl Iterator<Item = (&SecretRef, &Arc<Lease>)> {
    reads.iter().filter_map(|(granted, read)| Some((&granted.secret, read.as_ref().ok()?)))
}

fn versions_read(reads: &Reads) -> Vec<SecretVersion> {
    present(reads)
        .map(|(secret, lease)| SecretVersion { secret: secret.clone(), version: lease.version.clone() })
        .collect()
}
