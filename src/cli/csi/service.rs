//! Handles the gRPC calls of the driver: `Version` and `Mount`.

use super::mount::Provider;
use super::mount_error::MountError;
use super::proto::{MOUNT_PATH, MountRequest, MountResponse, VERSION_PATH, VersionRequest, VersionResponse};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// The version of the protocol.
const PROTOCOL_VERSION: &str = "v1alpha1";
/// Maximum size of a request. tonic refuses a larger one with `OUT_OF_RANGE`.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The mount id in the error of a mount that panicked.
const UNKNOWN_MOUNT_ID: &str = "none";

/// Handles one call. The status is always one that kubelet takes as final.
pub async fn handle_call(provider: Arc<Provider>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let response = match request.uri().path() {
        VERSION_PATH => {
            let grpc = Grpc::new(ProstCodec::<VersionResponse, VersionRequest>::default());
            let answer_version = |_| async { Ok(tonic::Response::new(version())) };
            grpc.max_decoding_message_size(MAX_MESSAGE_BYTES).unary(service_fn(answer_version), request).await
        }
        MOUNT_PATH => {
            let grpc = Grpc::new(ProstCodec::<MountResponse, MountRequest>::default());
            let answer_mount = |request: tonic::Request<MountRequest>| mount(provider.clone(), request.into_inner());
            grpc.max_decoding_message_size(MAX_MESSAGE_BYTES).unary(service_fn(answer_mount), request).await
        }
        _ => Status::unimplemented("claviger csi implements only v1alpha1.CSIDriverProvider").into_http(),
    };
    Ok(with_final_status(response))
}

fn version() -> VersionResponse {
    VersionResponse {
        version: PROTOCOL_VERSION.into(),
        runtime_name: env!("CARGO_PKG_NAME").into(),
        runtime_version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Mounts in a separate task: a panic in the task of the call would reset the stream, which the driver reports as `CANCELLED`.
async fn mount(provider: Arc<Provider>, request: MountRequest) -> Result<tonic::Response<MountResponse>, Status> {
    let result = tokio::spawn(async move { provider.mount(request).await }).await;
    result.unwrap_or_else(|_| Err(MountError::internal().into_status(UNKNOWN_MOUNT_ID))).map(tonic::Response::new)
}

/// Replaces a status that kubelet does not take as final. Only tonic returns such a status, for requests that it cannot decode.
fn with_final_status(mut response: Response<Body>) -> Response<Body> {
    let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    if let Some(
        Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::Cancelled | Code::DeadlineExceeded,
    ) = code
    {
        response.headers_mut().insert("grpc-status", HeaderValue::from(Code::Internal as u16));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_that_is_not_final_is_replaced() {
        for code in 0..=16 {
            let response = with_final_status(Status::new(Code::from(code), "x").into_http());
            let sent = &response.headers()["grpc-status"];
            let expected = if [1, 4, 8, 10, 14].contains(&code) { "13".into() } else { code.to_string() };
            assert_eq!(sent.to_str().ok(), Some(expected.as_str()), "{code}");
        }
    }
}
