//! Tickets looked at and revoked by administrators, wherever they were issued.

use super::administer::Administrator;
use super::policies::ends;
use super::redeem::describe;
use super::{Broker, Error, Page};
use crate::admins::{Act, Resource, Verb};
use crate::audit::{NotClosed, OpenEvent};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::ticket::TicketId;
use crate::tickets::{Ending, Place, State, Ticket};
use crate::wire::problem::Code;
use crate::wire::ticket_object::{TicketCaller, TicketList, TicketObject, TicketPod};
use std::sync::Arc;

impl Broker {
    /// A page of waiting tickets, newest first; with it the place that the next page begins behind.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`.
    pub async fn list_tickets(&self, who: &Administrator, page: Page<String>) -> Result<TicketList, Error> {
        self.authorise(who, Act { verb: Verb::List, resource: Resource::Tickets, name: None }).await?;
        let not_ours = || Error::InvalidRequest("continue is not what a list answered");
        let after = page.after.as_deref().map(|after| place(after).ok_or_else(not_ours)).transpose()?;
        let store = &self.parts.tickets.store;
        let waiting = store.list(self.parts.clock.now(), after, page.wanted()).await;
        let mut waiting = waiting.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let next =
            ends(&mut waiting, page.limit).map(|last| format!("{}.{}", last.issued_at.as_microsecond(), last.id));
        Ok(TicketList { items: waiting.into_iter().map(object).collect(), next })
    }

    /// Revokes a waiting ticket: whoever has its URL is told so.
    ///
    /// # Errors
    /// `denied`, `token_review_unavailable`, `database_unavailable`, `audit_unavailable`; `not_found` where no ticket of this
    /// id waits.
    pub async fn revoke_ticket(&self, who: &Administrator, id: &str) -> Result<(), Error> {
        // What is no id of a ticket is none in a role either.
        let id = id.parse::<TicketId>().ok();
        let name = id.map(|id| id.to_string());
        let act = Act { verb: Verb::Delete, resource: Resource::Tickets, name: name.as_deref() };
        self.authorise(who, act).await?;
        let id = id.ok_or(Error::Plain(Code::NotFound))?;
        let found = self.parts.tickets.store.find(id).await.map_err(|_| Error::Plain(Code::DatabaseUnavailable))?;
        let now = self.parts.clock.now();
        let waiting = found.filter(|found| found.state == State::Waiting && now < found.ticket.expires_at);
        let ticket = Arc::new(waiting.ok_or(Error::Plain(Code::NotFound))?.ticket);

        let mut event = OpenEvent::new(&self.parts.audit, who.context.event(EventType::TicketRevoked, Outcome::Ok));
        describe(&mut event, &ticket);
        event.caller = Some(who.applicant.caller.clone());
        match event.close_with(self.parts.tickets.store.ending(id, Ending::Revoked)).await {
            Ok(()) => Ok(()),
            Err(NotClosed::Refused(event)) => {
                event.discard();
                Err(Code::NotFound.into())
            }
            // To revoke it once more does no harm.
            Err(NotClosed::Unavailable | NotClosed::Unknown) => Err(Code::AuditUnavailable.into()),
        }
    }
}

fn place(text: &str) -> Option<Place> {
    let (issued_at, id) = text.split_once('.')?;
    Some(Place { issued_at: issued_at.parse().ok()?, id: id.parse().ok()? })
}

fn object(ticket: Ticket) -> TicketObject {
    let caller = &ticket.caller;
    let workload = caller.workload.as_ref();
    TicketObject {
        ticket_id: ticket.id.to_string(),
        caller: TicketCaller {
            issuer: caller.issuer.to_string(),
            subject: caller.subject.clone(),
            namespace: workload.map(|workload| workload.namespace.clone()),
            service_account: workload.map(|workload| workload.service_account.clone()),
            pod: workload.map(|workload| TicketPod { name: workload.pod.name.clone(), uid: workload.pod.uid.clone() }),
        },
        repo: ticket.repo.to_string(),
        branch: ticket.branch.to_string(),
        policies: ticket.policies.iter().map(|policy| policy.name.to_string()).collect(),
        keys: ticket.keys,
        issued_at: format!("{:.3}", ticket.issued_at),
        expires_at: format!("{:.3}", ticket.expires_at),
    }
}
