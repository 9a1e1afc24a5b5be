//! Closed enums of label values.

closed_enum! {
    /// The outcome of an authentication.
    pub enum AuthenticationOutcome {
        /// A caller was authenticated.
        Ok => "ok",
        /// The token was refused, or not examined because a limit was reached.
        Denied => "denied",
        /// The API server or issuer could not be reached.
        Failed => "failed",
    }
}

closed_enum! {
    /// The outcome of a ticket request or another event. Also the `outcome` of an audit event.
    pub enum Outcome {
        /// Success.
        Ok => "ok",
        /// Refused.
        Denied => "denied",
        /// Failed.
        Failed => "failed",
    }
}

closed_enum! {
    /// The type of an audit event.
    pub enum EventType {
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
        /// Events were deleted because the log exceeded its maximum size.
        AuditPruned => "audit.pruned",
        /// The database was restored from a backup, and tickets that may have been redeemed since were revoked.
        DatabaseRestored => "database.restored",
    }
}

closed_enum! {
    /// The state of a cluster's admission policy.
    pub enum AdmissionPolicyState {
        /// The policy of this version is installed.
        Present => "present",
        /// The policy of another version is installed.
        Outdated => "outdated",
        /// The policy or its binding was changed so that it prevents less, or its effect cannot be determined.
        Weakened => "weakened",
        /// The policy or its binding is missing.
        Absent => "absent",
    }
}

closed_enum! {
    /// Why a failover of the database may lose acknowledged commits.
    pub enum DataLoss {
        /// `synchronous_commit` is neither `on` nor `remote_apply`.
        SynchronousCommit => "synchronous_commit",
        /// A standby is connected and none is synchronous.
        AsynchronousStandby => "asynchronous_standby",
        /// A WAL receiver is connected and none is synchronous, and the role lacks permission to see whether it is a standby.
        UnknownReceiver => "unknown_receiver",
    }
}

closed_enum! {
    /// Why audit events were deleted.
    pub enum PruneReason {
        /// The events were older than `audit.retention`.
        Retention => "retention",
        /// The log was larger than `audit.maxSize`.
        MaxSize => "max_size",
    }
}

closed_enum! {
    /// The outcome of a redemption.
    pub enum RedemptionOutcome {
        /// The bundle was delivered.
        Redeemed => "redeemed",
        /// The same client repeated an interrupted download.
        Replayed => "replayed",
        /// The key was valid, but the ticket was already redeemed.
        AlreadyRedeemed => "already_redeemed",
        /// The key was valid, but the ticket had expired.
        Expired => "expired",
        /// The key was valid, but the ticket was revoked.
        Revoked => "revoked",
        /// The ticket does not exist, or the key was wrong.
        Unknown => "unknown",
        /// The key was valid, but the client violated the binding, so the ticket is revoked.
        Misuse => "misuse",
    }
}

closed_enum! {
    /// The operation on a store.
    pub enum StoreOperation {
        /// A secret was read.
        Read => "read",
        /// The mount of a path was looked up.
        Preflight => "preflight",
        /// Claviger logged in.
        Login => "login",
        /// A token or lease was renewed.
        Renew => "renew",
        /// A lease was revoked.
        Revoke => "revoke",
    }
}

closed_enum! {
    /// The outcome of a store operation.
    pub enum StoreOutcome {
        /// The secret was returned.
        Ok => "ok",
        /// The secret does not exist.
        Absent => "absent",
        /// The secret existed and was deleted or destroyed.
        Deleted => "deleted",
        /// The mount does not exist, or its engine has no such path.
        Misconfigured => "misconfigured",
        /// Claviger's token has no permission.
        Forbidden => "forbidden",
        /// The store gave no usable response.
        Unavailable => "unavailable",
        /// The secret exists without the key that the policy names.
        KeyAbsent => "key_absent",
    }
}

closed_enum! {
    /// The scope of the circuit breaker that suspended a call to a store.
    pub enum BreakerScope {
        /// The whole server.
        Server => "server",
        /// A mount, or a group of calls that share a limit.
        Mount => "mount",
        /// A path that creates credentials.
        Path => "path",
    }
}

closed_enum! {
    /// The outcome of an attempt to revoke a dynamic lease.
    pub enum RevocationOutcome {
        /// The store revoked the lease.
        Ok => "ok",
        /// The store did not revoke the lease; another attempt follows.
        Failed => "failed",
        /// The sixth attempt in a row failed, so the credentials may still be valid. Attempts continue at long intervals.
        GivenUp => "given_up",
    }
}

closed_enum! {
    /// The outcome of a read through the cache.
    pub enum CacheOutcome {
        /// The cache had the result: the secret, or its absence.
        Hit => "hit",
        /// The store was read.
        Miss => "miss",
        /// The request joined the read of another request for the same path.
        Coalesced => "coalesced",
        /// An expired value was served, because the store was unreachable.
        Stale => "stale",
    }
}
