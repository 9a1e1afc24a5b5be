//! One of several replicas: a `Lease` of `coordination.k8s.io` in the namespace of the broker, held and renewed.
//!
//! As in `client-go`, clocks are not compared: a lease has expired when it was seen unchanged for as long as it lasts.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::DEADLINE;
use super::name::is_object_name;
use crate::model::request_id::RequestId;
use http::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const GROUP: &str = "/apis/coordination.k8s.io/v1";
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// For how long a holder that says nothing keeps it.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long after a renewal the next one is due.
const RENEW_AFTER: Duration = Duration::from_secs(5);
/// How long after an attempt to take it the next one is made.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A lease that this process would like to hold.
pub struct Lease {
    cluster: Arc<Cluster>,
    name: &'static str,
    /// Who we are.
    identity: String,
    /// What was seen of another holder, and when it changed last.
    seen: Option<(Option<String>, Instant)>,
    /// When it was last known to be ours.
    held: Option<Instant>,
    /// When it was asked for last.
    asked: Option<Instant>,
}

impl Cluster {
    /// A lease in the namespace of the broker.
    #[must_use]
    pub fn lease(self: &Arc<Self>, name: &'static str) -> Lease {
        let identity = format!("claviger-{}", RequestId::random());
        Lease { cluster: self.clone(), name, identity, seen: None, held: None, asked: None }
    }
}

impl Lease {
    /// Takes the lease if it is free, or renews it. Returns whether it is ours. `now` is only shown in the object.
    ///
    /// # Errors
    /// When nobody knows. It may still be ours: see [`Lease::is_held`].
    pub async fn hold(&mut self, now: Timestamp) -> Result<bool, ClusterError> {
        if self.held.is_some_and(|held| held.elapsed() < RENEW_AFTER) {
            return Ok(true);
        }
        if self.held.is_none() && self.asked.is_some_and(|asked| asked.elapsed() < RETRY_AFTER) {
            return Ok(false);
        }
        let asked = Instant::now();
        self.asked = Some(asked);
        let held = match self.read().await? {
            None => self.write(Method::POST, &self.object(None, now)).await?,
            Some(found) => {
                if !self.is_available(&found) {
                    self.held = None;
                    return Ok(false);
                }
                self.write(Method::PUT, &self.object(Some(found), now)).await?
            }
        };
        self.held = held.then_some(asked);
        Ok(held)
    }

    /// Whether it is surely still ours.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some_and(|held| held.elapsed() + DEADLINE < LEASE_DURATION)
    }

    /// Gives it back, so that another replica need not wait.
    pub async fn release(&mut self, now: Timestamp) {
        if self.held.take().is_none() {
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

    fn is_available(&mut self, found: &LeaseObject) -> bool {
        if holder(found).is_none_or(|holder| holder.is_empty() || *holder == self.identity) {
            return true;
        }
        let version = &found.metadata.resource_version;
        match &self.seen {
            Some((seen, since)) if seen == version => since.elapsed() >= LEASE_DURATION,
            _ => {
                self.seen = Some((version.clone(), Instant::now()));
                false
            }
        }
    }

    fn object(&self, found: Option<LeaseObject>, now: Timestamp) -> LeaseObject {
        let before = found.as_ref().and_then(|found| found.spec.clone()).unwrap_or_default();
        let is_ours = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        let metadata = found.map_or_else(
            || ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() },
            |found| found.metadata,
        );
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| is_ours).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if is_ours { transitions } else { transitions.saturating_add(1) }),
            ..before
        };
        LeaseObject { metadata, spec: Some(spec) }
    }

    fn path(&self) -> Result<String, CallFailure> {
        let link = self.cluster.link.load();
        let namespace = link.client.default_namespace();
        if !is_object_name(namespace) {
            return Err(CallFailure::Malformed);
        }
        Ok(format!("{GROUP}/namespaces/{namespace}/leases"))
    }

    async fn read(&self) -> Result<Option<LeaseObject>, ClusterError> {
        let request = Request::get(format!("{}/{}", self.path()?, self.name)).body(Vec::new());
        let answer = self.send(request.map_err(|_| CallFailure::Malformed)?).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.decode()?)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.unexpected_status().into()),
        }
    }

    /// Whether it is written; not, where another replica was faster.
    async fn write(&self, method: Method, object: &LeaseObject) -> Result<bool, ClusterError> {
        let mut path = self.path()?;
        if method == Method::PUT {
            path = format!("{path}/{}", self.name);
        }
        let body = serde_json::to_vec(object).map_err(|_| CallFailure::Malformed)?;
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let answer = self.send(request.body(body).map_err(|_| CallFailure::Malformed)?).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            _ => Err(answer.unexpected_status().into()),
        }
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<super::exchange::Answer, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let _slot = self.cluster.reads.enter(deadline).await?;
        Ok(self.cluster.exchange(request, MAX_ANSWER_BYTES, deadline).await?)
    }
}

fn holder(lease: &LeaseObject) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}
