//! Policies that are written through the API and stored in the database, and their combination with those of files and
//! clusters.

mod compiled_policies;
mod diff;
pub(super) mod port;
mod records;
mod register;

pub use diff::SpecChange;
pub use port::{
    ChangeKind, NewPolicy, PolicyRecord, PolicyRevision, PolicySource, PolicyStoreError, PutOutcome, WritePrecondition,
};
pub use register::{PolicyObserver, PolicyRegister};
