//! A downloaded and verified bundle.

use zeroize::Zeroizing;

/// A complete bundle, as rendered by the server.
pub struct DownloadedBundle {
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether the server returned older values because a store was unavailable.
    pub stale: bool,
    /// Keyed digest of the versions of the secrets, if the server reports one.
    #[cfg_attr(not(feature = "csi"), expect(dead_code, reason = "only the CSI provider reports it"))]
    pub versions_digest: Option<String>,
}
