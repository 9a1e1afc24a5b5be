//! # Claviger
//!
//! A secret broker for Kubernetes build pods. The rooms below are the story of a request, in reading order.

pub mod model;

pub mod wire;

pub mod document;

pub mod config;

pub mod metrics;

pub mod traces;

pub mod database;

pub mod flights;

pub mod cluster;

pub mod authn;

pub mod attest;

pub mod policy;

pub mod stores;

pub mod tickets;

pub mod render;

pub mod audit;

pub mod admins;

pub mod broker;

pub mod http;

pub mod app;

pub mod leaks;

pub mod cli;
