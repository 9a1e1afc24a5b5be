//! What operators see: metrics, dashboard, alerts, traces and logs.

mod exposition;
mod numbers;
