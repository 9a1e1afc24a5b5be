//! Observability: metrics, dashboard, alerts, traces and logs.

mod at_rest;
mod canaries;
mod dashboard;
mod exposition;
mod numbers;
mod rules;
mod traced;
mod watched;
