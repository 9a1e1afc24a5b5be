//! Policies that are written through the API. They are kept in the database, and joined with those of the files.

mod compiled;
mod diff;
pub(super) mod port;
mod records;
mod register;

pub use diff::Edit;
pub use port::{
    Change, Expected, NewPolicy, PolicyRevision, PolicySource, PolicyStore, PolicyStoreError, RevisionChange,
    StoredPolicy,
};
pub use register::{Observer, PolicyRegister, RegisterError};
