//! Leader election among replicas, by a `Lease` of `coordination.k8s.io` in the namespace of the broker.
//!
//! As in `client-go`, the clocks of replicas are not compared: a lease counts as expired after this replica has observed it
//! unchanged for the lease duration.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::{CALL_TIMEOUT, get};
use super::object_name::is_object_name;
use crate::model::request_id::RequestId;
use http::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const API_PATH: &str = "/apis/coordination.k8s.io/v1";
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// How long a replica holds the lease after its last renewal.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// Interval between renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum interval between attempts to acquire the lease.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A lease that this process acquires and renews.
pub struct LeaderLease {
    cluster: Arc<Cluster>,
    name: &'static str,
    /// The holder identity of this process.
    identity: String,
    /// The `resourceVersion` of another holder's lease, and when it was first observed.
    observed: Option<(Option<String>, Instant)>,
    /// When the last successful renewal was started. `None` if this process does not hold the lease.
    renewed_at: Option<Instant>,
    last_attempt: Option<Instant>,
}

impl Cluster {
    /// The namespace of the broker: that of its ServiceAccount, or of the kubeconfig's context.
    #[must_use]
    pub fn own_namespace(&self) -> String {
        self.connection.load().client.default_namespace().to_owned()
    }

    /// A lease with this name in the namespace of the broker. Nothing is sent yet.
    #[must_use]
    pub fn leader_lease(self: &Arc<Self>, name: &'static str) -> LeaderLease {
        let identity = format!("claviger-{}", RequestId::random());
        LeaderLease { cluster: self.clone(), name, identity, observed: None, renewed_at: None, last_attempt: None }
    }
}

impl LeaderLease {
    /// Acquires the lease if it is free, or renews it if a renewal is due. Returns whether this process holds it. `now` is only
    /// written to the object.
    ///
    /// # Errors
    /// The call to the API server fails. This process may still hold the lease: see [`Self::is_held`].
    pub async fn acquire_or_renew(&mut self, now: Timestamp) -> Result<bool, CallFailure> {
        if self.renewed_at.is_some_and(|renewed_at| renewed_at.elapsed() < RENEW_INTERVAL) {
            return Ok(true);
        }
        if self.renewed_at.is_none() && self.last_attempt.is_some_and(|attempt| attempt.elapsed() < RETRY_INTERVAL) {
            return Ok(false);
        }
        let started_at = Instant::now();
        self.last_attempt = Some(started_at);
        let is_held = match self.read().await? {
            None => self.write(Method::POST, &self.held_object(None, now)).await?,
            Some(found) => {
                if !self.is_available(&found) {
                    self.renewed_at = None;
                    return Ok(false);
                }
                self.write(Method::PUT, &self.held_object(Some(found), now)).await?
            }
        };
        self.renewed_at = is_held.then_some(started_at);
        Ok(is_held)
    }

    /// Whether this process certainly still holds the lease, and will hold it for at least [`CALL_TIMEOUT`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.renewed_at.is_some_and(|renewed_at| renewed_at.elapsed() + CALL_TIMEOUT < LEASE_DURATION)
    }

    /// Releases the lease, so that another replica can acquire it at once.
    pub async fn release(&mut self, now: Timestamp) {
        if self.renewed_at.take().is_none() {
            return;
        }
        if let Ok(Some(mut found)) = self.read().await
            && holder(&found) == Some(&self.identity)
        {
            let spec = found.spec.get_or_insert_default();
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(now));
            let _ = self.write(Method::PUT, &found).await;
        }
    }

    /// Whether this process may write the lease: the lease has no holder, this process holds it, or it has expired.
    fn is_available(&mut self, found: &LeaseObject) -> bool {
        if holder(found).is_none_or(|holder| holder.is_empty() || *holder == self.identity) {
            return true;
        }
        let version = &found.metadata.resource_version;
        match &self.observed {
            Some((observed, since)) if observed == version => since.elapsed() >= LEASE_DURATION,
            _ => {
                self.observed = Some((version.clone(), Instant::now()));
                false
            }
        }
    }

    /// The object with this process as the holder. `found` is the current object.
    fn held_object(&self, found: Option<LeaseObject>, now: Timestamp) -> LeaseObject {
        let previous = found.as_ref().and_then(|found| found.spec.clone()).unwrap_or_default();
        let is_renewal = previous.holder_identity.as_deref() == Some(&self.identity);
        let transitions = previous.lease_transitions.unwrap_or_default();
        let metadata = found.map_or_else(
            || ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() },
            |found| found.metadata,
        );
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: previous.acquire_time.filter(|_| is_renewal).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if is_renewal { transitions } else { transitions.saturating_add(1) }),
            ..previous
        };
        LeaseObject { metadata, spec: Some(spec) }
    }

    fn path(&self) -> Result<String, CallFailure> {
        let connection = self.cluster.connection.load();
        let namespace = connection.client.default_namespace();
        if !is_object_name(namespace) {
            return Err(CallFailure::Malformed);
        }
        Ok(format!("{API_PATH}/namespaces/{namespace}/leases"))
    }

    async fn read(&self) -> Result<Option<LeaseObject>, CallFailure> {
        let request = get(format!("{}/{}", self.path()?, self.name))?;
        self.cluster.call(request, MAX_RESPONSE_BYTES).await?.decode_found()
    }

    /// Creates or replaces the object. False if another replica has written the object since it was read.
    async fn write(&self, method: Method, object: &LeaseObject) -> Result<bool, CallFailure> {
        let mut path = self.path()?;
        if method == Method::PUT {
            path = format!("{path}/{}", self.name);
        }
        let body = serde_json::to_vec(object).map_err(|_| CallFailure::Malformed)?;
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(body).map_err(|_| CallFailure::Malformed)?;
        let response = self.cluster.call(request, MAX_RESPONSE_BYTES).await?;
        match response.status {
            StatusCode::OK | StatusCode::CREATED => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            _ => Err(response.status_failure()),
        }
    }
}

fn holder(lease: &LeaseObject) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}
