//! The text of an audit event: the same JSON as `shell_safe_json` would write, but with one pass over each string instead of several.

use super::audit_event::{AuditEvent, CallerView, PodView, SecretView, ShadowView};
use super::shell_safe_json;
use std::fmt::Write as _;

/// Initial capacity in bytes. Most events have about a thousand.
const USUAL_BYTES: usize = 1536;

impl AuditEvent<'_> {
    /// The hashed text.
    ///
    /// # Errors
    /// A text cannot be written as JSON, which does not occur.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut out = Text(String::with_capacity(USUAL_BYTES));
        out.text("{\"id\":", self.id)?;
        out.text(",\"time\":", self.time)?;
        out.text(",\"chain\":", self.chain)?;
        out.display(",\"seq\":", self.seq);
        out.text(",\"prevHash\":", self.prev_hash)?;
        out.text(",\"type\":", self.kind)?;
        out.text(",\"outcome\":", self.outcome)?;
        out.text_or_null(",\"reason\":", self.reason)?;
        out.0.push_str(",\"caller\":");
        match &self.caller {
            Some(caller) => out.caller(caller)?,
            None => out.0.push_str("null"),
        }
        match self.source_ip {
            // The digits, dots, letters and colons of an address are never escaped.
            Some(address) => {
                out.display(",\"sourceIp\":\"", address);
                out.0.push('"');
            }
            None => out.0.push_str(",\"sourceIp\":null"),
        }
        out.text_or_null(",\"repo\":", self.repo)?;
        out.text_or_null(",\"branch\":", self.branch)?;
        out.list(",\"policies\":[", self.policies, |out, policy| out.text("", policy))?;
        out.list(",\"keys\":[", self.keys, |out, key| out.text("", key))?;
        out.text_or_null(",\"ticketId\":", self.ticket_id)?;
        out.list(",\"secrets\":[", &self.secrets, Text::secret)?;
        out.text_or_null(",\"requestId\":", self.request_id)?;
        if let Some(id) = self.client_request_id {
            out.text(",\"clientRequestId\":", id)?;
        }
        out.text_or_null(",\"traceId\":", self.trace_id)?;
        if let Some(via) = self.via {
            out.text(",\"via\":", via)?;
        }
        out.display(",\"durationMs\":", self.duration_ms);
        if let Some(count) = self.count {
            out.display(",\"count\":", count);
        }
        if !self.shadow.is_empty() {
            out.list(",\"shadow\":[", &self.shadow, Text::shadow)?;
        }
        out.0.push('}');
        Ok(out.0)
    }
}

/// The text so far. The parameter `before` of the methods is what stands before the value: a comma, the name and a colon.
struct Text(String);

type WriteResult = Result<(), serde_json::Error>;

impl Text {
    fn text(&mut self, before: &str, value: &str) -> WriteResult {
        self.0.push_str(before);
        if is_plain(value) {
            self.0.extend(["\"", value, "\""]);
        } else {
            self.0.push_str(&shell_safe_json::to_string(&value)?);
        }
        Ok(())
    }

    fn text_or_null(&mut self, before: &str, value: Option<&str>) -> WriteResult {
        if let Some(value) = value {
            return self.text(before, value);
        }
        self.0.extend([before, "null"]);
        Ok(())
    }

    fn display(&mut self, before: &str, value: impl std::fmt::Display) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "{before}{value}");
    }

    /// Writes a list. `before` ends with the opening bracket.
    fn list<T>(
        &mut self,
        before: &str,
        values: &[T],
        mut write: impl FnMut(&mut Self, &T) -> WriteResult,
    ) -> WriteResult {
        self.0.push_str(before);
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, value)?;
        }
        self.0.push(']');
        Ok(())
    }

    fn caller(&mut self, caller: &CallerView<'_>) -> WriteResult {
        self.text("{\"issuer\":", caller.issuer)?;
        self.text(",\"subject\":", caller.subject)?;
        self.text_or_null(",\"namespace\":", caller.namespace)?;
        self.text_or_null(",\"serviceAccount\":", caller.service_account)?;
        match &caller.pod {
            Some(PodView { name, uid }) => {
                self.text(",\"pod\":{\"name\":", name)?;
                self.text(",\"uid\":", uid)?;
                self.0.push_str("}}");
            }
            None => self.0.push_str(",\"pod\":null}"),
        }
        Ok(())
    }

    fn secret(&mut self, secret: &SecretView<'_>) -> WriteResult {
        self.text("{\"store\":", secret.store)?;
        self.text(",\"path\":", secret.path)?;
        self.text_or_null(",\"version\":", secret.version)?;
        self.0.push('}');
        Ok(())
    }

    fn shadow(&mut self, shadow: &ShadowView<'_>) -> WriteResult {
        self.text("{\"policy\":", shadow.policy)?;
        self.text(",\"effect\":", shadow.effect)?;
        self.0.extend([",\"wouldChange\":", if shadow.would_change { "true}" } else { "false}" }]);
        Ok(())
    }
}

/// Whether a text is written as it is: printable ASCII without quotes, backslashes and what a shell expands. Most texts are short,
/// and for them a table is faster than comparing many bytes at once.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & PLAIN[usize::from(byte)])
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\' | b'$' | b'`' | b'!');
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use std::sync::Arc;

    #[test]
    fn a_plain_text_is_one_that_is_written_as_it_is() {
        for character in (0..0x250).filter_map(char::from_u32) {
            let text = format!("0123456789abcdef{character}0123456789abcdef");
            let as_it_is = shell_safe_json::to_string(&text).expect("JSON") == format!("\"{text}\"");
            assert_eq!(is_plain(&text), as_it_is, "{character:?}");
        }
    }

    fn words() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop_oneof!["[a-z/:.-]{0,40}", any::<String>()], 8)
    }

    proptest! {
        #[test]
        fn an_event_is_written_as_serde_writes_it(
            texts in words(),
            list in prop::collection::vec(any::<String>(), 0..3),
            some in any::<[bool; 16]>(),
            seq in any::<i64>(),
            duration_ms in any::<u64>(),
            source_ip in any::<IpAddr>(),
        ) {
            let text = |index: usize| texts[index].as_str();
            let maybe = |index: usize| some[index].then_some(text(index % 8));
            let names: Vec<Arc<str>> = list.iter().map(|name| name.as_str().into()).collect();
            let event = AuditEvent {
                id: text(0),
                time: text(1),
                chain: text(2),
                seq,
                prev_hash: text(3),
                kind: text(4),
                outcome: text(5),
                reason: maybe(0),
                caller: some[1].then(|| CallerView {
                    issuer: text(6),
                    subject: text(7),
                    namespace: maybe(2),
                    service_account: maybe(3),
                    pod: some[4].then(|| PodView { name: text(0), uid: text(1) }),
                }),
                source_ip: some[5].then_some(source_ip),
                repo: maybe(6),
                branch: maybe(7),
                policies: &names,
                keys: &list[list.len() / 2..],
                ticket_id: maybe(8),
                secrets: list.iter().map(|path| SecretView { store: text(2), path, version: maybe(9) }).collect(),
                request_id: maybe(10),
                client_request_id: maybe(11),
                trace_id: maybe(12),
                via: maybe(13),
                duration_ms,
                count: some[14].then_some(duration_ms / 2),
                shadow: list
                    .iter()
                    .map(|policy| ShadowView { policy, effect: text(3), would_change: some[15] })
                    .collect(),
            };
            prop_assert_eq!(event.to_text().expect("JSON"), shell_safe_json::to_string(&event).expect("JSON"));
        }
    }
}
