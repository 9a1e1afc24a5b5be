//! Where a secret shows that should not: the forms that a value takes in logs and files, and the search for all of them
//! at once. Pure: what is searched comes in pieces of any size, from wherever. `exec --mask` and `scan` share it.

mod forms;
mod mask;
mod needles;
mod search;

pub use forms::Form;
pub use mask::Mask;
pub use needles::Needles;
pub use search::{Hit, Search};
