//! The sealed request of an administrator in the row of a lease, for the process that has the lease.

use super::record::RecordSealer;
use super::revocation_request::RevocationRequest;
use crate::model::caller::{Caller, Pod};
use crate::model::request_id::RequestId;
use crate::sealing::codec::encode_parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the audit event of the revocation contains.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedRequest {
    request_id: String,
    issuer: String,
    subject: String,
    /// Namespace and name of the ServiceAccount.
    account: Option<(String, String)>,
    /// Name and UID of the pod.
    pod: Option<(String, String)>,
}

impl RecordSealer {
    /// Seals the request to revoke a lease, so that an edited row names no other administrator. `None` if it cannot be sealed.
    pub(super) fn seal_request(&self, lease: &str, request: &RevocationRequest) -> Option<String> {
        let caller = &request.by;
        let pod = caller.workload.as_ref().map(|workload| &workload.pod);
        let part = SealedRequest {
            request_id: request.request_id.to_string(),
            issuer: caller.issuer.to_string(),
            subject: caller.subject.clone(),
            account: caller.service_account().map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
            pod: pod.map(|pod| (pod.name.clone(), pod.uid.clone())),
        };
        let plain = serde_json::to_vec(&part).ok()?;
        let sealed = self.seal_part(&plain, &associated_data(lease))?;
        Some(STANDARD_NO_PAD.encode(sealed))
    }

    /// Opens what [`Self::seal_request`] returned for this lease. `None` if that is not possible.
    pub(super) fn open_request(&self, lease: &str, sealed: &str) -> Option<RevocationRequest> {
        let sealed = STANDARD_NO_PAD.decode(sealed).ok()?;
        let plain = self.open_part(&sealed, &associated_data(lease)).ok()?;
        let SealedRequest { request_id, issuer, subject, account, pod } = serde_json::from_slice(&plain).ok()?;
        let pod = pod.map(|(name, uid)| Pod { name, uid });
        let by = Arc::new(Caller::from_event(&issuer, &subject, account, pod));
        Some(RevocationRequest { by, request_id: RequestId::from_hex(&request_id)? })
    }
}

/// Other than that of a record, so that neither can be put in the place of the other.
fn associated_data(lease: &str) -> Vec<u8> {
    encode_parts(&["claviger lease revocation v1", lease])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::keys::RootKey;

    #[test]
    fn a_request_is_opened_with_what_events_contain_and_only_for_its_lease() {
        let sealer = RecordSealer::new(&RootKey::new([7; 32].into()));
        let account = || Some(("people".to_owned(), "ann".to_owned()));
        let pod = Pod { name: "shell".into(), uid: "u-1".into() };
        for (account, pod) in [(account(), Some(pod)), (account(), None), (None, None)] {
            let mut by = Caller::from_event("cluster", "system:serviceaccount:people:ann", account, pod);
            let without_groups = by.clone();
            by.groups.push("g".into());
            let request = RevocationRequest { by: Arc::new(by), request_id: RequestId::random() };
            let sealed = sealer.seal_request("id-1", &request).unwrap();
            let opened = sealer.open_request("id-1", &sealed).unwrap();
            assert_eq!((&*opened.by, &opened.request_id), (&without_groups, &request.request_id));
            assert_eq!(sealer.open_request("id-2", &sealed), None, "the row of another lease");
            let other = RecordSealer::new(&RootKey::new([8; 32].into()));
            assert_eq!(other.open_request("id-1", &sealed), None, "another key");
        }
        for text in ["", "AAAA", "?", &"A".repeat(1000)] {
            assert_eq!(sealer.open_request("id-1", text), None, "{text}");
        }
    }
}
