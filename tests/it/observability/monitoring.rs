//! A real Prometheus monitors real Clavigers: every expression of the dashboard has a result, and every alert
//! fires for its fault and at no other time.

use super::dashboard;
use super::rules::{RULES, all};
use crate::rig::claviger::{Claviger, download_path};
use crate::rig::database_lock::DatabaseLock;
use crate::rig::http::Answer;
use crate::rig::installation::{BuildPod, Installation, InstallationSetup};
use crate::rig::installed::program;
use crate::rig::kube::User;
use crate::rig::oidc::{TestServer, allow};
use crate::rig::prometheus::Prometheus;
use crate::rig::tcp_relay::TcpRelay;
use claviger::model::clock::{Clock as _, SystemClock};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The alerts whose faults exist only as synthetic series (`alerts.test.yaml`), because each takes longer than this
/// test may. Their metrics are tested in `audit::size`, `custom_resources::watching`, `failover::data_loss`,
/// `tickets::clocks` and `stores::leases`.
const SYNTHETIC_ALERTS: [&str; 8] = [
    "ClavigerAuditEventsLost",
    "ClavigerAuditEventsUnwritten",
    "ClavigerAuditTooLarge",
    "ClavigerClocksDiffer",
    "ClavigerDatabaseMayLoseData",
    "ClavigerDiskNearlyFull",
    "ClavigerPolicyWatchDown",
    "ClavigerRevocationGivenUp",
];

/// The committed rules with `for: 0s`; promtool tests the durations.
fn rules_without_durations() -> String {
    let rules: Vec<String> = RULES
        .lines()
        .map(|line| line.find("for: ").map_or_else(|| line.to_owned(), |at| format!("{}for: 0s", &line[..at])))
        .collect();
    rules.join("\n")
}

/// The file for a picture of the dashboard, if the environment names one. Each load then lasts longer.
#[expect(clippy::disallowed_methods, reason = "who wants a picture says so by the environment")]
fn picture() -> Option<String> {
    std::env::var("CLAVIGER_DASHBOARD_PICTURE").ok()
}

async fn for_a_while(mut load: impl FnMut(usize)) {
    let enough = Instant::now() + Duration::from_secs(if picture().is_some() { 25 } else { 3 });
    let mut round = 0;
    while Instant::now() < enough {
        load(round);
        round += 1;
        sleep(Duration::from_millis(40)).await;
    }
}

struct MonitoredInstallation {
    rig: Installation,
    relay: TcpRelay,
    prometheus: Prometheus,
}

impl MonitoredInstallation {
    async fn start() -> Self {
        let mut setup = InstallationSetup::new().await;
        setup.cache(json!({"ttl": "1s", "negativeTtl": "1s", "serveStaleFor": "10m"}));
        let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
        let secrets = json!([{"store": "vault", "path": "homelab/closed/x"}]);
        setup.policy(
            "closed",
            json!({"subjects": subjects, "repos": ["closed"], "branches": ["**"], "secrets": secrets}),
        );
        setup.bao.put("homelab/shared", &[("SHARED", "1")]).await;
        setup.bao.put("homelab/site/main", &[("TOKEN", "2")]).await;
        let relay = TcpRelay::to(setup.kube.plane.port());
        setup.config["authenticators"][0]["kubernetes"] =
            json!({"kubeconfig": setup.kube.plane.kubeconfig_for_port(User::Broker, relay.port), "cacheTtl": "1s"});
        setup.config["server"] =
            json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
        let rig = setup.start();
        Self { rig, relay, prometheus: Prometheus::start(&rules_without_durations()).await }
    }

    async fn pods(&self, count: usize) -> Vec<BuildPod<'_>> {
        let mut pods = Vec::new();
        for _ in 0..count {
            pods.push(self.rig.pod("ci/build-bot").await);
        }
        pods
    }

    /// Scrapes the installation and others until each was scraped twice: an increase needs two samples.
    async fn scrape(&self, others: &[&Claviger]) {
        let targets: Vec<_> =
            [&self.rig.claviger].into_iter().chain(others.iter().copied()).map(|one| one.ops).collect();
        self.prometheus.scrape(&targets);
        let seen = format!("count(count_over_time(claviger_build_info[10s]) > 1) >= {}", targets.len());
        crate::rig::bao::until("two scrapes of each target", async || !self.prometheus.query(&seen).await.is_empty())
            .await;
    }

    async fn assert_alerts(&self, alerts: &[&str]) {
        for alert in alerts {
            self.prometheus.fires(alert).await;
        }
    }

    fn redeem_elsewhere(&self, path: &str) -> Answer {
        self.rig.claviger.send("GET", path, &[("X-Forwarded-For", "203.0.113.9")], b"")
    }
}

/// A Claviger whose certificate expires in this many days.
fn with_certificate(days: i64) -> (TestServer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    install_certificate(folder.path(), days);
    let tls = json!({"certFile": folder.path().join("tls.crt"), "keyFile": folder.path().join("tls.key")});
    let server_section = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "tls": tls});
    // A policy in shadow mode, so that its metrics have series.
    let shadow = allow(&["x"], &json!({"mode": "audit"}));
    let policies = [("p", allow(&["x"], &json!({}))), ("q", shadow)];
    let server = TestServer::start(&json!({}), &policies, &json!({"server": server_section}), &[]);
    (server, folder)
}

fn install_certificate(folder: &Path, days: i64) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(1970, 1, 1);
    let end = u64::try_from(SystemClock.now().as_second() + days * 86_400).unwrap();
    params.not_after = params.not_before + Duration::from_secs(end);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("tls.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

/// A Claviger with a low connection limit that is reached.
fn at_connection_limit() -> (TestServer, Vec<TcpStream>) {
    let limits = json!({"maxConnections": 5, "headerTimeout": "1m"});
    let server = TestServer::start(&json!({}), &[("p", allow(&["x"], &json!({})))], &json!({"limits": limits}), &[]);
    let crowd = (0..5).map(|_| TcpStream::connect(server.api).unwrap()).collect();
    (server, crowd)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_has_a_result_and_every_alert_fires_for_its_fault_only() {
    let monitored = MonitoredInstallation::start().await;
    let ((good, _), mut drained, unwritable) =
        (with_certificate(300), TestServer::with_one_secret(), TestServer::with_one_secret());
    monitored.scrape(&[&good, &drained, &unwritable]).await;
    let pods = monitored.pods(4).await;

    // Normal operation: requests of builds trigger no alert.
    for_a_while(|round| {
        let pod = &pods[round % pods.len()];
        pod.asks("site", if round % 3 == 0 { "feature/x" } else { "main" }).download();
        if round % 150 == 0 {
            pod.asks("other", "main").assert_refused(403, "denied");
            pod.asks_with("garbage", "site", "main").assert_refused(401, "unauthenticated");
        }
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(monitored.prometheus.firing().await, Vec::<String>::new());

    // Faults caused by callers.
    for_a_while(|round| {
        let pod = &pods[round % pods.len()];
        let path = pod.asks("site", "main").ticket();
        match round % 4 {
            0 => assert_eq!(monitored.redeem_elsewhere(&path).status, 403),
            1 => {
                monitored.rig.claviger.download(&path);
                assert_eq!(monitored.rig.claviger.download(&path).status, 410);
            }
            _ => assert_eq!(monitored.rig.claviger.download(&path).status, 200),
        }
        pod.asks("other", "main").assert_refused(403, "denied");
        if round % 5 == 0 {
            pod.asks("closed", "main").assert_refused(502, "store_forbidden");
        }
    })
    .await;
    monitored
        .assert_alerts(&[
            "ClavigerTicketMisuse",
            "ClavigerTicketRedeemedTwice",
            "ClavigerStoreRefuses",
            "ClavigerDenySpike",
        ])
        .await;

    // Faults of dependencies: a sealed store, an unreachable API server.
    monitored.rig.bao.seal().await;
    for_a_while(|round| {
        let answer = pods[round % pods.len()].asks("site", "main").answer;
        if answer.status == 201 {
            monitored.rig.claviger.download(&download_path(&answer));
        }
        pods[0].asks("site", &format!("feature/{round}"));
    })
    .await;
    monitored.assert_alerts(&["ClavigerStoreUnavailable", "ClavigerStaleServed"]).await;
    monitored.relay.disconnect();
    for_a_while(|round| drop(pods[round % pods.len()].asks("site", "main"))).await;
    monitored.assert_alerts(&["ClavigerCallersCannotBeVouchedFor"]).await;
    monitored.relay.reconnect();

    // Faults of one replica.
    drained.new_download_path();
    drained.signal("TERM");
    drained.wait_for_line("draining");
    let lock = DatabaseLock::take(&unwritable);
    unwritable.asks("repo=site&branch=main");
    drop(lock);
    std::fs::write(unwritable.folder.path().join("policies/faulty.yaml"), "spec: {}").unwrap();
    monitored.assert_alerts(&["ClavigerReplicaNotReady", "ClavigerAuditFailing", "ClavigerPolicyFilesFaulty"]).await;
    let ((expiring, _), (expired, _), (crowded, _crowd)) =
        (with_certificate(3), with_certificate(-1), at_connection_limit());
    monitored.scrape(&[&good, &expiring, &expired, &crowded]).await;
    monitored
        .assert_alerts(&["ClavigerCertificateExpires", "ClavigerCertificateExpired", "ClavigerConnectionsExhausted"])
        .await;
    assert!(!monitored.prometheus.firing().await.iter().any(|alert| alert == "ClavigerNoReadyReplica"));

    every_expression_is_answered(&monitored.prometheus).await;
    if let Some(file) = picture() {
        draw(&monitored.prometheus, &file);
    }

    // The last server stops.
    monitored.prometheus.scrape(&[]);
    monitored.assert_alerts(&["ClavigerNoReadyReplica"]).await;
    let expected: Vec<&str> = all("alert").into_iter().filter(|alert| !SYNTHETIC_ALERTS.contains(alert)).collect();
    for alert in expected {
        let ever = format!(r#"count_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[1h])"#);
        assert!(!monitored.prometheus.query(&ever).await.is_empty(), "{alert} has never fired");
    }
}

async fn every_expression_is_answered(prometheus: &Prometheus) {
    let expressions = dashboard::expressions();
    assert!(expressions.len() > 40);
    let mut empty = Vec::new();
    for expression in expressions {
        let samples = prometheus.query(&expression).await;
        if !samples.iter().any(|sample| sample.value.is_finite()) {
            empty.push(expression);
        }
    }
    assert!(empty.is_empty(), "{empty:#?}");
}

/// Draws the dashboard from the data of this run.
fn draw(prometheus: &Prometheus, file: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let drawn = Command::new(program("plots-python"))
        .args([root.join("tools/dashboard-picture.py"), root.join("charts/claviger/dashboards/claviger.json")])
        .arg(&prometheus.address)
        .arg(root.join(file))
        .status()
        .unwrap();
    assert!(drawn.success());
}
