//! The messages of the driver's gRPC protocol `v1alpha1`. Written by hand, so that builds do not need `protoc`.
//!
//! Messages with tokens or secrets have no `Debug`. Fields that Claviger does not use are omitted, and skipped by the decoder.

use prost::Message;

pub const VERSION_PATH: &str = "/v1alpha1.CSIDriverProvider/Version";
pub const MOUNT_PATH: &str = "/v1alpha1.CSIDriverProvider/Mount";

/// The request of the health check.
#[derive(Clone, PartialEq, Message)]
pub struct VersionRequest {}

/// The protocol, and the name and version of the provider.
#[derive(Clone, PartialEq, Message)]
pub struct VersionResponse {
    /// Version of the protocol.
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// A semantic version.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
}

/// A volume to fill.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MountRequest {
    /// JSON object of strings: parameters of the `SecretProviderClass`, overwritten by `volumeAttributes`, and tokens.
    #[prost(string, tag = "1")]
    pub attributes: String,
    /// JSON object of strings: the content of `nodePublishSecretRef`, and tokens.
    #[prost(string, tag = "2")]
    pub secrets: String,
}

/// All files of the volume. The driver removes files of an earlier response that are missing in this response.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MountResponse {
    #[prost(message, repeated, tag = "1")]
    pub object_version: Vec<ObjectVersion>,
    #[prost(message, repeated, tag = "3")]
    pub files: Vec<File>,
}

/// What is mounted, as `SecretProviderClassPodStatus` shows it.
#[derive(Clone, PartialEq, Message)]
pub struct ObjectVersion {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct File {
    /// Relative to the volume.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permission bits.
    #[prost(int32, tag = "2")]
    pub mode: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub contents: Vec<u8>,
}
