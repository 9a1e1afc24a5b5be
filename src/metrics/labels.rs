//! Label values as closed enums.

/// Declares an enum with a fixed label value for each variant.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All values.
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
        /// A caller was authenticated.
        Ok => "ok",
        /// The token was refused.
        Denied => "denied",
        /// The API server or issuer could not be reached.
        Failed => "failed",
    }
}

label! {
    /// How a ticket request or another event ended; also the `outcome` of an audit event.
    Outcome {
        /// Success.
        Ok => "ok",
        /// Refused.
        Denied => "denied",
        /// Failed.
        Failed => "failed",
    }
}

label! {
    /// The type of an audit event.
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
        /// The database was restored from a backup, and tickets that may have been redeemed since were revoked.
        DatabaseRestored => "database.restored",
    }
}

label! {
    /// The state of a cluster's admission policy.
    AdmissionPolicyState {
        /// The policy of this version is installed.
        Present => "present",
        /// The policy of another version is installed.
        Outdated => "outdated",
        /// Policy or binding were changed and guard less, or their effect cannot be determined.
        Weakened => "weakened",
        /// The policy or its binding is missing.
        Absent => "absent",
    }
}

label! {
    /// Why a failover of the database may lose acknowledged commits.
    DataLoss {
        /// `synchronous_commit` is neither `on` nor `remote_apply`.
        SynchronousCommit => "synchronous_commit",
        /// A standby is connected and none is synchronous.
        AsynchronousStandby => "asynchronous_standby",
        /// A receiver of WAL is connected, none is synchronous, and the role cannot see whether it is a standby.
        UnknownReceiver => "unknown_receiver",
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
        /// The bundle was delivered.
        Redeemed => "redeemed",
        /// The same client repeated an interrupted download.
        Replayed => "replayed",
        /// The key was valid, the ticket already used.
        AlreadyRedeemed => "already_redeemed",
        /// The key was valid, the ticket expired.
        Expired => "expired",
        /// The key was valid, the ticket revoked or burned.
        Revoked => "revoked",
        /// The ticket does not exist, or the key was wrong.
        Unknown => "unknown",
        /// The key was valid, but the client broke the ticket's binding; the ticket is burned.
        Misuse => "misuse",
    }
}

label! {
    /// The operation on a store.
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
    /// The outcome of a store operation. The set is closed; missing, forbidden and failed reads are different
    /// outcomes.
    StoreOutcome {
        /// The secret was returned.
        Ok => "ok",
        /// The secret does not exist.
        Absent => "absent",
        /// The secret existed and was deleted or destroyed.
        Deleted => "deleted",
        /// The mount does not exist, or the path does not fit its engine.
        Misconfigured => "misconfigured",
        /// The broker's own token has no permission.
        Forbidden => "forbidden",
        /// No usable answer.
        Unavailable => "unavailable",
        /// The secret exists without the key that the policy names.
        KeyAbsent => "key_absent",
    }
}

label! {
    /// The scope of the circuit breaker that suspended a call to a store.
    BreakerScope {
        /// The whole server.
        Server => "server",
        /// A mount, or a group of calls that share a limit.
        Mount => "mount",
        /// A path that creates credentials.
        Path => "path",
    }
}

label! {
    /// How an attempt to revoke a dynamic lease ended.
    Revocation {
        /// The store revoked the lease.
        Ok => "ok",
        /// The store did not revoke it; another attempt follows.
        Failed => "failed",
        /// The sixth attempt in a row failed. Attempts continue at long intervals; the credentials may still be
        /// valid although they should not be.
        GivenUp => "given_up",
    }
}

label! {
    /// How the cache answered a read.
    CacheOutcome {
        /// The cache had the answer.
        Hit => "hit",
        /// The store was read.
        Miss => "miss",
        /// Another request's read of the same path was joined.
        Coalesced => "coalesced",
        /// An expired value was served, because the store was unreachable.
        Stale => "stale",
    }
}
