//! The real Secrets Store CSI driver; the test acts as kubelet. It mounts a tmpfs for each volume, so it runs in its own
//! mount namespace; needs root.

use super::client::{AccessMode, Empty, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, VolumeCapability, call};
use super::{TOKENS, tokens};
use crate::rig::bao::until;
use crate::rig::claviger::wait_until;
use crate::rig::installed::program;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::kube::{Server, User};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::{Code, Status};

/// Kubelet waits two minutes for a call.
const KUBELET_TIMEOUT: Duration = Duration::from_mins(2);

/// A running driver.
pub struct Driver {
    server: Server,
    /// Its sockets, those of providers, and the volumes.
    folder: TempDir,
    kube: Kube,
}

/// A volume of a pod.
pub struct Volume<'a> {
    driver: &'a Driver,
    request: NodePublishVolumeRequest,
}

impl Driver {
    /// Starts one that finds `claviger.sock` in its folder `providers`, with additional flags.
    pub async fn start(kube: Kube, flags: &[&str]) -> Self {
        install_custom_resources(&kube);
        let folder = tempfile::tempdir().unwrap();
        // Other users must be able to read the volumes.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["providers", "none", "pods"] {
            fs::create_dir(at(name)).unwrap();
        }
        let driver = program("secrets-store-csi/driver");
        let mut arguments = vec!["--mount".into(), "--propagation".into(), "private".into()];
        arguments.extend([
            driver.display().to_string(),
            format!("--endpoint=unix://{}", at("csi.sock")),
            "--nodeid=node1".into(),
            format!("--provider-volume={}", at("providers")),
            format!("--additional-provider-volume-paths={}", at("none")),
            "--metrics-addr=127.0.0.1:0".into(),
        ]);
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let kubeconfig = ("KUBECONFIG".to_owned(), kube.plane.kubeconfig(User::Admin).display().to_string());
        let server =
            Server::start_with(Path::new("/usr/bin/unshare"), &arguments, folder.path(), &[kubeconfig]).unwrap();
        let driver = Self { server, folder, kube };
        wait_until("the driver", || driver.folder.path().join("csi.sock").exists());
        // Its watch is ready when it reports an object as missing.
        let knows = async || {
            let absent = driver.volume_of("absent", "0", "", &[]).publish().await.unwrap_err();
            absent.message().contains("not found")
        };
        until("the driver to have read its objects", knows).await;
        driver
    }

    /// The folder with the sockets of providers.
    pub fn providers(&self) -> PathBuf {
        self.folder.path().join("providers")
    }

    /// The whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("unshare.log")).unwrap()
    }

    /// A volume of a pod by the class `site` of its namespace, with these `volumeAttributes`.
    pub fn volume(&self, pod: &PodActor, attributes: &[(&str, &str)]) -> Volume<'_> {
        let name = [("csi.storage.k8s.io/pod.name", pod.name.as_str())];
        self.volume_of("site", &pod.uid, &pod.token, &[&name[..], attributes].concat())
    }

    fn volume_of(&self, class: &str, uid: &str, token: &str, attributes: &[(&str, &str)]) -> Volume<'_> {
        let mut context = HashMap::from(
            [
                ("secretProviderClass", class),
                ("csi.storage.k8s.io/ephemeral", "true"),
                ("csi.storage.k8s.io/pod.namespace", "ci"),
                ("csi.storage.k8s.io/pod.uid", uid),
                ("csi.storage.k8s.io/serviceAccount.name", "build-bot"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        context.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let capability = VolumeCapability { mount: Some(Empty {}), access_mode: Some(AccessMode { mode: 1 }) };
        // Kubelet makes the folder of the pod, and the driver that of the volume.
        let pod = self.folder.path().join("pods").join(uid);
        fs::create_dir_all(&pod).unwrap();
        let request = NodePublishVolumeRequest {
            volume_id: format!("csi-{uid}"),
            target_path: pod.join("mount").display().to_string(),
            volume_capability: Some(capability),
            readonly: true,
            // As on Kubernetes 1.35 and later with `serviceAccountTokenInSecrets`.
            secrets: HashMap::from([(TOKENS.to_owned(), tokens(token))]),
            volume_context: context,
        };
        Volume { driver: self, request }
    }

    /// A path as the driver sees it, with its mounts.
    fn driver_path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.server.id()))
    }

    async fn call<Q: prost::Message + 'static>(&self, path: &'static str, request: Q) -> Result<(), Status> {
        let socket = self.folder.path().join("csi.sock");
        let call = call::<Q, Empty>(&socket, path, request);
        timeout(KUBELET_TIMEOUT, call).await.expect("kubelet has given up").map(drop)
    }

    /// The names and versions of mounted objects, from the pod's status object.
    pub async fn status_of(&self, pod: &PodActor) -> Vec<(String, String)> {
        let path = format!(
            "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{}/secretproviderclasspodstatuses/{}-{}-site",
            pod.namespace, pod.name, pod.namespace
        );
        let client = self.kube.plane.client(User::Admin).await;
        let status: Value = client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
        let word = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
        let objects = status["status"]["objects"].as_array().unwrap();
        objects.iter().map(|object| (word(object, "id"), word(object, "version"))).collect()
    }
}

impl Volume<'_> {
    /// Publishes like kubelet, which removes the folder of the volume only after a final error.
    pub async fn publish(&self) -> Result<(), Status> {
        let outcome = self.driver.call("/csi.v1.Node/NodePublishVolume", self.request.clone()).await;
        let is_final = |status: &Status| {
            !matches!(
                status.code(),
                Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::Cancelled | Code::DeadlineExceeded
            )
        };
        if outcome.as_ref().is_err_and(is_final) {
            let _ = fs::remove_dir(self.path());
        }
        outcome
    }

    /// Unmounts the volume.
    pub async fn unpublish(&self) {
        let NodePublishVolumeRequest { volume_id, target_path, .. } = self.request.clone();
        self.driver
            .call("/csi.v1.Node/NodeUnpublishVolume", NodeUnpublishVolumeRequest { volume_id, target_path })
            .await
            .unwrap();
    }

    fn path(&self) -> PathBuf {
        self.driver.driver_path(&self.request.target_path)
    }

    /// The visible files and their texts. The driver's own names begin with two dots.
    pub fn files(&self) -> BTreeMap<String, String> {
        let Ok(entries) = fs::read_dir(self.path()) else { return BTreeMap::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with("..")).map(|name| (name.clone(), self.text(&name))).collect()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The content of a file, as a container of another user reads it.
    pub fn read_by(&self, user: u32, name: &str) -> Option<String> {
        let file = format!("{}/{name}", self.request.target_path);
        let output = Command::new("nsenter")
            .args(["-t", &self.driver.server.id().to_string(), "-m", "setpriv"])
            .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "cat", &file])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

/// The class `site` in the namespace `ci`, whose objects all tests share.
pub async fn class(kube: &Kube) {
    install_custom_resources(kube);
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "site", "namespace": "ci"},
        "spec": {"provider": "claviger", "parameters": {"repo": "site", "branch": "main"}},
    });
    let path =
        "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/ci/secretproviderclasses/site?fieldManager=test&force=true";
    let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
    let client = kube.plane.client(User::Admin).await;
    client.request::<Value>(request.body(class.to_string().into_bytes()).unwrap()).await.unwrap();
}

/// The driver's own definitions, established.
fn install_custom_resources(kube: &Kube) {
    let kubectl = |arguments: &[&str]| {
        let mut kubectl = Command::new(program("kubectl"));
        kubectl.arg("--kubeconfig").arg(kube.plane.kubeconfig(User::Admin));
        kubectl.arg("--cache-dir").arg(kube.plane.folder());
        let output = kubectl.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let deploy = program("secrets-store-csi/driver").with_file_name("deploy");
    for kind in ["secretproviderclasses", "secretproviderclasspodstatuses"] {
        let definition = deploy.join(format!("secrets-store.csi.x-k8s.io_{kind}.yaml"));
        kubectl(&["apply", "--server-side", "--force-conflicts", "-f", definition.to_str().unwrap()]);
        let name = format!("crd/{kind}.secrets-store.csi.x-k8s.io");
        kubectl(&["wait", "--for=condition=Established", "--timeout=30s", &name]);
    }
}
