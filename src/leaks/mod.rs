//! The search for secret values in streams, in all encodings in which programs write values. No I/O: the caller passes the input in
//! pieces of any size. `exec --mask` and `scan` use this search.

mod forms;
mod mask;
mod needles;
mod search;

pub use forms::Form;
pub use mask::Mask;
pub use needles::Needles;
pub use search::{Hit, Search};
