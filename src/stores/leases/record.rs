//! The record of a lease in the database. A part of it is sealed with AES-256-GCM under a key derived from the database key
//! (HKDF-SHA-256), and bound to the rest of the row. A dump of the database reveals no lease ID, with which leases could be
//! revoked. An edited row cannot be opened.

use super::lease::{Lease, LeaseKey, LeaseLifetime, LeaseState};
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::clock::format_time;
use crate::model::lease::LeaseMode;
use crate::model::secret::SecretValue;
use crate::sealing::aead::{Message, OpenMessageError, SealingKey};
use crate::sealing::codec::encode_parts;
use crate::sealing::keys::{Purpose, RootKey};
use crate::stores::store_path::StorePath;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A row of the table `leases`, without the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    pub(super) id: String,
    pub(super) store: String,
    pub(super) path: String,
    pub(super) mode: String,
    pub(super) state: String,
    pub(super) acquired_at: String,
    pub(super) expires_at: String,
    pub(super) sealed: String,
    /// The sealed request of an administrator to revoke the lease.
    pub(super) revoked_by: Option<String>,
}

/// The sealed part of a record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedPart {
    #[serde(rename = "handle")]
    lease_id: String,
    granted_seconds: u64,
    renewable: bool,
    holder: Option<SealedHolder>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedHolder {
    issuer: String,
    subject: String,
    jti: Option<String>,
    pod: Option<SealedHolderPod>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedHolderPod {
    namespace: String,
    service_account: String,
    name: String,
    uid: String,
}

/// Seals and opens records.
pub(super) struct RecordSealer(SealingKey);

impl RecordSealer {
    /// A sealer with a key derived from the database key.
    pub(super) fn new(database_key: &RootKey) -> Self {
        Self(SealingKey::with_random_nonces(&database_key.derive(Purpose::LeaseRecords)))
    }

    /// The record of a lease. `None` if it cannot be sealed.
    pub(super) fn seal(&self, lease: &Lease) -> Option<LeaseRecord> {
        let mut record = LeaseRecord {
            id: lease.id.to_string(),
            store: lease.key.store.to_string(),
            path: lease.key.path.as_str().to_owned(),
            mode: lease.mode.as_str().to_owned(),
            state: lease.state.as_str().to_owned(),
            acquired_at: format_time(lease.acquired_at),
            expires_at: format_time(lease.expires_at),
            sealed: String::new(),
            revoked_by: None,
        };
        // Large enough for the final size: a buffer that grows leaves copies in memory.
        let mut message = self.0.message(16 * 1024 + 6 * lease.store_id.len());
        encode_sealed_part(lease, &mut message)?;
        record.sealed = STANDARD_NO_PAD.encode(&*self.0.seal(message, &record.associated_data()).ok()?);
        Some(record)
    }

    /// The lease of a record. It is renewed and revoked, but never issued again.
    pub(super) fn open(&self, record: &LeaseRecord, now: Timestamp) -> Result<Lease, OpenMessageError> {
        let sealed = self.open_sealed_part(record)?;
        let holder = sealed.holder.map(|holder| Arc::new(Caller::from(holder)));
        let time = |text: &str| text.parse::<Timestamp>().map_err(|_| OpenMessageError);
        let expires_at = time(&record.expires_at)?;
        let remaining = Duration::try_from(expires_at.duration_since(now)).unwrap_or(Duration::ZERO);
        Ok(Lease {
            id: record.id.as_str().into(),
            key: LeaseKey {
                store: record.store.as_str().into(),
                path: StorePath::try_from(record.path.as_str()).map_err(|_| OpenMessageError)?,
                holder: holder.as_ref().map(|holder| holder.identity()),
                // Only needed to issue the lease.
                write: None,
            },
            mode: LeaseMode::from_name(&record.mode).ok_or(OpenMessageError)?,
            holder,
            store_id: Arc::new(SecretValue::new(sealed.lease_id)),
            values: None,
            login_number: 0,
            lifetime: LeaseLifetime {
                granted: Duration::from_secs(sealed.granted_seconds),
                renewable: sealed.renewable,
                ends_at: Instant::now() + remaining,
            },
            state: LeaseState::from_name(&record.state).ok_or(OpenMessageError)?,
            revocation_reason: None,
            is_revoked_at_store: false,
            attempts: 0,
            acquired_at: time(&record.acquired_at)?,
            expires_at,
            last_issued_at: Instant::now(),
            deliver_by: None,
            first_renewal_at: Instant::now(),
        })
    }

    fn open_sealed_part(&self, record: &LeaseRecord) -> Result<SealedPart, OpenMessageError> {
        let sealed = STANDARD_NO_PAD.decode(&record.sealed).map_err(|_| OpenMessageError)?;
        let plain = self.open_part(&sealed, &record.associated_data())?;
        serde_json::from_slice(&plain).map_err(|_| OpenMessageError)
    }

    /// Seals a text that is no secret: unlike a lease ID it may leave copies in memory.
    pub(super) fn seal_part(&self, plain: &[u8], associated_data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut message = self.0.message(plain.len());
        message.buffer().extend_from_slice(plain);
        self.0.seal(message, associated_data).ok()
    }

    pub(super) fn open_part(
        &self,
        sealed: &[u8],
        associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenMessageError> {
        self.0.open(sealed, associated_data)
    }
}

impl LeaseRecord {
    /// The columns of a row that never change, each preceded by its length.
    fn associated_data(&self) -> Vec<u8> {
        encode_parts(&["claviger lease v1", &self.id, &self.store, &self.path, &self.mode, &self.acquired_at])
    }
}

#[expect(clippy::disallowed_methods, reason = "the lease ID is exposed to be sealed")]
fn encode_sealed_part(lease: &Lease, message: &mut Message) -> Option<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SealedPartRef<'a> {
        #[serde(rename = "handle")]
        lease_id: &'a str,
        granted_seconds: u64,
        renewable: bool,
        holder: Option<SealedHolder>,
    }
    let part = SealedPartRef {
        lease_id: lease.store_id.expose_secret(),
        granted_seconds: lease.lifetime.granted.as_secs(),
        renewable: lease.lifetime.renewable,
        holder: lease.holder.as_deref().map(SealedHolder::from),
    };
    serde_json::to_writer(message.buffer(), &part).ok()
}

impl From<&Caller> for SealedHolder {
    fn from(caller: &Caller) -> Self {
        Self {
            issuer: caller.issuer.to_string(),
            subject: caller.subject.clone(),
            jti: caller.claims.get("jti").and_then(|jti| jti.as_str()).map(str::to_owned),
            pod: caller.workload.as_ref().map(|workload| SealedHolderPod {
                namespace: workload.namespace.clone(),
                service_account: workload.service_account.clone(),
                name: workload.pod.name.clone(),
                uid: workload.pod.uid.clone(),
            }),
        }
    }
}

impl From<SealedHolder> for Caller {
    fn from(holder: SealedHolder) -> Self {
        let claim = |jti: String| ("jti".to_owned(), serde_json::Value::from(jti));
        Self {
            issuer: holder.issuer.into(),
            subject: holder.subject,
            groups: Vec::new(),
            unbound_account: None,
            workload: holder.pod.map(|pod| Workload {
                namespace: pod.namespace,
                service_account: pod.service_account,
                pod: Pod { name: pod.name, uid: pod.uid },
            }),
            claims: holder.jti.map(claim).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamic_store::GrantedLifetime;

    fn caller(pod: bool) -> Caller {
        let workload = Workload {
            namespace: "ci".into(),
            service_account: "bot".into(),
            pod: Pod { name: "build-1".into(), uid: "u-1".into() },
        };
        let claims = [("jti".to_owned(), "j".into()), ("role".to_owned(), "x".into())];
        Caller {
            issuer: "cluster".into(),
            subject: "system:serviceaccount:ci:bot".into(),
            groups: vec!["g".into()],
            workload: pod.then_some(workload),
            unbound_account: None,
            claims: if pod { serde_json::Map::new() } else { claims.into_iter().collect() },
        }
    }

    fn lease(holder: Option<Caller>) -> Lease {
        let holder = holder.map(Arc::new);
        Lease {
            id: "id-1".into(),
            key: LeaseKey {
                store: "vault".into(),
                path: StorePath::try_from("db/creds/r").unwrap(),
                holder: holder.as_ref().map(|holder| holder.identity()),
                write: None,
            },
            mode: if holder.is_some() { LeaseMode::PerPod } else { LeaseMode::Shared },
            holder,
            store_id: Arc::new(SecretValue::new("db/creds/r/hunter2".into())),
            values: None,
            login_number: 3,
            lifetime: LeaseLifetime::new(
                GrantedLifetime { ttl: Duration::from_mins(1), renewable: true },
                Instant::now(),
            ),
            state: LeaseState::Active,
            revocation_reason: None,
            is_revoked_at_store: false,
            attempts: 0,
            acquired_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            expires_at: "2026-01-01T00:01:00Z".parse().unwrap(),
            last_issued_at: Instant::now(),
            deliver_by: None,
            first_renewal_at: Instant::now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sealed_lease_is_opened_with_all_its_fields() {
        let sealer = RecordSealer::new(&RootKey::new([7; 32].into()));
        for holder in [None, Some(caller(true)), Some(caller(false))] {
            let before = lease(holder);
            let record = sealer.seal(&before).unwrap();
            assert!(!format!("{record:?}").contains("hunter2"));
            let after = sealer.open(&record, "2026-01-01T00:00:15Z".parse().unwrap()).unwrap();
            assert_eq!((after.key == before.key, &after.store_id), (true, &before.store_id));
            assert_eq!((after.lifetime.granted, after.lifetime.renewable), (Duration::from_mins(1), true));
            assert_eq!(after.lifetime.remaining(Instant::now()), Duration::from_secs(45));
            assert_eq!((after.state, after.mode), (LeaseState::Active, before.mode));
            let late = sealer.open(&record, "2026-01-01T01:00:00Z".parse().unwrap()).unwrap();
            assert_eq!(late.lifetime.remaining(Instant::now()), Duration::ZERO);
        }
    }

    #[tokio::test]
    async fn edited_rows_and_rows_under_another_key_cannot_be_opened() {
        let sealer = RecordSealer::new(&RootKey::new([7; 32].into()));
        let (record, now) = (sealer.seal(&lease(Some(caller(true)))).unwrap(), Timestamp::UNIX_EPOCH);
        assert!(sealer.open(&record, now).is_ok());
        assert!(RecordSealer::new(&RootKey::new([8; 32].into())).open(&record, now).is_err());
        let other = sealer.seal(&lease(None)).unwrap();
        let edit = |edit: fn(&mut LeaseRecord)| {
            let mut edited = record.clone();
            edit(&mut edited);
            edited
        };
        for edited in [
            edit(|row| row.id = "id-2".into()),
            edit(|row| row.store = "other".into()),
            edit(|row| row.path = "db/creds/s".into()),
            edit(|row| row.mode = "shared".into()),
            edit(|row| row.acquired_at = "2026-01-01T00:00:00.000001Z".into()),
            edit(|row| row.sealed.replace_range(0..1, if row.sealed.starts_with('A') { "B" } else { "A" })),
            edit(|row| row.sealed = String::new()),
            LeaseRecord { sealed: other.sealed, ..record.clone() },
        ] {
            assert!(sealer.open(&edited, now).is_err(), "{edited:?}");
        }
    }
}
