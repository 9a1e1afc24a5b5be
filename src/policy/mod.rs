//! Stage 3, policy: policies, a caller and a request become a decision. Pure: no async, no clock, no I/O.
//!
//! The exceptions are [`Directory`], which reads policies from files, and the implementations of [`PolicyStore`].
//!
//! In reading order: a policy is written (`manifest`, `compile`) with its parts (`subject`, `patterns`, `glob`,
//! `cel`, `template` and `write` with their `placeholder`s, `ceiling`, `secret_rule`) and becomes a `Policy`
//! (`matching`). It is put into a set (`set`, `slots`) and found there (`index`). A request is evaluated (`evaluation`)
//! with the attested values (`attestation`); the set decides (`decide`), explains (`explain`), and says what policies in
//! shadow mode would change (`shadow`); all return an `outcome`. Recorded requests are decided again (`replay`). Other rooms read the granted secrets, which are then merged (`merge`).

mod attestation;
mod base64_value;
mod bounds;
mod ceiling;
mod cel;
mod claim_value;
mod claims;
mod compile;
mod decide;
mod described;
mod directory;
mod draft;
mod evaluation;
mod explain;
mod file_kind;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glob;
mod index;
mod manifest;
mod matching;
mod merge;
mod outcome;
mod paths;
mod patterns;
mod placeholder;
mod replay;
mod resources;
mod secret_rule;
mod set;
mod shadow;
mod slots;
mod store;
mod subject;
mod template;
mod tenants;
mod write;
mod written;

#[cfg(test)]
mod tests;

pub use bounds::{AuthenticatorKind, Bounds};
pub use ceiling::Ceiling;
pub use directory::Directory;
pub use draft::{Draft, DraftError, Syntax, is_name_in_force, is_policy_name};
pub use manifest::resource_namespace;
pub use matching::Policy;
pub use outcome::{Decision, Denial};
pub use replay::{Difference, RecordedRequest, RecordedVerdict, Replay, Replayed};
pub use resources::{PendingStatus, Reason};
pub use set::PolicySet;
pub use shadow::Shadows;
pub use slots::SetDifference;
pub use store::{
    Change, Expected, NewPolicy, PolicyRegister, PolicySource, PolicyStore, PolicyStoreError, RegisterError,
    RevisionChange,
};
pub use written::WrittenSecret;

pub(crate) use described::caller_as_described;
pub(crate) use explain::{ExplainedPolicy, ExplainedSecret, Explanation};
pub(crate) use file_kind::FileKind;
pub(crate) use merge::{Absence, MergeError, Merged, merge};
pub(crate) use outcome::{Delivery, Grant, GrantedSecret};
pub(crate) use paths::{Access, GrantedPath, PathPart};
pub use tenants::Tenants;

pub(crate) use store::{Edit, Observer, PolicyRevision, StoredPolicy};
