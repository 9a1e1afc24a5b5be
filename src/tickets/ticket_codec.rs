//! The binary encoding of a ticket without its secrets. The encoded ticket is stored beside the ciphertext, as part of its
//! associated data.
//!
//! The encoding is compact, because a store may hold a million tickets.

use super::ticket::{Ticket, from_microseconds, to_microseconds};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::model::ticket::TicketId;
use crate::model::ticket_binding::TicketBinding;
use crate::sealing::codec::{DecodeError, Decoder, Encoder, LengthEncoding};
use serde_json::{Map, Value};
use std::sync::Arc;

const ENCODING_VERSION: u8 = 1;
/// Number of leading bytes that each ticket needs for itself: version, ID, time of issue, time of expiry. Tickets of a caller often
/// agree in all other bytes.
pub const OWN_PART_BYTES: usize = 1 + 16 + 8 + 8;

/// Decodes the times of issue and expiry, in microseconds since 1970, from the leading bytes.
pub fn decode_times(own_part: &[u8; OWN_PART_BYTES]) -> (i64, i64) {
    let time = |offset| own_part[offset..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    (time(17), time(25))
}

pub fn encode(ticket: &Ticket) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut out = Encoder::new(&mut bytes, LengthEncoding::Leb128);
    out.push_byte(ENCODING_VERSION);
    out.push_array(ticket.id.as_bytes());
    out.push_array(&to_microseconds(ticket.issued_at).to_le_bytes());
    out.push_array(&to_microseconds(ticket.expires_at).to_le_bytes());
    for text in [ticket.binding.as_str(), &ticket.source_ip.to_string(), ticket.repo.as_str(), ticket.branch.as_str()] {
        out.push_text(text);
    }
    encode_caller(&mut out, &ticket.caller);
    out.push_length(ticket.policies.len());
    for policy in &ticket.policies {
        out.push_text(&policy.name);
        out.push_text(&policy.revision);
    }
    out.push_length(ticket.keys.len());
    for key in &*ticket.keys {
        out.push_text(key);
    }
    out.push_length(ticket.secrets.len());
    for read in &*ticket.secrets {
        out.push_text(&read.secret.store);
        out.push_text(&read.secret.path);
        out.push_optional_text(read.version.as_deref());
    }
    bytes
}

fn encode_caller(out: &mut Encoder<'_>, caller: &Caller) {
    out.push_text(&caller.issuer);
    out.push_text(&caller.subject);
    out.push_optional_text(caller.claims.get("jti").and_then(Value::as_str));
    match &caller.workload {
        None => out.push_byte(0),
        Some(Workload { namespace, service_account, pod }) => {
            out.push_byte(1);
            for text in [namespace, service_account, &pod.name, &pod.uid] {
                out.push_text(text);
            }
        }
    }
}

/// Decodes a ticket.
///
/// # Errors
/// When the bytes are not what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Ticket, DecodeError> {
    let mut reader = Decoder::new(bytes, LengthEncoding::Leb128);
    let input = &mut reader;
    if input.take_byte()? != ENCODING_VERSION {
        return Err(DecodeError);
    }
    let id = TicketId::from_bytes(input.take_array()?);
    let issued_at = from_microseconds(i64::from_le_bytes(input.take_array()?));
    let expires_at = from_microseconds(i64::from_le_bytes(input.take_array()?));
    let binding = TicketBinding::from_name(input.take_text()?).ok_or(DecodeError)?;
    let source_ip = input.take_text()?.parse().map_err(|_| DecodeError)?;
    let repo = Repo::try_from(input.take_text()?).map_err(|_| DecodeError)?;
    let branch = Branch::try_from(input.take_text()?).map_err(|_| DecodeError)?;
    let caller = Arc::new(decode_caller(input)?);
    let policies = decode_list(input, |input| {
        Ok(PolicyRef { name: input.take_text()?.into(), revision: input.take_text()?.into() })
    })?;
    let keys = decode_list(input, |input| input.take_text().map(str::to_owned))?;
    let secrets = decode_list(input, |input| {
        let secret = SecretRef { store: input.take_text()?.into(), path: input.take_text()?.into() };
        Ok(SecretVersion { secret, version: input.take_optional_text()?.map(str::to_owned) })
    })?;
    reader.finish()?;
    Ok(Ticket { id, caller, repo, branch, policies, keys, secrets, issued_at, expires_at, binding, source_ip })
}

fn decode_caller(input: &mut Decoder<'_>) -> Result<Caller, DecodeError> {
    let (issuer, subject) = (input.take_text()?.into(), input.take_text()?.to_owned());
    let claims: Map<String, Value> =
        input.take_optional_text()?.into_iter().map(|jti| ("jti".to_owned(), Value::from(jti))).collect();
    let workload = match input.take_byte()? {
        0 => None,
        1 => {
            let mut text = || input.take_text().map(str::to_owned);
            let (namespace, service_account) = (text()?, text()?);
            Some(Workload { namespace, service_account, pod: Pod { name: text()?, uid: text()? } })
        }
        _ => return Err(DecodeError),
    };
    Ok(Caller { issuer, subject, groups: Vec::new(), workload, unbound_account: None, claims })
}

fn decode_list<T, L: FromIterator<T>>(
    input: &mut Decoder<'_>,
    mut item: impl FnMut(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<L, DecodeError> {
    // The length is not used as a capacity, because the bytes are not trusted.
    (0..input.take_length()?).map(|_| item(input)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ticket::TicketToken;
    use crate::model::ticket_binding::TicketBinding;
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    fn ticket(texts: &[String; 6], workload: bool, version: Option<String>) -> Ticket {
        let [issuer, subject, name, uid, key, path] = texts.clone();
        let pod = Pod { name: name.clone(), uid: uid.clone() };
        let workload = workload.then(|| Workload { namespace: path.clone(), service_account: key.clone(), pod });
        let claims = version.iter().map(|jti| ("jti".to_owned(), Value::String(jti.clone()))).collect();
        let caller = Caller {
            issuer: issuer.as_str().into(),
            subject,
            groups: Vec::new(),
            workload,
            unbound_account: None,
            claims,
        };
        Ticket {
            id: TicketToken::random().expect("random bytes").ticket_id(),
            caller: Arc::new(caller),
            repo: Repo::try_from("apps/site").expect("a repo"),
            branch: Branch::try_from("feature/x").expect("a branch"),
            policies: vec![PolicyRef { name: name.as_str().into(), revision: uid.as_str().into() }; 2],
            keys: [key.clone(), path.clone()].into(),
            secrets: [SecretVersion { secret: SecretRef { store: key.as_str().into(), path }, version }].into(),
            issued_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_micros(90_000_001),
            binding: TicketBinding::Identity,
            source_ip: [127, 0, 0, 1].into(),
        }
    }

    proptest! {
        #[test]
        fn decode_returns_what_was_encoded(texts: [String; 6], workload: bool, version: Option<String>) {
            let ticket = ticket(&texts, workload, version);
            let bytes = encode(&ticket);
            prop_assert_eq!(decode(&bytes), Ok(ticket));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(DecodeError));
            }
        }

        #[test]
        fn decode_never_panics(mut bytes: Vec<u8>) {
            let _ = decode(&bytes);
            bytes.insert(0, ENCODING_VERSION);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn long_texts_are_decoded_as_encoded() {
        for text in ["x".repeat(127), "y".repeat(128), "z".repeat(20_000)].map(Some) {
            let ticket = ticket(&Default::default(), true, text);
            assert_eq!(decode(&encode(&ticket)), Ok(ticket));
        }
    }
}
