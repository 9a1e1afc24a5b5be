//! The label values, as closed enums.

/// Declares an enum whose variants have one fixed word each.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label's value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

label! {
    /// How an authentication ended.
    AuthenticationOutcome {
        /// A caller was vouched for.
        Ok => "ok",
        /// The token was refused.
        Denied => "denied",
        /// Whoever should vouch could not be reached.
        Failed => "failed",
    }
}

label! {
    /// How a ticket request or another event ended; also the `outcome` of an audit event.
    Outcome {
        /// It was done.
        Ok => "ok",
        /// It was refused.
        Denied => "denied",
        /// It went wrong.
        Failed => "failed",
    }
}

label! {
    /// What an audit event is about.
    EventType {
        /// A ticket was issued.
        TicketIssued => "ticket.issued",
        /// A ticket was refused by policy.
        TicketDenied => "ticket.denied",
        /// A ticket could not be issued.
        TicketFailed => "ticket.failed",
        /// A ticket was redeemed.
        TicketRedeemed => "ticket.redeemed",
        /// A redemption was refused.
        TicketRejected => "ticket.rejected",
        /// A ticket expired unredeemed.
        TicketExpired => "ticket.expired",
        /// A ticket was revoked.
        TicketRevoked => "ticket.revoked",
        /// Secrets were delivered without a ticket.
        SecretsRead => "secrets.read",
        /// A bearer token was refused.
        AuthnFailed => "authn.failed",
        /// A policy was created.
        PolicyCreated => "policy.created",
        /// A policy was replaced.
        PolicyUpdated => "policy.updated",
        /// A policy was deleted.
        PolicyDeleted => "policy.deleted",
        /// A dynamic lease was acquired.
        LeaseAcquired => "lease.acquired",
        /// A dynamic lease was renewed.
        LeaseRenewed => "lease.renewed",
        /// A dynamic lease was revoked.
        LeaseRevoked => "lease.revoked",
        /// A dynamic lease could not be renewed or revoked.
        LeaseFailed => "lease.failed",
        /// An administrator was refused.
        AdminDenied => "admin.denied",
        /// Events were deleted because the log was larger than it may be.
        AuditPruned => "audit.pruned",
    }
}

label! {
    /// How it stands with the admission policy of a cluster.
    AdmissionPolicyState {
        /// It is the one that this version ships.
        Present => "present",
        /// It is that of another version.
        Outdated => "outdated",
        /// Policy or binding were changed so that they guard less, or nobody knows what.
        Weakened => "weakened",
        /// There is none, or no binding.
        Absent => "absent",
    }
}

label! {
    /// Why audit events were deleted.
    Pruned {
        /// They were older than `audit.retention`.
        Retention => "retention",
        /// The log was larger than `audit.maxSize`.
        MaxSize => "max_size",
    }
}

label! {
    /// How a redemption ended.
    Redemption {
        /// The bundle was handed over.
        Redeemed => "redeemed",
        /// The same redeemer repeated a lost download.
        Replayed => "replayed",
        /// The key was proven, the ticket already used.
        AlreadyRedeemed => "already_redeemed",
        /// The key was proven, the ticket too old.
        Expired => "expired",
        /// The key was proven, the ticket revoked or burned.
        Revoked => "revoked",
        /// No such ticket, or the key was not proven.
        Unknown => "unknown",
        /// The key was proven at the wrong place; the ticket is burned.
        Misuse => "misuse",
    }
}

label! {
    /// What was asked of a store.
    StoreOperation {
        /// A secret was read.
        Read => "read",
        /// The mount of a path was looked up.
        Preflight => "preflight",
        /// The broker logged in.
        Login => "login",
        /// A token or lease was renewed.
        Renew => "renew",
        /// A lease was revoked.
        Revoke => "revoke",
    }
}

label! {
    /// What a store answered: the closed set that absent, forbidden and broken are told apart by.
    StoreOutcome {
        /// The secret.
        Ok => "ok",
        /// There is no such secret.
        Absent => "absent",
        /// There was one; it is deleted or destroyed.
        Deleted => "deleted",
        /// There is no such mount, or the path does not fit its engine.
        Misconfigured => "misconfigured",
        /// The broker's own token may not read it.
        Forbidden => "forbidden",
        /// No usable answer.
        Unavailable => "unavailable",
        /// The secret is there without the key that the policy names.
        KeyAbsent => "key_absent",
    }
}

label! {
    /// Whose circuit breaker suspended a call to a store.
    BreakerScope {
        /// That of the whole server.
        Server => "server",
        /// That of a mount, or of a group of calls that share a limit.
        Mount => "mount",
        /// That of a path where credentials are made.
        Path => "path",
    }
}

label! {
    /// How an attempt to revoke a dynamic lease ended.
    Revocation {
        /// The store revoked it.
        Ok => "ok",
        /// It did not; it is tried again.
        Failed => "failed",
        /// It did not, for the sixth time in a row, and is tried rarely from now on: credentials may be alive that nobody should have.
        GivenUp => "given_up",
    }
}

label! {
    /// Whether the lease cache had the answer.
    CacheOutcome {
        /// It had.
        Hit => "hit",
        /// It asked the store.
        Miss => "miss",
        /// It waited for another request's read of the same path.
        Coalesced => "coalesced",
        /// It had an old answer, and the store could not be reached.
        Stale => "stale",
    }
}
