//! A gRPC client on a Unix socket, and the messages of both protocols, independent of the provider's.

use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use tokio::net::UnixStream;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// `v1alpha1.MountRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct MountRequest {
    #[prost(string, tag = "1")]
    pub attributes: String,
    #[prost(string, tag = "2")]
    pub secrets: String,
    #[prost(string, tag = "3")]
    pub target_path: String,
    #[prost(string, tag = "4")]
    pub permission: String,
}

/// `v1alpha1.MountResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct MountResponse {
    #[prost(message, repeated, tag = "1")]
    pub object_version: Vec<ObjectVersion>,
    #[prost(message, repeated, tag = "3")]
    pub files: Vec<MountedFile>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ObjectVersion {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct MountedFile {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(int32, tag = "2")]
    pub mode: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub contents: Vec<u8>,
}

/// `v1alpha1.VersionRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct VersionRequest {
    #[prost(string, tag = "1")]
    pub version: String,
}

/// `v1alpha1.VersionResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct VersionResponse {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    #[prost(string, tag = "3")]
    pub runtime_version: String,
}

/// `csi.v1.NodePublishVolumeRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct NodePublishVolumeRequest {
    #[prost(string, tag = "1")]
    pub volume_id: String,
    #[prost(string, tag = "4")]
    pub target_path: String,
    #[prost(message, optional, tag = "5")]
    pub volume_capability: Option<VolumeCapability>,
    #[prost(bool, tag = "6")]
    pub readonly: bool,
    #[prost(map = "string, string", tag = "7")]
    pub secrets: HashMap<String, String>,
    #[prost(map = "string, string", tag = "8")]
    pub volume_context: HashMap<String, String>,
}

/// `csi.v1.VolumeCapability` of a file system.
#[derive(Clone, PartialEq, Message)]
pub struct VolumeCapability {
    #[prost(message, optional, tag = "2")]
    pub mount: Option<Empty>,
    #[prost(message, optional, tag = "3")]
    pub access_mode: Option<AccessMode>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AccessMode {
    /// 1: one writer on one node.
    #[prost(int32, tag = "1")]
    pub mode: i32,
}

/// `csi.v1.NodeUnpublishVolumeRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct NodeUnpublishVolumeRequest {
    #[prost(string, tag = "1")]
    pub volume_id: String,
    #[prost(string, tag = "2")]
    pub target_path: String,
}

/// A message whose fields are all at their defaults.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

impl MountResponse {
    /// Path, mode and text of each file.
    pub fn texts<'a>(&'a self) -> Vec<(&'a str, i32, &'a str)> {
        let of = |file: &'a MountedFile| -> (&'a str, i32, &'a str) {
            (&file.path, file.mode, std::str::from_utf8(&file.contents).unwrap())
        };
        self.files.iter().map(of).collect()
    }
}

/// Makes one call on its own connection.
pub async fn call<Q, A>(socket: &Path, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let stream = UnixStream::connect(socket).await.map_err(|error| Status::unavailable(error.to_string()))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| Status::unavailable(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let service = tower::service_fn(move |request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let mut grpc = tonic::client::Grpc::with_origin(service, "http://localhost".parse().unwrap());
    let path = http::uri::PathAndQuery::from_static(path);
    let answer = grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await;
    connection.abort();
    answer.map(Response::into_inner)
}
