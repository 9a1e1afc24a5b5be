//! THE LEAKS: the forms that a value takes in logs and files, and a search for all of them at once. Pure: the
//! input comes in pieces of any size. `exec --mask` and `scan` share it.

mod forms;
mod mask;
mod needles;
mod search;

pub use forms::Form;
pub use mask::Mask;
pub use needles::Needles;
pub use search::{Hit, Search};
