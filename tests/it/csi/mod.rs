//! `claviger csi`: called over its socket like by the Secrets Store CSI driver, and by the real driver.

mod client;
mod driver;
mod faults;
mod formats;
mod parameters;
mod process;
mod refused;
mod speed;
mod volumes;
mod walk;

use crate::rig::claviger::{binary, wait_until};
use crate::rig::kube::actors::PodActor;
use client::{MountRequest, MountResponse, call};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::{Code, Status};

const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// A running provider. Killed when dropped.
pub struct Provider {
    child: Child,
    pub folder: TempDir,
}

/// The command, without Claviger's variables in its environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("csi").args(arguments);
    for variable in ["CLAVIGER_URL", "CLAVIGER_CA_FILE", "CLAVIGER_INSECURE"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

impl Provider {
    /// Starts a provider for a server.
    pub fn start(server: &str) -> Self {
        Self::start_with(server, &[])
    }

    /// The same with additional options.
    pub fn start_with(server: &str, options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), server, options)
    }

    /// The same with its socket and its log in this folder.
    pub fn start_in(folder: TempDir, server: &str, options: &[&str]) -> Self {
        let child = Self::spawn(folder.path(), server, options);
        let mut provider = Self { child, folder };
        provider.wait_until_up();
        provider
    }

    fn spawn(folder: &Path, server: &str, options: &[&str]) -> Child {
        let socket = folder.join("claviger.sock").display().to_string();
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        command(&[&["--socket", &socket, "--server", server], options].concat()).stderr(log).spawn().unwrap()
    }

    fn wait_until_up(&mut self) {
        wait_until("the provider", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the provider has ended:\n{}", self.log());
            probe(&self.socket()).0 == Some(0)
        });
    }

    /// Starts another process in place of one that has ended.
    pub fn restart(&mut self, server: &str) {
        self.child = Self::spawn(self.folder.path(), server, &[]);
        self.wait_until_up();
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("claviger.sock")
    }

    /// The log of all its processes.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Mounts like the driver, with these attributes and secrets.
    pub async fn mount(&self, attributes: &Value, secrets: &Value) -> Result<MountResponse, Status> {
        let requested = MountRequest {
            attributes: attributes.to_string(),
            secrets: secrets.to_string(),
            target_path: "/var/lib/kubelet/pods/x/volumes/kubernetes.io~csi/s/mount".into(),
            permission: "420".into(),
        };
        call(&self.socket(), "/v1alpha1.CSIDriverProvider/Mount", requested).await
    }

    /// Mounts for a pod with these parameters.
    pub async fn mount_for(&self, pod: &PodActor, parameters: Value) -> Result<MountResponse, Status> {
        self.mount(&attributes(pod, parameters), &json!({})).await
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it ends.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it has not ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The attributes that the driver passes for a pod's volume.
#[expect(clippy::needless_pass_by_value, reason = "the callers write it out")]
fn attributes(pod: &PodActor, parameters: Value) -> Value {
    attributes_of(&pod.uid, &pod.token, &parameters)
}

/// The same for a pod of this uid, with this token.
fn attributes_of(uid: &str, token: &str, parameters: &Value) -> Value {
    let mut attributes = json!({
        "secretProviderClass": "site",
        "csi.storage.k8s.io/ephemeral": "true",
        "csi.storage.k8s.io/pod.name": "build",
        "csi.storage.k8s.io/pod.namespace": "ci",
        "csi.storage.k8s.io/pod.uid": uid,
        "csi.storage.k8s.io/serviceAccount.name": "build-bot",
        (TOKENS): tokens(token),
    });
    attributes.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    attributes
}

/// The tokens of a pod, as kubelet writes them.
fn tokens(token: &str) -> String {
    json!({"claviger": {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}}).to_string()
}

/// Runs `claviger csi --probe`. Returns the exit code and standard error.
fn probe(socket: &Path) -> (Option<i32>, String) {
    let output = command(&["--probe", "--socket", socket.to_str().unwrap()]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Checks status, code and the fixed form of the message. Returns the request id.
fn assert_refused(outcome: Result<MountResponse, Status>, status: Code, code: &str) -> String {
    let refusal = outcome.expect_err(code);
    let text = refusal.message();
    assert_eq!((refusal.code(), text.split(':').next()), (status, Some(code)), "{text}");
    let (_, id) = text.rsplit_once(". [request ").unwrap_or_else(|| panic!("{text}"));
    let id = id.strip_suffix(']').unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
    id.to_owned()
}
