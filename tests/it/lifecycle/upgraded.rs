//! A rolling upgrade: replicas of an older build and of this one serve side by side on one database.
//!
//! `CLAVIGER_OLDER` is the binary of the older build (`make upgrade`); without it both are this build.

use crate::rig::claviger::{binary, wait_until};
use crate::rig::oidc::allow;
use crate::rig::postgres::postgres;
use crate::rig::replicas::{Replicas, new_database};
use crate::rig::scale::scale;
use crate::tickets::under_load::{assert_history, attempts_under_load, no_replicas, wait_for_cycles};
use serde_json::json;
use std::path::PathBuf;

const CLIENTS: usize = 6;
/// The replicas by their number.
const OLDER: usize = 0;
const NEWER: usize = 1;

#[expect(clippy::disallowed_methods, reason = "the path of another build, not a setting")]
fn older_binary() -> PathBuf {
    std::env::var_os("CLAVIGER_OLDER").map_or_else(binary, PathBuf::from)
}

/// Requests tickets from one replica. Returns their paths.
fn issue_tickets(replicas: &Replicas, number: usize) -> Vec<String> {
    (0..5).map(|_| replicas.ticket(number).0).collect()
}

fn redeem_all(replicas: &Replicas, number: usize, paths: &[String]) {
    for path in paths {
        let answer = replicas.get(number).download(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(replicas.get(number).download(path).status, 410);
    }
}

/// Checks that a policy written by one replica becomes active in the other.
fn policies_are_shared(replicas: &Replicas, writer: usize, reader: usize, name: &str) {
    let manifest = json!({"name": name, "spec": allow(&["homelab/other"], &json!({"repos": ["other"]}))});
    let (admin, body) = (format!("Bearer {}", replicas.admin_token()), manifest.to_string());
    let headers = [("Authorization", admin.as_str()), ("Content-Type", "application/json")];
    let written = replicas.get(writer).send("POST", "/v1/policies", &headers, body.as_bytes());
    assert_eq!(written.status, 201, "{written:?}");
    let target = format!("/v1/policies/{name}");
    wait_until("the policy to be active", || replicas.send_as_admin(reader, "GET", &target).status == 200);
    assert_eq!(replicas.send_as_admin(reader, "DELETE", &target).status, 204);
    wait_until("the policy to be removed", || replicas.send_as_admin(writer, "GET", &target).status == 404);
}

#[test]
fn an_older_build_and_this_one_serve_side_by_side() {
    let mut replicas = no_replicas(&new_database(postgres()));
    // The older build creates the schema; this one migrates it while the older one serves.
    replicas.add(&older_binary());
    let before = issue_tickets(&replicas, OLDER);
    replicas.add(&binary());
    let cycles = scale("CLAVIGER_CYCLES", 20);
    let attempts = attempts_under_load(&replicas, CLIENTS, |history| {
        wait_for_cycles(history, cycles);
        redeem_all(&replicas, NEWER, &before);
        for (one, other) in [(NEWER, OLDER), (OLDER, NEWER)] {
            redeem_all(&replicas, other, &issue_tickets(&replicas, one));
            policies_are_shared(&replicas, one, other, &format!("of-{one}"));
            let (path, id) = replicas.ticket(one);
            assert_eq!(replicas.send_as_admin(other, "DELETE", &format!("/v1/tickets/{id}")).status, 204);
            assert_eq!(replicas.get(one).download(&path).status, 410);
        }
        wait_for_cycles(history, cycles);
    });
    assert_history(&attempts, &replicas.events());
    assert!(attempts.iter().all(|attempt| matches!(attempt.status, Some(200 | 410))), "{attempts:?}");
    for number in [OLDER, NEWER] {
        let verified = replicas.send_as_admin(number, "GET", "/v1/audit/verify").json();
        assert_eq!(verified["ok"], true, "{verified}");
    }
    // The upgrade ends: what the older one issued last is redeemed here.
    let last = issue_tickets(&replicas, OLDER);
    replicas.get(OLDER).signal("TERM");
    redeem_all(&replicas, NEWER, &last);
    println!(
        "{} beside {}: {} attempts, 0 double, 0 unrecorded, 0 lost",
        older_binary().display(),
        binary().display(),
        attempts.len()
    );
}
