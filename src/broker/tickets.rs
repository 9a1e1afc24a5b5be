//! Verbs of administrators on tickets: list and revoke the waiting tickets of all replicas.

use super::administrator::Administrator;
use super::error::Error;
use super::leases::caller_object;
use super::page::Page;
use super::pipeline::Broker;
use super::redeem::describe_ticket;
use crate::admins::{AdminAction, Resource, Verb};
use crate::audit::{EventCommitError, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::ticket::TicketId;
use crate::tickets::{FinalState, ListPosition, Ticket, TicketState, TicketStore};
use crate::wire::problem::Code;
use crate::wire::ticket_object::{TicketList, TicketObject};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

/// Number of waiting tickets in one query of a bulk revocation.
const PAGE_SIZE: usize = 1000;
/// Maximum number of concurrent revocations.
const MAX_CONCURRENT: usize = 256;

/// Selects waiting tickets that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketSelector {
    /// The name of a policy that granted the ticket.
    pub policy: Option<String>,
    pub subject: Option<String>,
    pub repo: Option<String>,
}

impl TicketSelector {
    fn selects(&self, ticket: &Ticket) -> bool {
        let matches = |selected: &Option<String>, value: &str| selected.as_ref().is_none_or(|name| name == value);
        let has_policy = |name: &String| ticket.policies.iter().any(|policy| *policy.name == **name);
        self.policy.as_ref().is_none_or(has_policy)
            && matches(&self.subject, &ticket.caller.subject)
            && matches(&self.repo, ticket.repo.as_str())
    }
}

impl Broker {
    /// A page of waiting tickets, newest first, with the continuation token of the next page.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`.
    pub async fn list_tickets(&self, administrator: &Administrator, page: Page<String>) -> Result<TicketList, Error> {
        self.authorise(administrator, AdminAction { verb: Verb::List, resource: Resource::Tickets, name: None })
            .await?;
        let invalid = || Error::InvalidRequest("continue is not a token of this list");
        let after = page.after.as_deref().map(|after| parse_position(after).ok_or_else(invalid)).transpose()?;
        let store = &self.stages.tickets.store;
        let waiting = store.list_waiting(self.stages.clock.now(), after, page.limit_plus_one()).await;
        let mut waiting = waiting.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let next = page.truncate(&mut waiting).map(|last| format!("{}.{}", last.issued_at.as_microsecond(), last.id));
        Ok(TicketList { items: waiting.iter().map(ticket_object).collect(), continue_token: next })
    }

    /// Revokes the selected waiting tickets, and returns their number. A ticket that is issued meanwhile may remain.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`. Some tickets may be revoked then;
    /// a repeated request revokes the others.
    pub async fn revoke_tickets(
        &self,
        administrator: &Administrator,
        selector: &TicketSelector,
    ) -> Result<usize, Error> {
        self.authorise(
            administrator,
            AdminAction { verb: Verb::DeleteCollection, resource: Resource::Tickets, name: None },
        )
        .await?;
        let (store, now) = (&*self.stages.tickets.store, self.stages.clock.now());
        end_waiting_tickets(
            store,
            now,
            |ticket| selector.selects(ticket),
            |ticket| self.revoke_and_record(administrator, ticket),
        )
        .await
    }

    /// Revokes a waiting ticket. Its URL then answers `ticket_revoked`.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`; `not_found` if no ticket with this id
    /// waits.
    pub async fn revoke_ticket(&self, administrator: &Administrator, id: &str) -> Result<(), Error> {
        // An invalid ID is not sent to the API server.
        let id = id.parse::<TicketId>().ok();
        let name = id.map(|id| id.to_string());
        let action = AdminAction { verb: Verb::Delete, resource: Resource::Tickets, name: name.as_deref() };
        self.authorise(administrator, action).await?;
        let id = id.ok_or(Error::Plain(Code::NotFound))?;
        let found = self.stages.tickets.store.find(id).await.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let now = self.stages.clock.now();
        let waiting = found.filter(|found| found.state == TicketState::Waiting && now < found.ticket.expires_at);
        let ticket = waiting.ok_or(Error::Plain(Code::NotFound))?.ticket;
        if self.revoke_and_record(administrator, ticket).await? { Ok(()) } else { Err(Code::NotFound.into()) }
    }

    /// Revokes a ticket and records that. False if it was no longer waiting.
    async fn revoke_and_record(&self, administrator: &Administrator, ticket: Ticket) -> Result<bool, Error> {
        let mut event =
            OpenEvent::new(&self.stages.audit, administrator.context.event(EventType::TicketRevoked, Outcome::Ok));
        describe_ticket(&mut event, &ticket);
        event.caller = Some(administrator.applicant.caller.clone());
        match event.close_with(self.stages.tickets.store.step_to_end(ticket.id, FinalState::Revoked)).await {
            Ok(()) => Ok(true),
            Err(EventCommitError::Rejected(event)) => {
                event.discard();
                Ok(false)
            }
            // If the ticket was revoked nevertheless, the request can be repeated without harm.
            Err(EventCommitError::Failed(_) | EventCommitError::Unknown(_)) => Err(Code::AuditUnavailable.into()),
        }
    }
}

/// Calls `end` for the selected tickets that are waiting at `now`. Returns the number of calls that returned true.
pub(super) async fn end_waiting_tickets<F: Future<Output = Result<bool, Error>>>(
    store: &dyn TicketStore,
    now: Timestamp,
    selects: impl Fn(&Ticket) -> bool,
    end: impl Fn(Ticket) -> F,
) -> Result<usize, Error> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page =
            store.list_waiting(now, after, PAGE_SIZE).await.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        after = page.last().map(|last| ListPosition { issued_at: last.issued_at.as_microsecond(), id: last.id });
        let is_last = page.len() < PAGE_SIZE;
        let selected: Vec<Ticket> = page.into_iter().filter(&selects).collect();
        let ended: Vec<bool> =
            stream::iter(selected.into_iter().map(&end)).buffer_unordered(MAX_CONCURRENT).try_collect().await?;
        count += ended.into_iter().filter(|has_ended| *has_ended).count();
        if is_last {
            return Ok(count);
        }
    }
}

fn parse_position(text: &str) -> Option<ListPosition> {
    let (issued_at, id) = text.split_once('.')?;
    Some(ListPosition { issued_at: issued_at.parse().ok()?, id: id.parse().ok()? })
}

fn ticket_object(ticket: &Ticket) -> TicketObject {
    TicketObject {
        ticket_id: ticket.id.to_string(),
        caller: caller_object(&ticket.caller),
        repo: ticket.repo.to_string(),
        branch: ticket.branch.to_string(),
        policies: ticket.policies.iter().map(|policy| policy.name.to_string()).collect(),
        keys: ticket.keys.to_vec(),
        issued_at: format!("{:.3}", ticket.issued_at),
        expires_at: format!("{:.3}", ticket.expires_at),
    }
}
