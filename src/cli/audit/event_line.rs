//! Formats an event as a readable line.

use crate::cli::terminal::escape_for_terminal;
use crate::wire::audit_list::AuditEventObject;

/// The fields of an event that people look for, with control characters escaped.
pub fn format_event(event: &AuditEventObject) -> String {
    let mut words = vec![event.time.clone(), event.kind.clone(), event.outcome.clone()];
    words.extend(event.reason.clone());
    if let Some(caller) = &event.caller {
        words.push(format!("by {}", caller.subject));
    }
    words.extend(event.source_ip.as_ref().map(|ip| format!("from {ip}")));
    match (&event.repo, &event.branch) {
        (Some(repo), Some(branch)) => words.push(format!("for {repo} {branch}")),
        (Some(repo), None) => words.push(format!("for {repo}")),
        (None, _) => {}
    }
    if !event.policies.is_empty() {
        words.push(format!("policies {}", event.policies.join(",")));
    }
    if !event.keys.is_empty() {
        words.push(format!("keys {}", event.keys.join(",")));
    }
    words.extend(event.ticket_id.as_ref().map(|id| format!("ticket {id}")));
    for shadow in event.shadow.iter().filter(|shadow| shadow.would_change) {
        words.push(format!("shadow {} would change it", shadow.policy));
    }
    words.extend(event.count.map(|count| format!("{count} times")));
    escape_for_terminal(&words.join(" "))
}
