//! The files of alert rules and dashboard: promtool accepts them, and they use only existing metrics.

use super::dashboard;
use super::exposition::Exposition;
use crate::rig::oidc::TestServer;
use crate::rig::prometheus::promtool;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The committed rules.
pub const RULES: &str = include_str!("../../../charts/claviger/rules/claviger.yaml");

fn at(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// The values of a key of the rules.
pub fn all(key: &str) -> Vec<&'static str> {
    let prefix = format!("{key}: ");
    RULES.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(prefix.as_str())).collect()
}

#[test]
fn promtool_accepts_rules_metrics_and_alert_delays() {
    promtool(&["check", "rules", &at("charts/claviger/rules/claviger.yaml")], None);
    let server = TestServer::with_one_secret();
    let file = server.folder.path().join("metrics");
    fs::write(&file, server.metrics()).unwrap();
    promtool(&["check", "metrics"], Some(&file));
    let said = promtool(&["test", "rules", &at("tests/it/observability/alerts.test.yaml")], None);
    assert!(said.contains("SUCCESS"), "{said}");
    // Each alert has a time at which it is expected, and one at which it is not.
    let tests = include_str!("alerts.test.yaml");
    for alert in all("alert") {
        assert_eq!(tests.matches(&format!("alertname=\"{alert}\"")).count(), 2, "{alert}");
    }
}

#[test]
fn every_alert_has_a_severity_and_a_runbook() {
    let operations = include_str!("../../../docs/OPERATIONS.md");
    let anchors: Vec<String> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| format!("docs/OPERATIONS.md#{}", heading.to_lowercase()))
        .collect();
    let alerts = all("alert");
    assert!(alerts.len() >= 10);
    for key in ["labels", "summary", "description", "runbook", "expr"] {
        assert_eq!(all(key).len(), alerts.len(), "{key}");
    }
    assert!(all("labels").iter().all(|labels| ["{severity: critical}", "{severity: warning}"].contains(labels)));
    for (alert, runbook) in alerts.iter().zip(all("runbook")) {
        assert!(runbook.ends_with(&format!("#{}", alert.to_lowercase())), "{alert}: {runbook}");
        assert!(anchors.iter().any(|anchor| anchor == runbook), "{runbook} is nowhere");
    }
}

#[test]
fn the_committed_dashboard_is_what_its_table_makes() {
    let made = Command::new("python3").arg(at("tools/dashboard.py")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(made.stdout == dashboard::JSON.as_bytes(), "run: make dashboard");
}

#[test]
fn dashboard_and_alerts_use_exactly_the_promised_families() {
    let families = Exposition::read(&TestServer::with_one_secret().metrics()).names();
    let mut used = BTreeSet::new();
    let rules = RULES.lines().filter(|line| !line.trim_start().starts_with("job:")).collect::<String>();
    for text in dashboard::expressions().into_iter().chain([rules]) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("claviger_") || word.starts_with("process_") {
                let family = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| word.strip_suffix(suffix));
                used.insert(family.unwrap_or(word).to_owned());
            }
        }
    }
    let unknown: Vec<_> = used.difference(&families).collect();
    // It has a series for each cluster whose custom resources are read, and this server reads none.
    assert_eq!(unknown, ["claviger_policy_watch_up"]);
    let unseen: Vec<_> = families.difference(&used).filter(|name| name.starts_with("claviger_")).collect();
    assert_eq!(unseen, ["claviger_build_info"], "only the variable of the dashboard uses it");
}

#[test]
fn neither_names_a_host() {
    for text in [dashboard::JSON, RULES] {
        assert!(!text.contains("://"));
    }
}
