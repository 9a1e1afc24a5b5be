//! Which client may redeem a ticket.

closed_enum! {
    /// What the redeeming client must have in common with the caller of the ticket. Ordered from least to most strict, so the
    /// maximum of several values is the strictest. Names as in policies and in the configuration.
    pub enum TicketBinding {
        /// Nothing: any client with the URL may redeem.
        None => "none",
        /// The same source address.
        Ip => "ip",
        /// The same pod uid, or for OIDC callers the same issuer, subject and `jti`.
        Identity => "identity",
    }
}
