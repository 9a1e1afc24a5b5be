//! An event as a readable line.

use crate::cli::printable::printable;
use crate::wire::audit_list::AuditEventObject;

/// Time, type, reason, caller and subject of an event, with control characters escaped.
pub fn of(event: &AuditEventObject) -> String {
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
    printable(&words.join(" "))
}
