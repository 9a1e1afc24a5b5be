//! Reloads of the directory that fail.

use super::*;
use crate::config::database::Url;
use crate::model::clock::SystemClock;
use crate::policy::{Ceiling, Tenants};
use std::time::Duration;

fn bounds() -> Bounds {
    Bounds {
        stores: BTreeSet::new(),
        authenticators: BTreeMap::new(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::default(),
    }
}

/// A deny policy for one repo.
fn manifest(name: &str, repo: &str) -> String {
    format!(
        "apiVersion: claviger.dev/v1alpha1
kind: Policy
metadata: {{name: {name}}}
spec:
  effect: deny
  subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [build-bot]}}}}]
  repos: ['{repo}']
  branches: [main]
"
    )
}

fn active(register: &PolicyRegister) -> Vec<String> {
    register.active_set.load().names().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_reload_that_panics_or_is_cancelled_loses_no_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str| std::fs::write(folder.path().join(format!("{name}.yaml")), manifest(name, "x"));
    write("a").expect("written");
    let directory = Directory::open(folder.path(), bounds()).expect("valid");
    let database = Database::open(&Url::SqliteMemory).await.expect("opened");
    let opened = PolicyRegister::open(Some(directory), database, Arc::new(SystemClock), bounds(), Box::new(())).await;
    let register = opened.expect("opened");
    register.reload_with(|_| panic!("a test of panics")).await;
    assert!(register.state.lock().await.directory.is_some());
    let slow: fn(&mut Directory) -> ReloadResult = |directory| {
        std::thread::sleep(Duration::from_millis(50));
        directory.reload()
    };
    let cancelled = tokio::time::timeout(Duration::from_millis(1), register.reload_with(slow)).await;
    assert!(cancelled.is_err());
    // The next change of any source combines all sources.
    {
        let mut state = register.state.lock().await;
        register.activate(&mut state);
    }
    assert_eq!(active(&register), ["a"]);
    write("b").expect("written");
    register.reload_files().await;
    assert_eq!(active(&register), ["a", "b"]);
}
