//! What is rendered, read by those it is rendered for: shells, dotenv readers, JSON parsers.

mod bundles;
mod compose;
mod dotenv;
mod export;
mod json;
mod readers;
