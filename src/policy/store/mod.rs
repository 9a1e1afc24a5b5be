//! Policies written through the API. They are stored in the database, and combined with those of files.

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
