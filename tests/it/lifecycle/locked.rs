//! A drain begins at once, also while the database is locked.

use crate::rig::http::request;
use crate::rig::oidc::allow;
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::time::{Duration, Instant};

#[test]
fn a_drain_begins_at_once_while_the_policies_are_locked() {
    let url = new_database(postgres());
    let policies = [("site", allow(&["homelab/{repo}/{branch}"], &json!({})))];
    let replicas = Replicas::start(1, &url, &json!({"homelab/site/main": {"K": "v"}}), &policies, &json!({}));
    let claviger = replicas.get(0);
    let ready = || request(claviger.ops, "GET", "/readyz", &[], b"").status == 200;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
    // The task that follows other replicas' policies waits for this lock, and holds a lock of the process in the
    // meantime.
    let locked = sqlx::raw_sql("BEGIN; LOCK TABLE policies, policy_head, policy_revisions IN ACCESS EXCLUSIVE MODE");
    runtime.block_on(locked.execute(&mut connection)).unwrap();
    std::thread::sleep(Duration::from_millis(2600));
    claviger.signal("HUP");
    claviger.signal("HUP");
    assert!(ready());
    claviger.signal("TERM");
    let asked = Instant::now();
    while ready() {
        // A statement waits three seconds for a lock.
        assert!(asked.elapsed() < Duration::from_millis(1500), "{}", claviger.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}
