//! The parts of an event's text on which its uses depend. Of the events of a page with equal parts only the last one is parsed,
//! because parsing takes longer than all other work of a page.

use memchr::memmem::Finder;
use std::sync::LazyLock;

/// The names at which the parts begin and end, in their order in the text. The searches are prepared once and not for each event.
static BOUNDS: LazyLock<[Finder<'static>; 8]> = LazyLock::new(|| {
    const NAMES: [&str; 8] = ["type", "pod", "repo", "keys", "ticketId", "secrets", "requestId", "shadow"];
    NAMES.map(|name| Finder::new(&format!(",\"{name}\":")).into_owned())
});

/// Type to ServiceAccount, repo to policies, whether there is a ticket, secrets, and shadow policies. Pod, times, numbers, addresses
/// and IDs are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageParts<'a>([&'a str; 5]);

impl<'a> UsageParts<'a> {
    /// The parts of a recorded event. A text of another form, such as an altered one, is a part as a whole.
    ///
    /// A name with its quotes, as it is searched for here, cannot be within a value: there the quotes have backslashes.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self::split(text).unwrap_or(Self([text, "", "", "", ""]))
    }

    /// Writes a text that is equal for equal parts only: NUL separates them, which JSON does not contain.
    pub fn write_key(&self, key: &mut String) {
        key.clear();
        for part in self.0 {
            key.push_str(part);
            key.push('\0');
        }
    }

    fn split(text: &'a str) -> Option<Self> {
        let [kind, pod, repo, keys, ticket_id, secrets, request_id, shadow] = &*BOUNDS;
        let (caller, rest) = between(text, kind, pod)?;
        let (decision, rest) = between(rest, repo, keys)?;
        let (ticket_id, rest) = between(rest, ticket_id, secrets)?;
        let has_ticket = if ticket_id.ends_with(":null") { "" } else { "ticket" };
        let (secrets, rest) = between(rest, secrets, request_id)?;
        let shadow = shadow.find(rest.as_bytes()).map_or("", |start| &rest[start..]);
        Some(Self([caller, decision, has_ticket, secrets, shadow]))
    }
}

/// The text from the first name to the second one, and what follows.
fn between<'a>(text: &'a str, from: &Finder<'_>, to: &Finder<'_>) -> Option<(&'a str, &'a str)> {
    let text = &text[from.find(text.as_bytes())?..];
    Some(text.split_at(to.find(text.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Head;
    use crate::audit::chain_hasher::ChainHasher;
    use crate::audit::port::Event;
    use crate::metrics::labels::{EventType, Outcome};
    use crate::model::branch::Branch;
    use crate::model::caller::{Caller, Pod};
    use crate::model::clock::format_time;
    use crate::model::repo::Repo;
    use crate::model::secret_ref::{SecretRef, SecretVersion};
    use crate::model::shadow::{ShadowOutcome, ShadowVerdict};
    use crate::model::ticket::TicketId;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn event(pod: &str) -> Event {
        let mut event = Event::new(EventType::TicketIssued, Outcome::Ok);
        event.caller = Some(caller(["cluster", "subject", "ci", "build-bot"], pod));
        event.repo = Repo::try_from("site").ok();
        event.branch = Branch::try_from("main").ok();
        event.policies = vec!["p".into()];
        event.secrets = [secret("a")].into();
        event
    }

    fn caller([issuer, subject, namespace, account]: [&str; 4], pod: &str) -> Arc<Caller> {
        let pod = Pod { name: pod.to_owned(), uid: pod.to_owned() };
        let account = (namespace.to_owned(), account.to_owned());
        Arc::new(Caller::from_event(issuer, subject, Some(account), Some(pod)))
    }

    fn secret(path: &str) -> SecretVersion {
        SecretVersion { secret: SecretRef { store: "vault".into(), path: path.into() }, version: None }
    }

    /// The text with this number in its chain.
    fn text(event: &Event, seq: i64) -> Arc<str> {
        let mut head = Head { chain: "c".into(), seq, hash: seq.to_string().into(), time: "".into() };
        let time = format_time(Timestamp::from_second(seq).expect("a time")).into();
        ChainHasher::new(None, &[]).link(&mut head, event, &time).expect("JSON").text
    }

    #[test]
    fn events_of_equal_use_have_equal_parts() {
        let with_ticket = |pod: &str, id| Event { ticket_id: Some(TicketId::from_bytes([id; 16])), ..event(pod) };
        let (first, second) = (text(&with_ticket("pod-1", 1), 1), text(&with_ticket("pod-2", 2), 2));
        assert_ne!(first, second);
        assert_eq!(UsageParts::of(&first), UsageParts::of(&second));
        let (first, second) = (text(&event("pod-1"), 1), text(&event("pod-2"), 2));
        assert_ne!(first, second);
        assert_eq!(UsageParts::of(&first), UsageParts::of(&second));
        assert_ne!(UsageParts::of(&first).0[1], "");
    }

    #[test]
    fn each_member_that_uses_depend_on_is_in_a_part() {
        let base = text(&event("pod"), 1);
        let changed = |change: fn(&mut Event)| {
            let mut event = event("pod");
            change(&mut event);
            text(&event, 1)
        };
        for other in [
            changed(|event| event.kind = EventType::SecretsRead),
            changed(|event| event.reason = Some("attestation_failed")),
            changed(|event| event.caller = None),
            changed(|event| event.caller = Some(caller(["other", "subject", "ci", "build-bot"], "pod"))),
            changed(|event| event.caller = Some(caller(["cluster", "other", "ci", "build-bot"], "pod"))),
            changed(|event| event.caller = Some(caller(["cluster", "subject", "other", "build-bot"], "pod"))),
            changed(|event| event.caller = Some(caller(["cluster", "subject", "ci", "other"], "pod"))),
            changed(|event| event.repo = Repo::try_from("other").ok()),
            changed(|event| event.branch = Branch::try_from("other").ok()),
            changed(|event| event.branch = Branch::try_from("a\",\"keys\":[]").ok()),
            changed(|event| event.policies.push("q".into())),
            changed(|event| event.secrets = [secret("b")].into()),
            changed(|event| event.ticket_id = Some(TicketId::from_bytes([1; 16]))),
            changed(|event| {
                event.shadow =
                    vec![ShadowVerdict { policy: "s".into(), denies: true, outcome: ShadowOutcome::NoChange }];
            }),
        ] {
            assert_ne!(UsageParts::of(&base), UsageParts::of(&other), "{other}");
        }
    }

    #[test]
    fn a_text_of_another_form_is_a_part_as_a_whole() {
        for text in ["", "{}", "{\"time\":\"x\",\"type\":\"ticket.issued\"}", "é,\"pod\":,\"type\":é"] {
            assert_eq!(UsageParts::of(text), UsageParts([text, "", "", "", ""]));
        }
    }
}
