//! Issue: a caller asks for a ticket.

use super::{Broker, Context, Error};
use crate::audit::{Event, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::bundle::Bundle;
use crate::model::caller::Caller;
use crate::model::duration;
use crate::model::lease::Lease;
use crate::model::repo::Repo;
use crate::model::request::Asked;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::model::ticket::TicketToken;
use crate::policy::{self, Absence, Decision, Denial, Grant, GrantedSecret, MergeError};
use crate::stores::ReadError;
use crate::tickets::{Sealed, Ticket};
use crate::wire::problem::Code;
use crate::wire::ticket::TicketRequest;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// Secrets of one request that are read at once.
const READS_AT_ONCE: usize = 16;

/// A request for a ticket by an authenticated caller.
#[derive(Debug)]
pub struct Ask {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// What for.
    pub request: TicketRequest,
    /// From where.
    pub context: Context,
}

/// A ticket, and how to redeem it.
pub struct Issued {
    /// The one-time download URL.
    pub url: Zeroizing<String>,
    /// What is no secret about it.
    pub ticket: Arc<Ticket>,
    /// How many of the secrets that the policies name do not exist.
    pub missing: usize,
}

struct Prepared {
    ticket: Arc<Ticket>,
    sealed: Sealed,
    token: TicketToken,
    missing: usize,
}

impl Broker {
    /// Issues a ticket. Runs to its end even if the caller hangs up, so that what happened is recorded.
    ///
    /// # Errors
    /// See api.md's list for `POST /v1/tickets`. After an error there is no ticket.
    pub async fn issue(self: &Arc<Self>, ask: Ask) -> Result<Issued, Error> {
        let broker = self.clone();
        tokio::spawn(async move { broker.issue_to_the_end(ask).await })
            .await
            .unwrap_or(Err(Error::Plain(Code::Internal)))
    }

    async fn issue_to_the_end(&self, ask: Ask) -> Result<Issued, Error> {
        let _under_way = self.under_way();
        let mut event = OpenEvent::new(&self.parts.audit, ask.context.event(EventType::TicketFailed, Outcome::Failed));
        event.caller = Some(ask.caller.clone());
        let prepared = timeout(self.parts.limits.request_timeout, self.prepare(&ask, &mut event))
            .await
            .unwrap_or(Err(Error::Plain(Code::Timeout)))
            .and_then(|prepared| match self.tickets.insert(prepared.ticket.clone(), prepared.sealed.clone()) {
                Ok(()) => Ok(prepared),
                Err(_) => Err(Error::Plain(Code::RateLimited)),
            });
        match prepared {
            Ok(prepared) => self.release(prepared, event).await,
            Err(error) if error.code() == Code::RateLimited => {
                // An event each would let one caller fill the disk.
                event.discard();
                let reason = Code::RateLimited.as_str();
                self.summed.add(EventType::TicketFailed, Outcome::Failed, reason, ask.context.source_ip);
                Err(error)
            }
            Err(error) => {
                event.reason.get_or_insert(error.code().as_str());
                event.close().await?;
                Err(error)
            }
        }
    }

    /// The ticket waits already, but nobody knows its URL before its event is durable.
    async fn release(&self, prepared: Prepared, mut event: OpenEvent) -> Result<Issued, Error> {
        let Prepared { ticket, token, missing, .. } = prepared;
        event.kind = EventType::TicketIssued;
        event.outcome = Outcome::Ok;
        event.ticket_id = Some(ticket.id);
        if let Err(error) = event.close().await {
            self.tickets.withdraw(ticket.id);
            return Err(error.into());
        }
        self.parts.metrics.ticket_issued(ticket.policies.iter().map(|policy| &*policy.name));
        let segment = token.to_url_segment();
        let mut url = Zeroizing::new(String::with_capacity(self.parts.public_url.len() + 14 + segment.len()));
        url.push_str(&self.parts.public_url);
        url.push_str("/v1/downloads/");
        url.push_str(&segment);
        Ok(Issued { url, ticket, missing })
    }

    /// Everything up to the sealed bundle: decide, read, merge, seal.
    async fn prepare(&self, ask: &Ask, event: &mut Event) -> Result<Prepared, Error> {
        let caller = &ask.caller;
        if self.draining.load(Ordering::SeqCst) {
            return Err(Code::Draining.into());
        }
        if !self.callers.charge(caller.identity()) || !self.tickets.has_room_for(&caller.identity()) {
            return Err(Code::RateLimited.into());
        }
        let asked = self.checked_asked(ask, event)?;
        let asked_ttl = ask.request.ttl.as_deref().map(|ttl| self.checked_ttl(ttl)).transpose()?;
        let grant = self.decide(caller, &asked, event).await?;
        if !grant.delivery.ticket {
            event.reason = Some(Code::DeliveryNotAllowed.as_str());
            event.kind = EventType::TicketDenied;
            event.outcome = Outcome::Denied;
            return Err(Code::DeliveryNotAllowed.into());
        }
        let reads = self.read(&grant, ask).await?;
        event.secrets = versions_read(&reads);
        let versions = self.parts.versions_key.digest(present(&reads));
        let merged = policy::merge(&reads, ask.request.keys.as_deref()).map_err(|error| self.merge_failed(&error))?;
        if ask.request.required == Some(true) && merged.entries.is_empty() {
            return Err(Code::SecretNotFound.into());
        }
        let bundle = Bundle { entries: merged.entries, stale: merged.stale, versions };
        event.keys = bundle.entries.keys().cloned().collect();

        let token = TicketToken::random().map_err(|_| Error::Plain(Code::Internal))?;
        let issued_at = self.parts.clock.now();
        let ticket = Arc::new(Ticket {
            id: token.ticket_id(),
            caller: caller.clone(),
            repo: grant.request.repo.clone(),
            branch: grant.request.branch.clone(),
            policies: grant.policies.clone(),
            keys: event.keys.clone(),
            secrets: event.secrets.clone(),
            issued_at,
            expires_at: self.expiry(issued_at, &grant, asked_ttl),
            bind_to: grant.bind_to.unwrap_or(self.parts.tickets.bind_to),
            source_ip: ask.context.source_ip,
        });
        let sealed = self.sealer.seal(&bundle, &token, &ticket).map_err(|_| Error::Plain(Code::Internal))?;
        Ok(Prepared { ticket, sealed, token, missing: merged.missing })
    }

    fn checked_ttl(&self, text: &str) -> Result<Duration, Error> {
        let ttl = duration::parse(text).map_err(|_| Error::InvalidRequest("ttl must be a duration such as 90s"))?;
        if ttl < Duration::from_secs(1) {
            return Err(Error::InvalidRequest("ttl must be at least 1s"));
        }
        if ttl > self.parts.tickets.max_ttl {
            return Err(Error::InvalidRequest("ttl is above the server's maximum"));
        }
        Ok(ttl)
    }

    /// One set of policies from the first look to the last, whatever is put in force meanwhile.
    async fn decide(&self, caller: &Caller, asked: &Asked, event: &mut Event) -> Result<Grant, Error> {
        let policies = self.parts.policies.load_full();
        let facts = self.facts(caller, policies.needs(caller, asked)).await?;
        let started = Instant::now();
        let decision = policies.decide(caller, &facts, asked);
        self.parts.metrics.decision(started.elapsed());
        match decision {
            Decision::Granted(grant) => {
                event.repo = Some(grant.request.repo.clone());
                event.branch = Some(grant.request.branch.clone());
                event.policies = grant.policies.iter().map(|policy| policy.name.to_string()).collect();
                Ok(grant)
            }
            Decision::Denied(denial) => {
                event.kind = EventType::TicketDenied;
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
    fn checked_asked(&self, ask: &Ask, event: &mut Event) -> Result<Asked, Error> {
        let repo = ask.request.repo.as_deref().map(Repo::try_from).transpose()?;
        event.repo.clone_from(&repo);
        let branch = ask.request.branch.as_deref().map(Branch::try_from).transpose()?;
        event.branch.clone_from(&branch);
        Ok(Asked { repo, branch, source_ip: ask.context.source_ip, time: self.parts.clock.now() })
    }

    /// Authorised first, then looked up: only what the grant names is read, and all of it is.
    async fn read(&self, grant: &Grant, ask: &Ask) -> Result<Reads, Error> {
        stream::iter(grant.secrets.iter().cloned())
            .map(|granted| async move {
                match self.parts.stores.read(&granted.secret, &ask.context.request_id).await {
                    Ok(lease) => Ok((granted, Ok(lease))),
                    Err(ReadError::Absent) => Ok((granted, Err(Absence::Absent))),
                    Err(ReadError::Deleted) => Ok((granted, Err(Absence::Deleted))),
                    Err(error) => Err(error.into()),
                }
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await
    }

    fn merge_failed(&self, error: &MergeError) -> Error {
        match error {
            MergeError::SecretNotFound(_) => Code::SecretNotFound.into(),
            MergeError::KeyAbsent { secret, .. } => {
                self.parts.metrics.key_absent(&secret.store);
                Code::KeyAbsent.into()
            }
        }
    }

    fn expiry(&self, issued_at: Timestamp, grant: &Grant, asked: Option<Duration>) -> Timestamp {
        let allowed = grant.ttl.unwrap_or(self.parts.tickets.ttl).min(self.parts.tickets.max_ttl);
        let ttl = asked.map_or(allowed, |asked| asked.min(allowed));
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::ZERO);
        issued_at.checked_add(ttl).unwrap_or(issued_at)
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
