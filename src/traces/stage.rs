//! The spans of the stages, with names that dashboards may rely on.

use tracing::{Span, info_span};

/// The target of the spans of stages.
pub const STAGE: &str = "claviger::stage";

/// Declares the stages with the names of their spans, which have to be literals.
macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident => $name:literal),+ $(,)?) => {
        /// A stage of a verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Stage { $($(#[$doc])* $stage),+ }

        impl Stage {
            /// Its span, below the current one; none outside a request.
            #[must_use]
            pub fn span(self) -> Span {
                if Span::current().is_disabled() {
                    return Span::none();
                }
                match self { $(Self::$stage => info_span!(target: STAGE, $name)),+ }
            }
        }
    };
}

stages! {
    /// Who are you.
    Authn => "authn",
    /// What are you building.
    Attest => "attest",
    /// What may you have.
    Policy => "policy",
    /// Fetch.
    Stores => "stores",
    /// Seal, or open and consume.
    Tickets => "tickets",
    /// Hand over.
    Render => "render",
    /// Record.
    Audit => "audit",
}
