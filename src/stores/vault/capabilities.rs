//! For `claviger doctor`: the capabilities of the broker's token on the paths of policies, and the server's clock. No secret is
//! read.

use super::call::CallOptions;
use super::endpoints::VaultEndpoint;
use super::mounts::Engine;
use super::{ReadError, VaultStore};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::outbound::StoreResponse;
use crate::stores::store_path::StorePath;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Maximum number of paths in one call.
const PATHS_PER_CALL: usize = 100;

#[derive(Deserialize)]
struct Capabilities {
    data: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct HealthResponse {
    server_time_utc: i64,
}

impl VaultStore {
    /// Whether the token may read each path, or write to the path if its flag is true. Uses `sys/capabilities-self`.
    pub(in crate::stores) async fn may_use(&self, paths: &[(StorePath, bool)]) -> Vec<Result<bool, ReadError>> {
        let request_id = RequestId::random();
        let mut api_paths = Vec::with_capacity(paths.len());
        for (path, _) in paths {
            let mount = self.mount(path, &request_id).await;
            api_paths.push(mount.and_then(|mount| {
                let below = mount.relative_path(path).ok_or(ReadError::Misconfigured)?;
                Ok(match mount.engine {
                    Engine::KvV2 => format!("{}data/{below}", mount.path),
                    Engine::KvV1 | Engine::Dynamic => format!("{}{below}", mount.path),
                })
            }));
        }
        let queried: Vec<String> = api_paths.iter().flatten().cloned().collect();
        let mut known = BTreeMap::new();
        for chunk in queried.chunks(PATHS_PER_CALL) {
            match self.capabilities(chunk, &request_id).await {
                Ok(capabilities) => known.extend(capabilities),
                Err(error) => return paths.iter().map(|_| Err(error)).collect(),
            }
        }
        let is_allowed = |((_, writes), api_path): (&(StorePath, bool), Result<String, ReadError>)| {
            let capabilities = known.get(&api_path?).ok_or(ReadError::Unavailable)?;
            let wanted: &[&str] = if *writes { &["update", "create", "root"] } else { &["read", "root"] };
            Ok(capabilities.iter().any(|capability| wanted.contains(&capability.as_str())))
        };
        paths.iter().zip(api_paths).map(is_allowed).collect()
    }

    async fn capabilities(
        &self,
        paths: &[String],
        request_id: &RequestId,
    ) -> Result<BTreeMap<String, Vec<String>>, ReadError> {
        let options = CallOptions::new(StoreOperation::Preflight, BreakerTarget::group("sys/"));
        let parse = |response: &StoreResponse| match response.status {
            200 => serde_json::from_slice::<Capabilities>(&response.body).map_err(|_| ReadError::Unavailable),
            403 => Err(ReadError::Forbidden),
            _ => Err(ReadError::Unavailable),
        };
        let response =
            self.session.call(options, || VaultEndpoint::CapabilitiesSelf { paths }, request_id, parse).await;
        response.map(|(capabilities, _)| capabilities.data).map_err(|failed| failed.error)
    }

    /// The server's time in seconds since 1970. `None` if it reports no time.
    pub(in crate::stores) async fn server_time(&self) -> Option<i64> {
        let response = self.server.client.health(&RequestId::random()).await.ok()?;
        serde_json::from_slice::<HealthResponse>(&response.body).ok().map(|health| health.server_time_utc)
    }
}
