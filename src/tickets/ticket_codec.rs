//! What is no secret about a ticket, as bytes and back: what rests beside its bundle, and is bound to it.
//!
//! Short, because there may be a million of them: each text is its length (seven bits a byte) and its bytes.

use super::{Ticket, from_microseconds, microseconds};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::model::ticket::TicketId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a later version may change.
const VERSION: u8 = 1;
/// How many of the bytes, the first ones, no two tickets have in common: the version, the id, and the two times.
pub const OWN_BYTES: usize = 1 + 16 + 8 + 8;

/// When the ticket of these bytes was issued and when it expires, in microseconds of the epoch.
pub fn times(own: &[u8; OWN_BYTES]) -> (i64, i64) {
    let time = |at| own[at..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    (time(17), time(25))
}

/// The bytes hold no ticket: another version of ours wrote them, or somebody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no ticket")]
pub struct NotATicket;

/// Writes a ticket.
pub fn encode(ticket: &Ticket) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.push(VERSION);
    out.extend(ticket.id.as_bytes());
    out.extend(microseconds(ticket.issued_at).to_le_bytes());
    out.extend(microseconds(ticket.expires_at).to_le_bytes());
    for text in [ticket.bind_to.as_str(), &ticket.source_ip.to_string(), ticket.repo.as_str(), ticket.branch.as_str()] {
        put_text(&mut out, text);
    }
    put_caller(&mut out, &ticket.caller);
    put_length(&mut out, ticket.policies.len());
    for policy in &ticket.policies {
        put_text(&mut out, &policy.name);
        put_text(&mut out, &policy.revision);
    }
    put_length(&mut out, ticket.keys.len());
    for key in &ticket.keys {
        put_text(&mut out, key);
    }
    put_length(&mut out, ticket.secrets.len());
    for read in &ticket.secrets {
        put_text(&mut out, &read.secret.store);
        put_text(&mut out, &read.secret.path);
        put_text_if_any(&mut out, read.version.as_deref());
    }
    out
}

fn put_caller(out: &mut Vec<u8>, caller: &Caller) {
    put_text(out, &caller.issuer);
    put_text(out, &caller.subject);
    put_text_if_any(out, caller.claims.get("jti").and_then(Value::as_str));
    match &caller.workload {
        None => out.push(0),
        Some(Workload { namespace, service_account, pod }) => {
            out.push(1);
            for text in [namespace, service_account, &pod.name, &pod.uid] {
                put_text(out, text);
            }
        }
    }
}

fn put_text_if_any(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend(text.as_bytes());
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7F {
        out.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
}

/// Reads a ticket back.
///
/// # Errors
/// When the bytes are not what [`encode`] writes.
pub fn decode(mut bytes: &[u8]) -> Result<Ticket, NotATicket> {
    let input = &mut bytes;
    if take_byte(input)? != VERSION {
        return Err(NotATicket);
    }
    let id = TicketId::from_bytes(take_array(input)?);
    let issued_at = from_microseconds(i64::from_le_bytes(take_array(input)?));
    let expires_at = from_microseconds(i64::from_le_bytes(take_array(input)?));
    let bind_to = take_text(input)?.parse().map_err(|_| NotATicket)?;
    let source_ip = take_text(input)?.parse().map_err(|_| NotATicket)?;
    let repo = Repo::try_from(take_text(input)?).map_err(|_| NotATicket)?;
    let branch = Branch::try_from(take_text(input)?).map_err(|_| NotATicket)?;
    let caller = Arc::new(take_caller(input)?);
    let policies =
        take_list(input, |input| Ok(PolicyRef { name: take_text(input)?.into(), revision: take_text(input)?.into() }))?;
    let keys = take_list(input, |input| take_text(input).map(str::to_owned))?;
    let secrets = take_list(input, |input| {
        let secret = SecretRef { store: take_text(input)?.into(), path: take_text(input)?.into() };
        Ok(SecretVersion { secret, version: take_text_if_any(input)? })
    })?;
    if !input.is_empty() {
        return Err(NotATicket);
    }
    Ok(Ticket { id, caller, repo, branch, policies, keys, secrets, issued_at, expires_at, bind_to, source_ip })
}

fn take_caller(input: &mut &[u8]) -> Result<Caller, NotATicket> {
    let (issuer, subject) = (take_text(input)?.into(), take_text(input)?.to_owned());
    let claims: Map<String, Value> =
        take_text_if_any(input)?.into_iter().map(|jti| ("jti".to_owned(), Value::String(jti))).collect();
    let workload = match take_byte(input)? {
        0 => None,
        1 => {
            let mut text = || take_text(input).map(str::to_owned);
            let (namespace, service_account) = (text()?, text()?);
            Some(Workload { namespace, service_account, pod: Pod { name: text()?, uid: text()? } })
        }
        _ => return Err(NotATicket),
    };
    Ok(Caller { issuer, subject, groups: Vec::new(), workload, claims })
}

fn take_list<T>(
    input: &mut &[u8],
    mut item: impl FnMut(&mut &[u8]) -> Result<T, NotATicket>,
) -> Result<Vec<T>, NotATicket> {
    // Not trusted for a capacity: the bytes may be anybody's.
    (0..take_length(input)?).map(|_| item(input)).collect()
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], NotATicket> {
    let (head, tail) = input.split_at_checked(count).ok_or(NotATicket)?;
    *input = tail;
    Ok(head)
}

fn take_byte(input: &mut &[u8]) -> Result<u8, NotATicket> {
    Ok(take(input, 1)?[0])
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], NotATicket> {
    take(input, N)?.try_into().map_err(|_| NotATicket)
}

fn take_length(input: &mut &[u8]) -> Result<usize, NotATicket> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = take_byte(input)?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(length);
        }
    }
    Err(NotATicket)
}

fn take_text<'a>(input: &mut &'a [u8]) -> Result<&'a str, NotATicket> {
    let length = take_length(input)?;
    std::str::from_utf8(take(input, length)?).map_err(|_| NotATicket)
}

fn take_text_if_any(input: &mut &[u8]) -> Result<Option<String>, NotATicket> {
    match take_byte(input)? {
        0 => Ok(None),
        1 => take_text(input).map(|text| Some(text.to_owned())),
        _ => Err(NotATicket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::binding::BindTo;
    use crate::model::ticket::TicketToken;
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    fn ticket(texts: &[String; 6], workload: bool, version: Option<String>) -> Ticket {
        let [issuer, subject, name, uid, key, path] = texts.clone();
        let pod = Pod { name: name.clone(), uid: uid.clone() };
        let workload = workload.then(|| Workload { namespace: path.clone(), service_account: key.clone(), pod });
        let claims = version.iter().map(|jti| ("jti".to_owned(), Value::String(jti.clone()))).collect();
        let caller = Caller { issuer: issuer.as_str().into(), subject, groups: Vec::new(), workload, claims };
        Ticket {
            id: TicketToken::random().expect("random bytes").ticket_id(),
            caller: Arc::new(caller),
            repo: Repo::try_from("apps/site").expect("a repo"),
            branch: Branch::try_from("feature/x").expect("a branch"),
            policies: vec![PolicyRef { name: name.as_str().into(), revision: uid.as_str().into() }; 2],
            keys: vec![key.clone(), path.clone()],
            secrets: vec![SecretVersion { secret: SecretRef { store: key.as_str().into(), path }, version }],
            issued_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_micros(90_000_001),
            bind_to: BindTo::Identity,
            source_ip: [127, 0, 0, 1].into(),
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(texts: [String; 6], workload: bool, version: Option<String>) {
            let ticket = ticket(&texts, workload, version);
            let bytes = encode(&ticket);
            prop_assert_eq!(decode(&bytes), Ok(ticket));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(NotATicket));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            let _ = decode(&bytes);
            bytes.insert(0, VERSION);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn long_texts_come_back_too() {
        let long = ["x".repeat(127), "y".repeat(128), "z".repeat(20_000)].map(Some);
        for text in long {
            let ticket = ticket(&Default::default(), true, text);
            assert_eq!(decode(&encode(&ticket)), Ok(ticket));
        }
    }
}
