//! The checker against ten thousand logs that somebody has been at.

mod mutations;
mod rows;
