//! The port: the actions of administrators, and why they are refused.

/// The verb, in the terms of Kubernetes RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read all objects.
    List,
    /// Create an object.
    Create,
    /// Replace an object.
    Update,
    /// Delete an object.
    Delete,
    /// Delete all matching objects.
    DeleteCollection,
}

impl Verb {
    /// The value in roles.
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

    pub(super) const fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete | Self::DeleteCollection)
    }
}

/// The resource.
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
    /// Explanations of decisions.
    Decisions,
}

impl Resource {
    /// The value in roles.
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

/// An action on one object or on all objects of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminAction<'a> {
    pub verb: Verb,
    pub resource: Resource,
    /// The name of the object, which roles can restrict (`resourceNames`). `None` for all objects.
    pub name: Option<&'a str>,
}

/// Why an action is not authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AdminsError {
    /// The user is refused.
    #[error("not an administrator: {}", .0.as_str())]
    Refused(AdminRefusal),
    /// The API server gives no usable response. The action is not allowed.
    #[error("the API server gave no usable response to a SubjectAccessReview")]
    Unavailable,
}

/// Why a user is refused, for the audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminRefusal {
    /// An authorizer of the API server denies the action.
    Denied,
    /// No authorizer of the API server allows or denies the action.
    NoOpinion,
    /// The holder of an OIDC token is not in the static list, or the user's cluster is not configured for reviews.
    NotListed,
}

impl AdminRefusal {
    /// The value in the audit event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied_by_cluster",
            Self::NoOpinion => "no_opinion",
            Self::NotListed => "not_listed",
        }
    }
}
