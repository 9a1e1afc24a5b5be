//! One address for all of a cluster's External Secrets: the failures of one tenant are not the others'.

use super::{UNBOUND, plan, subject};
use crate::rig::claviger::Claviger;
use crate::rig::http::Answer;
use crate::rig::installation::Plan;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::time::Duration;

const FAILURES: &str = "5";

async fn served() -> (Plan, Claviger) {
    let mut plan = plan().await;
    plan.bao.put("homelab/site", &[("K", "v")]).await;
    plan.policy(
        "site",
        json!({"subjects": subject("none"), "repos": ["site"], "branches": ["main"], "delivery": ["direct"],
               "secrets": [{"store": "vault", "path": "homelab/site"}]}),
    );
    let folder = std::mem::replace(&mut plan.folder, tempfile::tempdir().unwrap());
    let environment = [("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", FAILURES)];
    let claviger = Claviger::serve_with(folder, plan.config.clone(), &environment);
    (plan, claviger)
}

/// What External Secrets Operator sends for one refresh.
fn refreshes(claviger: &Claviger, token: &str, repo: &str) -> Answer {
    let body = json!({"jwt": token, "role": "eso"}).to_string();
    let login = claviger.send("PUT", "/v1/auth/kubernetes/login", &[], body.as_bytes());
    if login.status != 200 {
        return login;
    }
    claviger.send("GET", &format!("/v1/claviger/data/{repo}/main"), &[("X-Vault-Token", token)], b"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_tokens_of_one_tenant_leave_others_of_the_address_their_share() {
    let (plan, claviger) = served().await;
    let mut statuses = Vec::new();
    for round in 0..60 {
        // A store without the audience: a new token each time, good and bound to no pod.
        let bad = plan.kube.unbound_token("noisy/build-bot", "claviger").await;
        statuses.push(refreshes(&claviger, &bad, "site").status);
        // And one with it, whom no policy allows.
        let denied = plan.kube.unbound_token("noisy/other-bot", UNBOUND).await;
        assert_eq!(refreshes(&claviger, &denied, "site").status, 403, "{round}");
        let good = plan.kube.unbound_token("ci/build-bot", UNBOUND).await;
        let answer = refreshes(&claviger, &good, "site");
        assert_eq!(answer.status, 200, "{round}: {answer:?}\n{}", claviger.log());
    }
    assert!(statuses.iter().all(|status| matches!(status, 403 | 429)), "{statuses:?}");
    // Its own limit: the same token again and again.
    let bad = plan.kube.unbound_token("noisy/build-bot", "claviger").await;
    let flood = || (0..200).filter(|_| refreshes(&claviger, &bad, "site").status == 429).count();
    let limited = flood();
    assert!(limited > 50, "{limited} of 200");
    let good = plan.kube.unbound_token("ci/build-bot", UNBOUND).await;
    let started = std::time::Instant::now();
    assert_eq!(refreshes(&claviger, &good, "site").status, 200);
    assert!(started.elapsed() < Duration::from_secs(2), "a first token of another account does not wait");
    crate::rig::claviger::wait_until("the counts", || {
        claviger.audit_events().iter().any(|event| {
            event["type"] == "authn.failed"
                && event["caller"]["namespace"] == "noisy"
                && event["reason"] == "rate_limited"
        })
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_one_tenant_leave_the_first_token_of_another_a_place() {
    let (plan, claviger) = served().await;
    let good = plan.kube.unbound_token("noisy/build-bot", UNBOUND).await;
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = |number: i32| format!("{message}.{}", URL_SAFE_NO_PAD.encode(format!("{number}{}", "x".repeat(250))));
    let statuses: Vec<u16> = (0..40).map(|number| refreshes(&claviger, &forged(number), "site").status).collect();
    assert!(statuses.contains(&429) && !statuses.contains(&200), "the address is over its limit: {statuses:?}");
    for round in 0..5 {
        let first = plan.kube.unbound_token("ci/build-bot", UNBOUND).await;
        let mut answer = refreshes(&claviger, &first, "site");
        // The operator tries again, as for every 429.
        for _ in 0..20 {
            if answer.status != 429 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            answer = refreshes(&claviger, &first, "site");
        }
        assert_eq!(answer.status, 200, "{round}: {answer:?}");
    }
}
