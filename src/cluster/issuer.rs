//! The issuer of the cluster's tokens, from the API server's OIDC discovery document.

use super::client::Cluster;
use super::error::ClusterError;
use super::exchange::get;
use http::StatusCode;
use serde::Deserialize;

const PATH: &str = "/.well-known/openid-configuration";
const MAX_RESPONSE_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Cluster {
    /// The `iss` of new tokens of this cluster. By default, the role `system:service-account-issuer-discovery` allows every
    /// ServiceAccount to read it.
    ///
    /// # Errors
    /// The API server gives no usable response.
    pub async fn issuer(&self) -> Result<String, ClusterError> {
        let response = self.call(get(PATH)?, MAX_RESPONSE_BYTES).await?;
        if response.status != StatusCode::OK {
            return Err(response.unexpected_status().into());
        }
        Ok(response.decode::<Discovery>()?.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;

    async fn issuer(status: u16, body: &str) -> Result<String, ClusterError> {
        FakeApiServer::responding(status, body).await.cluster().await.issuer().await
    }

    #[tokio::test]
    async fn the_issuer_is_read_only_from_a_valid_document() {
        let document = r#"{"issuer":"https://own","jwks_uri":"https://own/keys"}"#;
        assert_eq!(issuer(200, document).await.as_deref(), Ok("https://own"));
        for (status, body) in [(403, document), (404, document), (200, "{}"), (200, "[]"), (200, r#"{"issuer":1}"#)] {
            assert!(issuer(status, body).await.is_err(), "{status} {body}");
        }
    }
}
