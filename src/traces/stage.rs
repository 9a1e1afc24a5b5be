//! The spans of the stages. Dashboards use their names, so a change of a name is incompatible.

use tracing::{Span, info_span};

/// The `tracing` target of stage spans.
pub const STAGE_SPAN_TARGET: &str = "claviger::stage";

/// Declares the stages with their span names, which must be literals.
macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident => $name:literal),+ $(,)?) => {
        /// A stage of a verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Stage { $($(#[$doc])* $stage),+ }

        impl Stage {
            /// A new span of this stage, as a child of the current span. Disabled outside a request.
            #[must_use]
            pub fn span(self) -> Span {
                if Span::current().is_disabled() {
                    return Span::none();
                }
                match self { $(Self::$stage => info_span!(target: STAGE_SPAN_TARGET, $name)),+ }
            }
        }
    };
}

stages! {
    /// Authentication of the caller.
    Authn => "authn",
    /// Attestation of the build.
    Attest => "attest",
    /// The policy decision.
    Policy => "policy",
    /// Reads from the stores.
    Stores => "stores",
    /// Sealing, or opening and consuming, of a ticket.
    Tickets => "tickets",
    /// Rendering of the bundle.
    Render => "render",
    /// Recording of the audit event.
    Audit => "audit",
}
