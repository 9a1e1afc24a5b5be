//! What operators see: metrics, dashboard, alerts, traces and logs.

mod canaries;
mod dashboard;
mod exposition;
mod numbers;
mod rules;
mod traced;
mod watched;
