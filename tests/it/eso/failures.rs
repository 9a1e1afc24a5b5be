//! All of a cluster's External Secrets come from one address: failures of one tenant do not affect others.

use super::{UNBOUND, setup, subject};
use crate::rig::claviger::Claviger;
use crate::rig::http::Answer;
use crate::rig::installation::InstallationSetup;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::time::Duration;

const FAILURES: &str = "5";

async fn served() -> (InstallationSetup, Claviger) {
    let mut setup = setup().await;
    setup.bao.put("homelab/site", &[("K", "v")]).await;
    setup.policy(
        "site",
        json!({"subjects": subject("none"), "repos": ["site"], "branches": ["main"], "delivery": ["direct"],
               "secrets": [{"store": "vault", "path": "homelab/site"}]}),
    );
    let folder = std::mem::replace(&mut setup.folder, tempfile::tempdir().unwrap());
    let environment = [("CLAVIGER__LIMITS__FAILURESPERSECONDPERADDRESS", FAILURES)];
    let claviger = Claviger::serve_with(folder, setup.config.clone(), &environment);
    (setup, claviger)
}

/// The request of External Secrets Operator for one refresh.
fn send_refresh(claviger: &Claviger, token: &str, repo: &str) -> Answer {
    let body = json!({"jwt": token, "role": "eso"}).to_string();
    let login = claviger.send("PUT", "/v1/auth/kubernetes/login", &[], body.as_bytes());
    if login.status != 200 {
        return login;
    }
    claviger.send("GET", &format!("/v1/claviger/data/{repo}/main"), &[("X-Vault-Token", token)], b"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_tokens_of_one_tenant_leave_others_of_the_address_their_share() {
    let (setup, claviger) = served().await;
    let mut statuses = Vec::new();
    for round in 0..60 {
        // A store without the audience: each request has a new valid token that is bound to no pod.
        let bad = setup.kube.unbound_token("noisy/build-bot", "claviger").await;
        statuses.push(send_refresh(&claviger, &bad, "site").status);
        // A store with the audience that no policy allows.
        let denied = setup.kube.unbound_token("noisy/other-bot", UNBOUND).await;
        assert_eq!(send_refresh(&claviger, &denied, "site").status, 403, "{round}");
        let good = setup.kube.unbound_token("ci/build-bot", UNBOUND).await;
        let answer = send_refresh(&claviger, &good, "site");
        assert_eq!(answer.status, 200, "{round}: {answer:?}\n{}", claviger.log());
    }
    assert!(statuses.iter().all(|status| matches!(status, 403 | 429)), "{statuses:?}");
    // The limit of one caller: the same token repeatedly.
    let bad = setup.kube.unbound_token("noisy/build-bot", "claviger").await;
    let flood = || (0..200).filter(|_| send_refresh(&claviger, &bad, "site").status == 429).count();
    let limited = flood();
    assert!(limited > 50, "{limited} of 200");
    let good = setup.kube.unbound_token("ci/build-bot", UNBOUND).await;
    let started = std::time::Instant::now();
    assert_eq!(send_refresh(&claviger, &good, "site").status, 200);
    assert!(started.elapsed() < Duration::from_secs(2), "the first token of another account is not delayed");
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
    let (setup, claviger) = served().await;
    let good = setup.kube.unbound_token("noisy/build-bot", UNBOUND).await;
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = |number: i32| format!("{message}.{}", URL_SAFE_NO_PAD.encode(format!("{number}{}", "x".repeat(250))));
    let statuses: Vec<u16> = (0..40).map(|number| send_refresh(&claviger, &forged(number), "site").status).collect();
    assert!(statuses.contains(&429) && !statuses.contains(&200), "the address is rate limited: {statuses:?}");
    for round in 0..5 {
        let first = setup.kube.unbound_token("ci/build-bot", UNBOUND).await;
        let mut answer = send_refresh(&claviger, &first, "site");
        // The operator retries after every 429.
        for _ in 0..20 {
            if answer.status != 429 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            answer = send_refresh(&claviger, &first, "site");
        }
        assert_eq!(answer.status, 200, "{round}: {answer:?}");
    }
}
