//! The port: the actions of administrators, and why they are refused.

closed_enum! {
    /// The verb, in the terms of Kubernetes RBAC.
    pub enum Verb {
        /// Read one object.
        Get => "get",
        /// Read all objects.
        List => "list",
        /// Create an object.
        Create => "create",
        /// Replace an object.
        Update => "update",
        /// Delete an object.
        Delete => "delete",
        /// Delete all matching objects.
        DeleteCollection => "deletecollection",
    }
}

impl Verb {
    pub(super) const fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete | Self::DeleteCollection)
    }
}

closed_enum! {
    pub enum Resource {
        /// Policies.
        Policies => "policies",
        /// Outstanding tickets.
        Tickets => "tickets",
        /// Leases of dynamic secrets.
        Leases => "leases",
        /// The audit log.
        Audit => "audit",
        /// Explanations of decisions.
        Decisions => "decisions",
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
    /// The call to the API server fails. The action is not allowed.
    #[error("the call of a SubjectAccessReview failed")]
    Unavailable,
}

closed_enum! {
    /// Why a user is refused, for the audit event.
    pub enum AdminRefusal {
        /// An authorizer of the API server denies the action.
        Denied => "denied_by_cluster",
        /// No authorizer of the API server allows or denies the action.
        NoOpinion => "no_opinion",
        /// The holder of an OIDC token is not in the static list, or the user's cluster is not configured for reviews.
        NotListed => "not_listed",
    }
}
