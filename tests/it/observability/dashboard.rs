//! The queries of the dashboard.

use serde_json::Value;

/// The committed dashboard.
pub const JSON: &str = include_str!("../../../charts/claviger/dashboards/claviger.json");

/// Every expression, as Grafana would send it for all jobs and a short time.
pub fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(JSON).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().replace("$job", ".*").replace("$__rate_interval", "2m"))
        .collect();
    assert!(expressions.iter().all(|expression| !expression.contains('$')));
    expressions
}
