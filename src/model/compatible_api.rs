//! The APIs that are compatible with those of other products.

closed_enum! {
    /// An API that is compatible with that of another product. Names as in audit events.
    pub enum CompatibleApi {
        /// The Vault-compatible API.
        Vault => "vault",
    }
}
