//! Tekton itself: its controller and webhook with their own API server, one for the whole test binary. Both listen
//! on all addresses, so they and all tests that use them run in a network namespace. Needs root.

pub mod actors;
mod network;

use super::installed::find_program;
use super::kube::actors::Kube;
use super::kube::{ControlPlane, Server, User};
use network::Network;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

/// The cluster IP of the webhook's Service: an address of the namespace's loopback device.
const WEBHOOK_IP: &str = "10.0.0.50";
/// The address that the API server advertises; there is no route from which it could be derived.
const API_SERVER_IP: &str = "10.9.9.9";
/// The files to apply, in this order, before all `config-*.yaml`.
const RELEASE: [&str; 8] = [
    "100-namespace",
    "200-clusterrole.yaml",
    "200-role.yaml",
    "200-serviceaccount.yaml",
    "201-clusterrolebinding.yaml",
    "201-rolebinding.yaml",
    "300-crds",
    "500-webhooks.yaml",
];
const IMAGES: [&str; 6] = [
    "-entrypoint-image",
    "-nop-image",
    "-sidecarlogresults-image",
    "-workingdirinit-image",
    "-shell-image",
    "-shell-image-win",
];

/// The running Tekton.
struct Tekton {
    plane: ControlPlane,
    _controller: Server,
    _webhook: Server,
}

/// Runs a test in the network namespace of Tekton's API server.
pub fn run_with_tekton(test: impl AsyncFnOnce(Kube) + Send) {
    static NETWORK: OnceLock<Result<Network, String>> = OnceLock::new();
    static TEKTON: OnceLock<Result<Tekton, String>> = OnceLock::new();
    // A separate thread, because a network namespace belongs to a thread, and the harness may run a test in its
    // main thread.
    let panic = thread::scope(|scope| {
        let run = || {
            let network = NETWORK.get_or_init(|| Network::new(&[WEBHOOK_IP, API_SERVER_IP]));
            network.as_ref().unwrap_or_else(|why| panic!("{why}")).enter();
            let tekton = TEKTON.get_or_init(start).as_ref().unwrap_or_else(|why| panic!("{why}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { test(Kube::of(&tekton.plane).await).await });
        };
        scope.spawn(run).join()
    });
    if let Err(panic) = panic {
        std::panic::resume_unwind(panic);
    }
}

fn start() -> Result<Tekton, String> {
    let programs = ["tekton/controller", "tekton/webhook"].map(find_program);
    let [controller, webhook] = programs;
    let (controller, webhook) = (controller?, webhook?);
    let plane = ControlPlane::start(&[format!("--advertise-address={API_SERVER_IP}")])?;
    release(&plane, &controller.with_file_name("config"))?;
    let environment = |user, more: &[(&str, &str)]| {
        let common = [
            ("SYSTEM_NAMESPACE", "tekton-pipelines"),
            ("KUBERNETES_MIN_VERSION", "v1.28.0"),
            ("CONFIG_DEFAULTS_NAME", "config-defaults"),
            ("CONFIG_LOGGING_NAME", "config-logging"),
            ("CONFIG_OBSERVABILITY_NAME", "config-observability"),
            ("CONFIG_FEATURE_FLAGS_NAME", "feature-flags"),
            ("CONFIG_SPIRE", "config-spire"),
            ("METRICS_DOMAIN", "tekton.dev/pipeline"),
        ];
        let mut all: Vec<(String, String)> =
            common.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        all.push(("KUBECONFIG".into(), plane.kubeconfig(user).display().to_string()));
        all
    };
    let images: Vec<String> = IMAGES.iter().flat_map(|flag| [(*flag).to_owned(), "image.invalid".to_owned()]).collect();
    let settings = environment(
        User::TektonController,
        &[
            ("POD_NAME", "controller"),
            ("CONFIG_LEADERELECTION_NAME", "config-leader-election-controller"),
            ("PROBES_PORT", "8080"),
        ],
    );
    let controller = Server::start_with(&controller, &images, plane.folder(), &settings)?;
    let settings = environment(
        User::TektonWebhook,
        &[
            ("POD_NAME", "webhook"),
            ("CONFIG_LEADERELECTION_NAME", "config-leader-election-webhook"),
            ("PROBES_PORT", "8081"),
            ("METRICS_PROMETHEUS_PORT", "9091"),
            ("PROFILING_PORT", "8009"),
            ("WEBHOOK_PORT", "443"),
            ("WEBHOOK_ADMISSION_CONTROLLER_NAME", "webhook.pipeline.tekton.dev"),
            ("WEBHOOK_SERVICE_NAME", "tekton-pipelines-webhook"),
            ("WEBHOOK_SECRET_NAME", "webhook-certs"),
        ],
    );
    let webhook = Server::start_with(&webhook, &[], plane.folder(), &settings)?;
    Ok(Tekton { plane, _controller: controller, _webhook: webhook })
}

/// Applies Tekton's release without its Deployments.
fn release(plane: &ControlPlane, config: &Path) -> Result<(), String> {
    let mut files: Vec<PathBuf> = RELEASE.iter().map(|name| config.join(name)).collect();
    let listed = config.read_dir().map_err(|error| format!("{}: {error}", config.display()))?;
    let listed = listed.filter_map(Result::ok).map(|entry| entry.path());
    let is_setting =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("config-"));
    files.extend(listed.filter(is_setting));
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "tekton-pipelines-webhook", "namespace": "tekton-pipelines"},
        "spec": {"clusterIP": WEBHOOK_IP, "ports": [{"name": "https-webhook", "port": 443, "targetPort": 443}]},
    });
    let file = plane.folder().join("webhook-service.json");
    std::fs::write(&file, service.to_string()).map_err(|error| error.to_string())?;
    files.push(file);
    let mut kubectl = Command::new(find_program("kubectl")?);
    kubectl.arg("--kubeconfig").arg(plane.kubeconfig(User::Admin)).arg("--cache-dir").arg(plane.folder());
    kubectl.args(["apply", "--server-side", "--validate=ignore"]);
    for file in files {
        kubectl.arg("-f").arg(file);
    }
    let output = kubectl.output().map_err(|error| format!("kubectl: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
