//! The APIs that are compatible with those of other products.

closed_enum! {
    /// An API that is compatible with that of another product.
    pub enum CompatibleApi {
        /// The Vault-compatible API.
        Vault => "vault",
    }
}
