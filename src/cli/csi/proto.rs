//! The messages of the driver's protocol, gRPC `v1alpha1`. Written by hand, so that no build needs `protoc`.
//!
//! Messages with tokens or secrets have no `Debug`. Fields that Claviger does not use are left out; a reader skips them.

use prost::Message;

/// Path of the call `Version`.
pub const VERSION: &str = "/v1alpha1.CSIDriverProvider/Version";
/// Path of the call `Mount`.
pub const MOUNT: &str = "/v1alpha1.CSIDriverProvider/Mount";

/// Request of the health check, whose one field is not used.
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

/// All files of the volume. Those of an earlier answer that are missing here are removed by the driver.
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

/// One file.
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
