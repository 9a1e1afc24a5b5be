//! The hash chain: the text of each event contains the hash of the previous event, so verification detects events that were
//! edited, deleted or moved.

use super::chain_hasher::ChainHasher;
use super::port::Event;
use crate::model::caller::Caller;
use crate::model::compatible_api::CompatibleApi;
use crate::model::request_id::RequestId;
use crate::model::shadow::{ShadowOutcome, ShadowVerdict};
use crate::wire::audit_event::{AuditEvent, CallerView, PodView, SecretView, ShadowView};
use std::sync::Arc;

/// The `prevHash` of the first event of the first chain.
pub const NO_PREDECESSOR: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last event of a chain, to which the next one is linked.
#[derive(Debug, Clone)]
pub struct Head {
    /// The name of the chain. Each start of a replica begins one.
    pub chain: Arc<str>,
    /// The number of the last event. 0 if there is none.
    pub seq: i64,
    /// The hash of the last event; without one, the `prevHash` that the first event will have.
    pub hash: Arc<str>,
    /// The time of the last event. Empty if there is none.
    pub time: Arc<str>,
}

/// An event linked into the chain.
#[derive(Debug)]
pub struct Link {
    /// The number in the chain.
    pub seq: i64,
    /// The hash of the previous event.
    pub prev_hash: Arc<str>,
    /// SHA-256 or HMAC-SHA-256 of the text, in hexadecimal.
    pub hash: Arc<str>,
    /// The time of writing. Events that are written in one transaction have the same time.
    pub time: Arc<str>,
    /// The ID of the event's ticket.
    pub ticket_id: Option<String>,
    /// The hashed text.
    pub text: Arc<str>,
}

impl ChainHasher {
    /// Links an event to the head, and makes it the new head. `time` is the time of writing, from
    /// [`crate::model::clock::format_time`].
    ///
    /// # Errors
    /// The event cannot be serialized, which does not occur. The head is then unchanged.
    pub fn link(&self, head: &mut Head, event: &Event, time: &Arc<str>) -> Result<Link, serde_json::Error> {
        let seq = head.seq + 1;
        let ticket_id = event.ticket_id.map(|id| id.to_string());
        let id = format!("{}.{seq}", head.chain);
        let text = AuditEvent {
            id: &id,
            time,
            chain: &head.chain,
            seq,
            prev_hash: &head.hash,
            kind: event.kind.as_str(),
            outcome: event.outcome.as_str(),
            reason: event.reason,
            caller: event.caller.as_deref().map(caller_view),
            source_ip: event.source_ip,
            repo: event.recorded_repo().as_deref(),
            branch: event.recorded_branch().as_deref(),
            policies: &event.policies,
            keys: &event.keys,
            ticket_id: ticket_id.as_deref(),
            secrets: event
                .secrets
                .iter()
                .map(|read| SecretView {
                    store: &read.secret.store,
                    path: &read.secret.path,
                    version: read.version.as_deref(),
                })
                .collect(),
            request_id: event.request_id.as_ref().map(RequestId::as_str),
            client_request_id: event.client_request_id.as_deref(),
            trace_id: event.trace_id.as_deref(),
            via: event.via.map(CompatibleApi::as_str),
            duration_ms: u64::try_from(event.took.as_millis()).unwrap_or(u64::MAX),
            count: event.count,
            shadow: event.shadow.iter().map(shadow_view).collect(),
        }
        .to_text()?;
        let hash: Arc<str> = self.hash(&text).into();
        let prev_hash = std::mem::replace(&mut head.hash, hash.clone());
        head.seq = seq;
        head.time = time.clone();
        Ok(Link { seq, prev_hash, hash, time: time.clone(), ticket_id, text: text.into() })
    }
}

fn shadow_view(verdict: &ShadowVerdict) -> ShadowView<'_> {
    ShadowView {
        policy: &verdict.policy,
        effect: if verdict.denies { "deny" } else { "allow" },
        would_change: verdict.outcome != ShadowOutcome::NoChange,
    }
}

fn caller_view(caller: &Caller) -> CallerView<'_> {
    let (namespace, service_account) = caller.service_account().unzip();
    CallerView {
        issuer: &caller.issuer,
        subject: &caller.subject,
        namespace,
        service_account,
        pod: caller.workload.as_ref().map(|w| PodView { name: &w.pod.name, uid: &w.pod.uid }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{EventType, Outcome};
    use crate::model::branch::Branch;
    use crate::model::clock::format_time;
    use crate::wire::audit_event::append_hash;
    use jiff::Timestamp;

    fn epoch() -> Arc<str> {
        format_time(Timestamp::UNIX_EPOCH).into()
    }

    fn head() -> Head {
        Head { chain: "c".into(), seq: 0, hash: NO_PREDECESSOR.into(), time: "".into() }
    }

    fn two_links(hasher: &ChainHasher) -> [Link; 2] {
        let mut head = head();
        let event = Event::new(EventType::TicketIssued, Outcome::Ok);
        [(); 2].map(|()| hasher.link(&mut head, &event, &epoch()).expect("JSON"))
    }

    #[test]
    fn prev_hash_is_the_hash_of_the_previous_event() {
        let [first, second] = two_links(&ChainHasher::new(None, &[]));
        assert_eq!((first.seq, second.seq), (1, 2));
        assert_eq!((&*first.prev_hash, &second.prev_hash), (NO_PREDECESSOR, &first.hash));
        assert!(second.text.contains(&*first.hash));
        assert_ne!(first.hash, second.hash);
    }

    #[test]
    fn long_names_are_truncated_unless_the_outcome_is_ok() {
        let branch = |outcome, name: &str| {
            let mut event = Event::new(EventType::TicketDenied, outcome);
            event.branch = Branch::try_from(name).ok();
            let link = ChainHasher::new(None, &[]).link(&mut head(), &event, &epoch()).expect("JSON");
            let text: serde_json::Value = serde_json::from_str(&link.text).expect("JSON");
            text["branch"].as_str().expect("a text").to_owned()
        };
        for (name, cut) in [
            ("a".repeat(128), None),
            ("a".repeat(129), Some("a".repeat(128) + "\u{2026}")),
            ("a".to_owned() + &"é".repeat(200), Some("a".to_owned() + &"é".repeat(63) + "\u{2026}")),
        ] {
            assert_eq!(branch(Outcome::Ok, &name), name);
            assert_eq!(branch(Outcome::Denied, &name), cut.clone().unwrap_or_else(|| name.clone()));
            assert_eq!(branch(Outcome::Failed, &name), cut.unwrap_or(name));
        }
    }

    #[test]
    fn append_hash_appends_the_hash_to_the_hashed_text() {
        let [first, _] = two_links(&ChainHasher::new(None, &[]));
        let whole: serde_json::Value = serde_json::from_str(&append_hash(&first.text, &first.hash)).expect("JSON");
        assert_eq!(whole["hash"], *first.hash);
        assert_eq!(whole["time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(whole["type"], "ticket.issued");
        assert!(whole["caller"].is_null() && whole.get("count").is_none());
    }

    #[test]
    fn events_without_shadow_policies_have_no_shadow_member() {
        let mut event = Event::new(EventType::TicketIssued, Outcome::Ok);
        let text = |event: &Event| ChainHasher::new(None, &[]).link(&mut head(), event, &epoch()).expect("JSON").text;
        assert!(text(&event).ends_with("\"durationMs\":0}"), "{}", text(&event));
        event.shadow = [(false, ShadowOutcome::WouldAllow), (true, ShadowOutcome::NoChange)]
            .map(|(denies, outcome)| ShadowVerdict { policy: "p".into(), denies, outcome })
            .into();
        let expected = "\"durationMs\":0,\"shadow\":[{\"policy\":\"p\",\"effect\":\"allow\",\"wouldChange\":true},\
             {\"policy\":\"p\",\"effect\":\"deny\",\"wouldChange\":false}]}";
        assert!(text(&event).ends_with(expected), "{}", text(&event));
    }
}
