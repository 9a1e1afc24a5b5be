//! What operators see: metrics, dashboard, alerts, traces and logs.

mod dashboard;
mod exposition;
mod numbers;
mod rules;
mod watched;
