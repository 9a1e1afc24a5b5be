//! Reads the current version of a secret.

use super::credentials::{AwsCredentials, SdkClient};
use super::responses;
use super::sdk_error::convert_sdk_error;
use super::transport::{CapturedBody, Transport};
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::stores::cloud::{Cloud, MISSING_SECRET};
use crate::stores::port::{OpenError, ReadError};
use crate::stores::secret_names::SecretNaming;
use crate::stores::server_calls::CallError;
use crate::stores::store_path::StorePath;
use async_trait::async_trait;
use aws_sdk_secretsmanager::config::{AppName, Builder};
use std::borrow::Cow;

/// The API of Secrets Manager in one region.
pub struct SecretsManager {
    pub(super) transport: Transport,
    pub(super) sts_transport: Transport,
}

#[async_trait]
impl Cloud for SecretsManager {
    type Source = AwsCredentials;

    const NAMING: SecretNaming = SecretNaming::AwsSecretsManager;

    /// Paths with the same first segment are one group. Returns this segment and `/`.
    fn quota_group(path: &str) -> Cow<'static, str> {
        format!("{}/", path.split('/').next().unwrap_or_default()).into()
    }

    async fn read(
        &self,
        sdk: &SdkClient,
        name: &str,
        _path: &StorePath,
        request_id: &RequestId,
    ) -> Result<Secret, CallError> {
        let captured = CapturedBody::default();
        let slot = captured.clone();
        let get = sdk.client.get_secret_value().secret_id(name).customize();
        let get = get.mutate_request(move |request| request.add_extension(slot.clone()));
        let mut with_app_name = Builder::new();
        with_app_name.set_app_name(app_name(request_id));
        get.config_override(with_app_name).send().await.map_err(|error| convert_sdk_error(&error))?;
        let body = captured.take().ok_or(CallError::unusable(ReadError::Unavailable))?;
        responses::parse_secret(&body, name).map_err(CallError::unusable)
    }

    /// Calls `DescribeSecret`, which the permission to read does not include. A denied call also shows that AWS accepted the
    /// credentials.
    async fn look_up_missing_secret(&self, sdk: &SdkClient, _request: &RequestId) -> Result<(), CallError> {
        let describe = sdk.client.describe_secret().secret_id(MISSING_SECRET);
        describe.send().await.map(|_| ()).map_err(|error| convert_sdk_error(&error))
    }

    fn reload(&self) -> Result<(), OpenError> {
        self.transport.reload()?;
        self.sts_transport.reload()
    }
}

/// The `app` in the user agent, so that entries of CloudTrail can be found by request ID.
fn app_name(request_id: &RequestId) -> Option<AppName> {
    AppName::new(format!("claviger-{request_id}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_fits_into_the_user_agent() {
        let name = app_name(&RequestId::random()).unwrap();
        assert!(name.as_ref().starts_with("claviger-") && name.as_ref().len() <= 50);
    }
}
