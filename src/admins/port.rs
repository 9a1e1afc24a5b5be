//! The port: what administrators do, and why somebody is refused.

/// What is done, in Kubernetes' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Look at one.
    Get,
    /// Look at all.
    List,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Take one away.
    Delete,
    /// Take away all that fit.
    DeleteCollection,
}

impl Verb {
    /// The word in roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete | Self::DeleteCollection)
    }
}

/// What is administered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Policies.
    Policies,
    /// Outstanding tickets.
    Tickets,
    /// Leases.
    Leases,
    /// The audit log.
    Audit,
    /// Explanations.
    Decisions,
}

impl Resource {
    /// The word in roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Tickets => "tickets",
            Self::Leases => "leases",
            Self::Audit => "audit",
            Self::Decisions => "decisions",
        }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act<'a> {
    /// What.
    pub verb: Verb,
    /// To what.
    pub resource: Resource,
    /// To which of them, so that a role may name some of them; none for all.
    pub name: Option<&'a str>,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AdminsError {
    /// No.
    #[error("not an administrator: {}", .0.as_str())]
    Refused(AdminRefusal),
    /// The API server cannot be asked. That is no yes either.
    #[error("the API server cannot be asked about an administrator")]
    Unavailable,
}

/// Why somebody was refused, for the audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminRefusal {
    /// An authoriser of the API server denies it.
    Denied,
    /// No authoriser of the API server allows it, and none denies it.
    NoOpinion,
    /// A bearer who is not in the static list, or a user of a cluster that is not asked.
    NotListed,
}

impl AdminRefusal {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied_by_cluster",
            Self::NoOpinion => "no_opinion",
            Self::NotListed => "not_listed",
        }
    }
}
