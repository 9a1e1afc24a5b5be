//! Rendered bundles, read by the programs they are meant for: shells, dotenv readers, JSON parsers, archivers,
//! registry clients, npm and curl.

mod bundles;
mod compose;
mod docker_config;
mod dotenv;
mod downloads;
mod encoded;
mod export;
mod json;
mod listener;
mod matrix;
mod netrc;
mod npmrc;
mod readers;
mod tar;
