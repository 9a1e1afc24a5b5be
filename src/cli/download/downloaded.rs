//! A downloaded bundle.

use zeroize::Zeroizing;

/// A complete bundle, as rendered by the server.
pub struct Downloaded {
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether a store was unavailable and older values were served.
    pub stale: bool,
    /// Keyed digest of the versions of the secrets, if the server reports one.
    #[cfg_attr(not(feature = "csi"), expect(dead_code, reason = "only the provider of volumes reports it"))]
    pub versions: Option<String>,
}
