//! The search for secret values in streams, in all encodings in which programs write them. Pure: the input comes in pieces of any
//! size. `exec --mask` and `scan` use it.

mod forms;
mod mask;
mod needles;
mod search;

pub use forms::Form;
pub use mask::Mask;
pub use needles::Needles;
pub use search::{Hit, Search};
