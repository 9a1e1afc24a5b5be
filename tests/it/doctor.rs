//! `claviger doctor`: each check of a real installation, and its faulty twin.

use crate::custom_resources::cluster::PolicyCluster;
use crate::rig::claviger::run;
use crate::rig::installation::InstallationSetup;
use crate::rig::kube::{ControlPlane, DEFAULT_AUDIENCE, User};
use crate::rig::postgres::{parse_postgres_url, postgres};
use claviger::config::database::Url;
use claviger::database::Database;
use claviger::model::clock::{Clock as _, SystemClock};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The result of the command: exit code, and the checks by name.
struct Diagnosis {
    code: Option<i32>,
    report: Value,
}

impl Diagnosis {
    fn of(folder: &Path, config: &Value, more: &[&str]) -> Self {
        let file = folder.join("claviger.yaml");
        let mut config = config.clone();
        if config.get("database").is_none() {
            config["database"] = json!({"url": "sqlite://claviger.db"});
        }
        fs::write(&file, config.to_string()).unwrap();
        let file = file.display().to_string();
        let (code, printed, said) = run(&[&["doctor", "--config", &file, "--output", "json"], more].concat());
        let report = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}\n{said}"));
        Self { code, report }
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {:#}", self.report))
    }

    /// The detail of a check without a fault.
    fn good(&self, name: &str) -> &str {
        let check = self.check(name);
        assert_eq!((&check["ok"], &check["advice"]), (&json!(true), &Value::Null), "{check}");
        check["detail"].as_str().unwrap()
    }

    /// The detail of a fault, which comes with advice and with exit code 1.
    fn fault(&self, name: &str) -> &str {
        let check = self.check(name);
        assert_eq!((self.code, &self.report["ok"], &check["ok"]), (Some(1), &json!(false), &json!(false)), "{check}");
        assert!(check["advice"].as_str().unwrap().len() > 10, "{check}");
        check["detail"].as_str().unwrap()
    }
}

async fn setup() -> InstallationSetup {
    let mut setup = InstallationSetup::new().await;
    setup.config["server"] = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"});
    setup
}

#[tokio::test]
async fn a_valid_installation_has_a_table_without_faults() {
    let setup = setup().await;
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    assert_eq!((diagnosis.code, &diagnosis.report["ok"]), (Some(0), &json!(true)), "{:#}", diagnosis.report);
    for check in [
        "configuration",
        "cluster cluster: API server",
        "cluster cluster: clock",
        "cluster cluster: Tekton",
        "cluster cluster: custom resources",
        "cluster cluster: may create tokenreviews.authentication.k8s.io",
        "cluster cluster: may create subjectaccessreviews.authorization.k8s.io",
        "cluster cluster: may get pods",
        "authenticators",
        "cluster cluster: admission policy",
        "store vault: login",
        "store vault: clock",
        "store vault: ACL",
        "database",
        "database: space",
    ] {
        diagnosis.good(check);
    }
    let file = setup.folder.path().join("claviger.yaml").display().to_string();
    let (code, table, said) = run(&["doctor", "--config", &file, "--namespace", "ci"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{table}");
    assert!(table.contains("\nok  cluster cluster: may get pods in ci "), "{table}");
    assert!(table.ends_with(" checks, 0 faults\n"), "{table}");
}

#[tokio::test]
async fn each_right_and_each_store_has_a_faulty_twin() {
    let mut setup = setup().await;
    let kubeconfig = |setup: &InstallationSetup, user| json!(setup.kube.plane.kubeconfig(user));
    // Without the right to review tokens, and without that to read pods.
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = kubeconfig(&setup, User::PodReader);
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    diagnosis.fault("cluster cluster: may create tokenreviews.authentication.k8s.io");
    diagnosis.fault("authenticators: authenticators[0]");
    diagnosis.good("cluster cluster: may get pods");
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = kubeconfig(&setup, User::Reviewer);
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    diagnosis.good("cluster cluster: may create tokenreviews.authentication.k8s.io");
    diagnosis.fault("cluster cluster: may get pods");
    // An API server that is away.
    let stopped = setup.kube.plane.kubeconfig_of_stopped(User::Broker);
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(stopped);
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    diagnosis.fault("cluster cluster: API server");
    diagnosis.good("store vault: login");
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = kubeconfig(&setup, User::Broker);

    // A path that the ACL closes, and one whose mount does not exist.
    let grants = |path: &str| {
        json!({"subjects": [{"kubernetes": {"namespaces": ["**"], "serviceAccounts": ["**"]}}], "repos": ["**"],
            "branches": ["**"], "secrets": [{"store": "vault", "path": path}]})
    };
    setup.policy("closed", grants("homelab/closed/{repo}"));
    setup.policy("nowhere", grants("nowhere/{repo}"));
    let mut shadow = grants("homelab/closed/shadow");
    shadow["mode"] = json!("audit");
    setup.policy("shadow", shadow);
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    let detail = diagnosis.fault("store vault: read homelab/closed/x");
    assert!(detail.contains("(policy closed)"), "{detail}");
    diagnosis.fault("store vault: read nowhere/x");
    assert!(diagnosis.good("store vault: ACL").starts_with("allows "));
    assert!(!diagnosis.report.to_string().contains("closed/shadow"), "a policy in shadow mode reads nothing");

    // A role that does not exist, and a sealed store.
    let mut other = setup.config.clone();
    other["stores"][0]["vault"]["auth"]["kubernetes"]["role"] = json!("nobody");
    Diagnosis::of(setup.folder.path(), &other, &[]).fault("store vault: login");
    setup.bao.seal().await;
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    assert_eq!(diagnosis.fault("store vault: login"), "it is sealed");
    diagnosis.good("cluster cluster: may get pods");
}

#[tokio::test]
async fn a_broker_token_that_is_valid_for_the_audience_is_a_fault() {
    let mut setup = setup().await;
    let server = format!("https://127.0.0.1:{}", setup.kube.plane.port());
    let own = |audience: String| {
        let token = setup.folder.path().join("own-token");
        let ca = setup.kube.plane.folder().join("certs/apiserver.crt");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "rig",
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig"}}],
            "clusters": [{"name": "rig", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [{"name": "rig", "user": {"tokenFile": token}}],
        });
        let file = setup.folder.path().join("own-kubeconfig");
        fs::write(&token, audience).unwrap();
        fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    };
    let token = setup.kube.unbound_token("claviger/claviger", DEFAULT_AUDIENCE).await;
    let kubeconfig = own(token);
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(kubeconfig);
    Diagnosis::of(setup.folder.path(), &setup.config, &[]).good("authenticators");
    setup.config["authenticators"][0]["kubernetes"]["audience"] = json!(DEFAULT_AUDIENCE);
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    let detail = diagnosis.fault("configuration");
    assert!(detail.contains("is the API server's own audience"), "{detail}");
}

#[tokio::test]
async fn files_databases_and_certificates_have_faulty_twins() {
    let setup = setup().await;
    let at = |name: &str| setup.folder.path().join(name);
    let certificate = |days: i64| {
        let mut params = rcgen::CertificateParams::new(["claviger.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let until = SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC).date() + jiff::Span::new().days(days);
        params.not_after =
            rcgen::date_time_ymd(until.year().into(), until.month().unsigned_abs(), until.day().unsigned_abs());
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(at("tls.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(at("tls.key"), key.serialize_pem()).unwrap();
    };
    let mut config = setup.config.clone();
    config["server"]["tls"] = json!({"certFile": "tls.crt", "keyFile": "tls.key"});
    for (days, is_good) in [(30, true), (3, false), (-3, false)] {
        certificate(days);
        let diagnosis = Diagnosis::of(setup.folder.path(), &config, &[]);
        let name = "certificate server.tls.certFile";
        if is_good {
            diagnosis.good(name)
        } else {
            diagnosis.fault(name)
        };
    }
    // A database that is up, one that is not, and one in memory.
    fs::write(at("database.key"), "B".repeat(43) + "=").unwrap();
    let mut config = setup.config.clone();
    let url = postgres().database().await;
    parse_postgres_url(&url);
    config["database"] = json!({"url": url, "keyFile": "database.key"});
    let diagnosis = Diagnosis::of(setup.folder.path(), &config, &[]);
    assert!(diagnosis.good("database").starts_with("reached; its schema goes from version 0 to "));
    diagnosis.good("database: clock");
    config["database"]["url"] = json!("postgres://nobody@127.0.0.1:1/none");
    Diagnosis::of(setup.folder.path(), &config, &[]).fault("database");
    config["database"] = json!({"url": "sqlite::memory:"});
    Diagnosis::of(setup.folder.path(), &config, &[]).fault("database");
    // A configuration that cannot be read, and a file store that cannot.
    config["tickets"] = json!({"bindTo": "moon"});
    assert!(Diagnosis::of(setup.folder.path(), &config, &[]).fault("configuration").starts_with("tickets.bindTo: "));
    let mut config = setup.config.clone();
    fs::write(at("secrets.yaml"), "a: [").unwrap();
    config["stores"] = json!([{"name": "local", "file": {"path": "secrets.yaml"}}, config["stores"][0]]);
    let diagnosis = Diagnosis::of(setup.folder.path(), &config, &[]);
    assert!(diagnosis.fault("configuration").starts_with("stores[0].file.path: "), "{:#}", diagnosis.report);
}

/// The paths of stored policies and of custom resources are looked at as those of files are.
#[tokio::test]
async fn policies_of_the_database_and_of_the_cluster_have_paths_too() {
    let cluster = PolicyCluster::exclusive().await;
    let mut setup = setup().await;
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(cluster.kube.plane.kubeconfig(User::Broker));
    setup.config["policies"]["customResources"] = json!(["cluster"]);
    let grants = |path: &str| {
        json!({"subjects": [{"kubernetes": {"namespaces": ["**"], "serviceAccounts": ["**"]}}], "repos": ["**"],
            "branches": ["**"], "secrets": [{"store": "vault", "path": path}]})
    };
    let object = |name: &str, path: &str| json!({"apiVersion": "claviger.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": grants(path)});
    cluster.apply(&object("open", "homelab/{repo}/default")).succeeded();
    // A database with a stored policy, as a server leaves it.
    let file = setup.folder.path().join("claviger.db");
    let url = Url::SqliteFile(file);
    let store = |spec: Value| {
        let url = url.clone();
        async move {
            let database = Database::open(&url).await.unwrap();
            let insert = "INSERT INTO policies (name, revision, created_at, updated_at, updated_by, spec) \
                 VALUES ('stored', 1, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'test', $1) \
                 ON CONFLICT (name) DO UPDATE SET spec = excluded.spec";
            database.run(insert, &[spec.to_string().into()]).await.unwrap();
            database.close().await;
        }
    };
    store(grants("homelab/{repo}/default")).await;
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    assert_eq!(diagnosis.good("cluster cluster: policies"), "1 objects were read");
    let lease_rights = ["create", "get", "update"]
        .map(|verb| format!("cluster cluster: may {verb} leases.coordination.k8s.io in claviger"));
    for check in &lease_rights {
        diagnosis.good(check);
    }
    assert!(diagnosis.good("database: policies").starts_with("read; "));
    diagnosis.good("store vault: ACL");
    assert!(!diagnosis.report.to_string().contains("does not allow"), "{:#}", diagnosis.report);

    cluster.apply(&object("shut", "homelab/closed/{repo}/resource")).succeeded();
    store(grants("homelab/closed/{repo}/stored")).await;
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    assert!(diagnosis.fault("store vault: read homelab/closed/x/resource").contains("(policy shut)"));
    assert!(diagnosis.fault("store vault: read homelab/closed/x/stored").contains("(policy stored)"));
    // A stored deny that this version cannot compile: it would deny more than its author wrote.
    let mut deny = grants("x");
    deny["effect"] = json!("deny");
    store(deny).await;
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    assert!(diagnosis.fault("database: policies").contains("the stored policy stored"));
    diagnosis.fault("store vault: read homelab/closed/x/resource");

    // Without the Lease, no replica would ever write a status.
    cluster.kubectl(&["delete", "rolebinding", "rel-claviger-policy-status", "-n", "claviger"]).succeeded();
    let diagnosis = Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    cluster.install_permissions().await;
    for check in &lease_rights {
        diagnosis.fault(check);
    }
}

/// An API server of its own, because others need Tekton's API of today.
#[tokio::test]
async fn old_custom_resources_and_an_old_tekton_are_faults() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(&[]).unwrap()));
    let admin = plane.client(User::Admin).await;
    let mut setup = setup().await;
    setup.config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(plane.kubeconfig(User::Broker));
    let name = "cluster cluster: custom resources";
    let diagnosis = |setup: &InstallationSetup| Diagnosis::of(setup.folder.path(), &setup.config, &[]);
    let none = diagnosis(&setup);
    assert!(none.good(name).starts_with("not installed"));
    assert!(none.good("cluster cluster: Tekton").starts_with("not installed"));

    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"effect": {"type": "string"}}}}});
    define(&admin, "claviger.dev", "v1alpha1", ["Policy", "policies"], &schema).await;
    define(&admin, "tekton.dev", "v1beta1", ["TaskRun", "taskruns"], &any).await;
    // The API server publishes both a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let old = loop {
        let old = diagnosis(&setup);
        let is_told = |check: &str| old.check(check)["ok"] == json!(false);
        if is_told(name) && is_told("cluster cluster: Tekton") || std::time::Instant::now() > deadline {
            break old;
        }
    };
    let detail = old.fault(name);
    assert!(detail.contains("Policy.spec.mode") && detail.contains("ClusterPolicy"), "{detail}");
    assert_eq!(old.fault("cluster cluster: Tekton"), "serves tekton.dev in v1beta1, and not in v1");
}

/// Defines a custom resource with this schema.
async fn define(admin: &Client, group: &str, version: &str, [kind, plural]: [&str; 2], schema: &Value) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "https://example.invalid"}},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .header("content-type", "application/json")
        .body(definition.to_string().into_bytes())
        .unwrap();
    let _: Value = admin.request(request).await.unwrap();
}
