//! The encoding of a ticket without its secrets: stored beside the sealed bundle, which is bound to it.
//!
//! It is short because there may be a million of them.

use super::ticket::{Ticket, from_microseconds, microseconds};
use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::policy_ref::PolicyRef;
use crate::model::repo::Repo;
use crate::model::secret_ref::{SecretRef, SecretVersion};
use crate::model::ticket::TicketId;
use crate::sealing::codec::{Lengths, Malformed, Reader, Writer};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Version of the encoding.
const VERSION: u8 = 1;
/// Number of leading bytes that differ between tickets: the version, the ID, and the two times.
pub const OWN_BYTES: usize = 1 + 16 + 8 + 8;

/// The times of issue and expiry, in microseconds since 1970.
pub fn times(own: &[u8; OWN_BYTES]) -> (i64, i64) {
    let time = |at| own[at..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    (time(17), time(25))
}

/// Writes a ticket.
pub fn encode(ticket: &Ticket) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut out = Writer::new(&mut bytes, Lengths::Short);
    out.byte(VERSION);
    out.array(ticket.id.as_bytes());
    out.array(&microseconds(ticket.issued_at).to_le_bytes());
    out.array(&microseconds(ticket.expires_at).to_le_bytes());
    for text in [ticket.bind_to.as_str(), &ticket.source_ip.to_string(), ticket.repo.as_str(), ticket.branch.as_str()] {
        out.text(text);
    }
    put_caller(&mut out, &ticket.caller);
    out.length(ticket.policies.len());
    for policy in &ticket.policies {
        out.text(&policy.name);
        out.text(&policy.revision);
    }
    out.length(ticket.keys.len());
    for key in &ticket.keys {
        out.text(key);
    }
    out.length(ticket.secrets.len());
    for read in &ticket.secrets {
        out.text(&read.secret.store);
        out.text(&read.secret.path);
        out.optional_text(read.version.as_deref());
    }
    bytes
}

fn put_caller(out: &mut Writer<'_>, caller: &Caller) {
    out.text(&caller.issuer);
    out.text(&caller.subject);
    out.optional_text(caller.claims.get("jti").and_then(Value::as_str));
    match &caller.workload {
        None => out.byte(0),
        Some(Workload { namespace, service_account, pod }) => {
            out.byte(1);
            for text in [namespace, service_account, &pod.name, &pod.uid] {
                out.text(text);
            }
        }
    }
}

/// Reads a ticket back.
///
/// # Errors
/// When the bytes are not what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Ticket, Malformed> {
    let mut reader = Reader::new(bytes, Lengths::Short);
    let input = &mut reader;
    if input.byte()? != VERSION {
        return Err(Malformed);
    }
    let id = TicketId::from_bytes(input.array()?);
    let issued_at = from_microseconds(i64::from_le_bytes(input.array()?));
    let expires_at = from_microseconds(i64::from_le_bytes(input.array()?));
    let bind_to = input.text()?.parse().map_err(|_| Malformed)?;
    let source_ip = input.text()?.parse().map_err(|_| Malformed)?;
    let repo = Repo::try_from(input.text()?).map_err(|_| Malformed)?;
    let branch = Branch::try_from(input.text()?).map_err(|_| Malformed)?;
    let caller = Arc::new(take_caller(input)?);
    let policies =
        take_list(input, |input| Ok(PolicyRef { name: input.text()?.into(), revision: input.text()?.into() }))?;
    let keys = take_list(input, |input| input.text().map(str::to_owned))?;
    let secrets = take_list(input, |input| {
        let secret = SecretRef { store: input.text()?.into(), path: input.text()?.into() };
        Ok(SecretVersion { secret, version: input.optional_text()?.map(str::to_owned) })
    })?;
    reader.end()?;
    Ok(Ticket { id, caller, repo, branch, policies, keys, secrets, issued_at, expires_at, bind_to, source_ip })
}

fn take_caller(input: &mut Reader<'_>) -> Result<Caller, Malformed> {
    let (issuer, subject) = (input.text()?.into(), input.text()?.to_owned());
    let claims: Map<String, Value> =
        input.optional_text()?.into_iter().map(|jti| ("jti".to_owned(), Value::from(jti))).collect();
    let workload = match input.byte()? {
        0 => None,
        1 => {
            let mut text = || input.text().map(str::to_owned);
            let (namespace, service_account) = (text()?, text()?);
            Some(Workload { namespace, service_account, pod: Pod { name: text()?, uid: text()? } })
        }
        _ => return Err(Malformed),
    };
    Ok(Caller { issuer, subject, groups: Vec::new(), workload, unbound: None, claims })
}

fn take_list<T>(
    input: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    // The length is not used as a capacity, because the bytes are not trusted.
    (0..input.length()?).map(|_| item(input)).collect()
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
        let caller =
            Caller { issuer: issuer.as_str().into(), subject, groups: Vec::new(), workload, unbound: None, claims };
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
                prop_assert_eq!(decode(&bytes[..cut]), Err(Malformed));
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
