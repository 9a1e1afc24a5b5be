//! Serves one mount: parses its attributes, downloads the bundle, and returns files, within a time limit.

use super::attributes::{Attributes, Layout};
use super::files;
use super::mount_error::MountError;
use super::proto::{MountRequest, MountResponse, ObjectVersion};
use super::token;
use crate::cli::command_error::CommandError;
use crate::cli::download::{DownloadedBundle, Sizes, TicketClient, TimeoutArgument};
use crate::cli::server_arguments::ServerArguments;
use crate::model::request_id::RequestId;
use crate::wire::ticket::TicketRequest;
use prost::Message as _;
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;
use zeroize::Zeroizing;

/// Maximum time limit of a mount. Kubelet gives up after two minutes, and does not take its own timeout as final (see
/// `mount_error`).
pub const MAX_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Minimum time limit of a mount.
pub const MIN_TIME_LIMIT: Duration = Duration::from_secs(1);
/// The download ends this long before the time limit of the mount, so that the download's own error can still be returned.
const ERROR_MARGIN: Duration = Duration::from_millis(500);
/// Maximum number of concurrent mounts. Further mounts wait, until their time limit.
const MAX_CONCURRENT_MOUNTS: usize = 64;
/// Maximum size of a response. The driver receives at most 4 MiB, and kubelet does not take the driver's error for a larger
/// response as final.
const MAX_RESPONSE_BYTES: usize = 3 * 1024 * 1024;
/// Maximum size of a request, larger than the Kubernetes objects that the attributes and secrets come from.
const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;
/// Length of the uid of a pod.
const UID_LENGTH: usize = 36;

/// The state that all mounts of the provider share.
pub struct Provider {
    arguments: ServerArguments,
    http: Client,
    audience: String,
    time_limit: Duration,
    slots: Semaphore,
}

impl Provider {
    /// Reads the certificates. Sends nothing to the server.
    pub fn open(arguments: ServerArguments, audience: String, time_limit: Duration) -> Result<Self, CommandError> {
        let http = arguments.client(arguments.origin()?.scheme())?;
        Ok(Self { arguments, http, audience, time_limit, slots: Semaphore::new(MAX_CONCURRENT_MOUNTS) })
    }

    /// Serves a mount, and logs its outcome.
    pub async fn mount(&self, request: MountRequest) -> Result<MountResponse, Status> {
        let (id, started) = (RequestId::random(), Instant::now());
        let mut pod = None;
        let result = timeout(self.time_limit, self.try_mount(request, started, &mut pod)).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pod = pod.as_deref().unwrap_or("unknown");
        match result.unwrap_or_else(|_| Err(MountError::timeout())) {
            Ok(response) => {
                tracing::info!(mount = id.as_str(), pod, files = response.files.len(), duration_ms, "volume filled");
                Ok(response)
            }
            Err(error) => {
                let MountError { code, request_id, cause, .. } = &error;
                let (request, cause) = (request_id.as_deref(), cause.as_deref());
                tracing::warn!(mount = id.as_str(), pod, code, request, cause, duration_ms, "mount refused");
                Err(error.into_status(id.as_str()))
            }
        }
    }

    /// Sets `pod` to the uid of the pod once it is parsed, so that an error and a timeout are logged with it.
    async fn try_mount(
        &self,
        request: MountRequest,
        started: Instant,
        pod: &mut Option<String>,
    ) -> Result<MountResponse, MountError> {
        let (attributes, secrets) = (Zeroizing::new(request.attributes), Zeroizing::new(request.secrets));
        if attributes.len() + secrets.len() > MAX_REQUEST_BYTES {
            return Err(MountError::invalid_parameters("The attributes are too large."));
        }
        let attributes = Attributes::parse(&attributes)?;
        *pod = attributes.pod_uid.as_ref().filter(|uid| is_loggable_uid(uid)).cloned();
        let token = token::find_token(attributes.tokens.as_ref(), &secrets, &self.audience)?;
        let bearer = token::authorization_header(&token, attributes.pod_uid.as_deref())?;
        let _slot = self.slots.acquire().await.map_err(|_| MountError::internal())?;
        let remaining = self.time_limit.saturating_sub(started.elapsed() + ERROR_MARGIN);
        let client = TicketClient::with_bearer(
            &self.arguments,
            self.http.clone(),
            bearer,
            TimeoutArgument { timeout: remaining },
        );
        let mut client = client.map_err(MountError::from_command_error)?;
        let (bundle, keys) = fetch_bundle(&mut client, &attributes.request, &attributes.layout).await?;
        let files = files::from_bundle(&attributes.layout, attributes.mode, &bundle.bytes, keys.len())?;
        let version = bundle.versions_digest.unwrap_or_else(|| "unknown".into());
        let object_version = vec![ObjectVersion { id: bundle_id(&attributes.request), version }];
        let response = MountResponse { object_version, files };
        if response.encoded_len() > MAX_RESPONSE_BYTES {
            return Err(MountError::too_large());
        }
        Ok(response)
    }
}

/// Downloads the bundle, and returns it with the names of its keys. A ticket whose values exceed the driver's maximum is not
/// redeemed.
async fn fetch_bundle(
    client: &mut TicketClient<'_>,
    request: &TicketRequest,
    layout: &Layout,
) -> Result<(DownloadedBundle, Vec<String>), MountError> {
    let mut too_large = false;
    let check_sizes = |sizes: &Sizes| {
        too_large = sizes.values().fold(0, |sum: usize, size| sum.saturating_add(*size)) > MAX_RESPONSE_BYTES;
        if too_large { Err(CommandError::Other("the bundle is too large".into())) } else { Ok(()) }
    };
    let result = client.fetch_if(request, layout.format(), check_sizes).await;
    result.map_err(|error| if too_large { MountError::too_large() } else { MountError::from_command_error(error) })
}

/// The id of a bundle in `SecretProviderClassPodStatus`.
fn bundle_id(request: &TicketRequest) -> String {
    match (&request.repo, &request.branch) {
        (Some(repo), Some(branch)) => format!("{repo}/{branch}"),
        (Some(repo), None) => repo.clone(),
        // The repo comes from attestation.
        _ => "attested".into(),
    }
}

/// Whether a text may be logged as the uid of a pod.
fn is_loggable_uid(text: &str) -> bool {
    text.len() == UID_LENGTH && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
