//! Stage 3, policy: decides by the policies which secrets a caller gets for a request. Pure: no async, no clock, no I/O.
//!
//! The exceptions are [`Directory`], which reads policies from files, and [`PolicyRegister`], which stores policies in the database
//! and combines the policies of all sources.
//!
//! In reading order: a spec is compiled (`manifest`, `compile`) with its parts (`subject`, `patterns`, `glob`, `cel`,
//! `template` and `write_template` with their `placeholder`s, `ceiling`, `key_selection`) into a `Policy` (`compiled_policy`).
//! A `set` holds the active policies, numbered by `slots`, and its `index` finds those that could match. A request is
//! evaluated (`evaluation`) with the attested values (`attestation`). `decide` makes the decision (`outcome`), `explain` explains
//! it, `shadow` says what policies in shadow mode would change, and `replay` compares the decisions of two sets on recorded
//! requests. `broadest_deny` takes the place of a deny policy that does not compile. When the granted secrets have been read from their stores, `merge` merges their values.

mod attestation;
mod base64_value;
mod bounds;
mod broadest_deny;
mod ceiling;
mod cel;
mod claim_value;
mod claims;
mod compile;
mod compiled_policy;
mod decide;
mod described_caller;
mod directory;
mod draft;
mod evaluation;
mod explain;
mod file_kind;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glob;
mod index;
mod key_selection;
mod listed_secret;
mod manifest;
mod merge;
mod needed_paths;
mod outcome;
mod paths;
mod patterns;
mod placeholder;
mod replay;
mod resources;
mod set;
mod shadow;
mod slots;
mod store;
mod subject;
mod template;
mod tenants;
mod write_template;

#[cfg(test)]
mod tests;

pub use bounds::{AuthenticatorKind, Bounds};
pub use ceiling::Ceiling;
pub use compiled_policy::Policy;
pub use directory::Directory;
pub use draft::{Draft, DraftError, Syntax, is_policy_name, is_policy_or_resource_name};
pub use listed_secret::ListedSecret;
pub use manifest::resource_namespace;
pub use outcome::{Decision, Denial};
pub use replay::{DecisionDifference, RecordedDecision, RecordedRequest, Replay, ReplayResult};
pub use resources::{PendingStatus, ReadyReason};
pub use set::PolicySet;
pub use shadow::ShadowPolicies;
pub use slots::SetDifference;
pub use store::{ChangeKind, NewPolicy, PolicyRegister, PolicySource, PolicyStoreError, PutOutcome, WritePrecondition};

pub(crate) use described_caller::caller_from_description;
pub(crate) use explain::{ExplainedPolicy, ExplainedSecret, Explanation};
pub(crate) use file_kind::FileKind;
pub(crate) use merge::{Absence, MergeError, MergedSecrets, merge};
pub(crate) use outcome::{AllowedDeliveries, Grant, GrantedSecret};
pub(crate) use paths::{Access, GrantedPath, PathPart};
pub(crate) use store::{PolicyObserver, PolicyRecord, PolicyRevision, SpecChange};
pub use tenants::Tenants;
