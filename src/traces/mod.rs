//! THE TRACES: which spans there are, what they may say, and the W3C context in and out.
//!
//! A request is one tree: a root named by its route, and a span for each stage. They bear closed words and our request
//! id, never a repo, a branch, a subject, a path, a token or a ticket. Where traces are off every span here is disabled.

mod context;
mod request;
mod stage;

pub use context::{trace_id, traceparent};
pub use request::{REQUEST, answered, request};
pub use stage::{STAGE, Stage};
