//! Observability: metrics, dashboard, alerts, traces and logs.

mod at_rest;
mod canaries;
mod dashboard;
mod exposition;
mod metrics;
mod monitoring;
mod rules;
mod traces;
