//! One mount: attributes in, files out, within a time limit.

use super::attributes::{Attributes, Layout};
use super::files;
use super::proto::{MountRequest, MountResponse, ObjectVersion};
use super::refusal::Refusal;
use super::token;
use crate::cli::download::{Bound, Downloaded, Sizes, Source};
use crate::cli::failure::Failure;
use crate::cli::server::ServerArguments;
use crate::model::request_id::RequestId;
use crate::wire::ticket::TicketRequest;
use prost::Message as _;
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;
use zeroize::Zeroizing;

/// Longest time limit of a mount. Kubelet gives up after two minutes, and that end is not final for it.
pub const MAX_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Shortest one.
pub const MIN_TIME_LIMIT: Duration = Duration::from_secs(1);
/// What the download leaves of the time limit, so that its own error is told.
const ERROR_MARGIN: Duration = Duration::from_millis(500);
/// Mounts at once. More wait, within their time limit.
const MAX_CONCURRENT_MOUNTS: usize = 64;
/// The driver receives at most 4 MiB, and its error beyond is not final for kubelet.
const MAX_RESPONSE_BYTES: usize = 3 * 1024 * 1024;
/// Larger than the two Kubernetes objects that attributes come from.
const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;
/// Length of a uid.
const UID: usize = 36;

/// What all mounts of this process share.
pub struct Provider {
    arguments: ServerArguments,
    client: Client,
    audience: String,
    within: Duration,
    slots: Semaphore,
}

impl Provider {
    /// Reads the certificates. Sends nothing.
    pub fn open(arguments: ServerArguments, audience: String, within: Duration) -> Result<Self, Failure> {
        let client = arguments.client(arguments.origin()?.scheme())?;
        Ok(Self { arguments, client, audience, within, slots: Semaphore::new(MAX_CONCURRENT_MOUNTS) })
    }

    /// Answers a mount, and logs its outcome.
    pub async fn mount(&self, request: MountRequest) -> Result<MountResponse, Status> {
        let (id, started) = (RequestId::random(), Instant::now());
        let mut pod = None;
        let mounted = timeout(self.within, self.mounted(request, started, &mut pod)).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pod = pod.as_deref().unwrap_or("unknown");
        match mounted.unwrap_or_else(|_| Err(Refusal::timeout())) {
            Ok(response) => {
                tracing::info!(mount = id.as_str(), pod, files = response.files.len(), duration_ms, "volume filled");
                Ok(response)
            }
            Err(refusal) => {
                let Refusal { code, request_id, cause, .. } = &refusal;
                let (request, cause) = (request_id.as_deref(), cause.as_deref());
                tracing::warn!(mount = id.as_str(), pod, code, request, cause, duration_ms, "mount refused");
                Err(refusal.into_status(id.as_str()))
            }
        }
    }

    async fn mounted(
        &self,
        request: MountRequest,
        started: Instant,
        pod: &mut Option<String>,
    ) -> Result<MountResponse, Refusal> {
        let (attributes, secrets) = (Zeroizing::new(request.attributes), Zeroizing::new(request.secrets));
        if attributes.len() + secrets.len() > MAX_REQUEST_BYTES {
            return Err(Refusal::parameters("The attributes are too large."));
        }
        let attributes = Attributes::read(&attributes)?;
        *pod = attributes.pod_uid.as_ref().filter(|uid| is_uid(uid)).cloned();
        let token = token::find(attributes.tokens.as_ref(), &secrets, &self.audience)?;
        let bearer = token::bearer(&token, attributes.pod_uid.as_deref())?;
        let _slot = self.slots.acquire().await.map_err(|_| Refusal::internal())?;
        let left = self.within.saturating_sub(started.elapsed() + ERROR_MARGIN);
        let source = Source::shown(&self.arguments, self.client.clone(), bearer, Bound { timeout: left });
        let mut source = source.map_err(Refusal::of)?;
        let (bundle, keys) = fetched(&mut source, &attributes.request, &attributes.layout).await?;
        let files = files::of(&attributes.layout, attributes.mode, &bundle.bytes, keys.len())?;
        let version = bundle.versions.unwrap_or_else(|| "unknown".into());
        let object_version = vec![ObjectVersion { id: name(&attributes.request), version }];
        let response = MountResponse { object_version, files };
        if response.encoded_len() > MAX_RESPONSE_BYTES {
            return Err(Refusal::too_large());
        }
        Ok(response)
    }
}

/// The bundle and its keys. A ticket for more than the driver takes is not redeemed.
async fn fetched(
    source: &mut Source<'_>,
    request: &TicketRequest,
    layout: &Layout,
) -> Result<(Downloaded, Vec<String>), Refusal> {
    let mut too_large = false;
    let fits = |sizes: &Sizes| {
        too_large = sizes.values().fold(0, |sum: usize, size| sum.saturating_add(*size)) > MAX_RESPONSE_BYTES;
        if too_large { Err(Failure::Failed("the bundle is too large".into())) } else { Ok(()) }
    };
    let fetched = source.fetch_if(request, layout.format(), fits).await;
    fetched.map_err(|failure| if too_large { Refusal::too_large() } else { Refusal::of(failure) })
}

/// The name of a bundle in `SecretProviderClassPodStatus`.
fn name(request: &TicketRequest) -> String {
    match (&request.repo, &request.branch) {
        (Some(repo), Some(branch)) => format!("{repo}/{branch}"),
        (Some(repo), None) => repo.clone(),
        // Policies attest the rest.
        _ => "attested".into(),
    }
}

/// Whether a text may be logged as the uid of a pod.
fn is_uid(text: &str) -> bool {
    text.len() == UID && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
