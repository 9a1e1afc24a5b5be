//! A real control plane: etcd and kube-apiserver, one for the whole test binary. There is no kubelet, so pods stay
//! Pending until [`actors`] change their status.

pub mod actors;
pub mod admission;
pub mod hostile;
pub mod recording_proxy;
pub mod tekton;

use super::installed::find_control_plane_program;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::model::request_id::RequestId;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The audience of the API server itself.
pub const DEFAULT_AUDIENCE: &str = "https://kubernetes.default.svc";
/// Maximum number of start attempts: another test may take a free port before the server binds it.
const ATTEMPTS: usize = 3;
const READY_WITHIN: Duration = Duration::from_mins(1);

/// The users of the API server.
#[derive(Debug, Clone, Copy)]
pub enum User {
    /// All permissions; used by the tests themselves. It has the name of Tekton's controller, whose role the tests
    /// play.
    Admin,
    /// The broker: `system:auth-delegator`, and `get` of pods and of Tekton's runs.
    Broker,
    /// Only `get` of pods.
    PodReader,
    /// Only `system:auth-delegator`.
    Reviewer,
    /// No permissions.
    Nobody,
    /// Tekton's controller, with the permissions of its release.
    TektonController,
    /// Tekton's webhook, with the permissions of its release.
    TektonWebhook,
    /// Unknown to the API server.
    Stranger,
}

impl User {
    const KNOWN: [Self; 7] = [
        Self::Admin,
        Self::Broker,
        Self::PodReader,
        Self::Reviewer,
        Self::Nobody,
        Self::TektonController,
        Self::TektonWebhook,
    ];

    /// The name in RBAC; a ServiceAccount's, as in a cluster.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin | Self::TektonController => {
                "system:serviceaccount:tekton-pipelines:tekton-pipelines-controller"
            }
            Self::TektonWebhook => "system:serviceaccount:tekton-pipelines:tekton-pipelines-webhook",
            Self::Broker => "system:serviceaccount:claviger:claviger",
            Self::PodReader => "system:serviceaccount:claviger:pod-reader",
            Self::Reviewer => "system:serviceaccount:claviger:reviewer",
            Self::Nobody => "system:serviceaccount:claviger:nobody",
            Self::Stranger => "stranger",
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            _ => "system:serviceaccounts",
        }
    }
}

/// The running control plane.
pub struct ControlPlane {
    folder: PathBuf,
    port: u16,
    /// A user's token is its name and this secret, because other users of this machine can reach the port.
    secret: String,
    servers: [Mutex<Server>; 2],
    /// What the API server is started with.
    arguments: Vec<String>,
}

/// The shared control plane, started at the first call.
pub fn control_plane() -> &'static ControlPlane {
    static PLANE: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
    match PLANE.get_or_init(|| ControlPlane::start(&[])) {
        Ok(plane) => plane,
        Err(why) => panic!("{why}"),
    }
}

impl ControlPlane {
    /// Starts a control plane whose API server has additional arguments.
    pub fn start(arguments: &[String]) -> Result<Self, String> {
        let (etcd, apiserver) = (find_control_plane_program("etcd")?, find_control_plane_program("kube-apiserver")?);
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
            match start_once(&etcd, &apiserver, &folder, arguments) {
                Ok(plane) => return Ok(plane),
                Err(error) => {
                    why = format!("the control plane did not start: {error}");
                    for program in [&etcd, &apiserver] {
                        let log = std::fs::read_to_string(log_of(program, &folder)).unwrap_or_default();
                        let lines: Vec<&str> = log.lines().collect();
                        let _ = write!(
                            why,
                            "\n--- {}\n{}",
                            program.display(),
                            lines[lines.len().saturating_sub(20)..].join("\n")
                        );
                    }
                }
            }
        }
        Err(why)
    }

    /// The folder of its files, removed when this process ends.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a kubeconfig for one of the users.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.kubeconfig_for_port(user, self.port)
    }

    /// The same for a port without a listener, like a stopped API server.
    pub fn kubeconfig_of_stopped(&self, user: User) -> PathBuf {
        self.kubeconfig_for_port(user, free_ports()[0])
    }

    /// The port that it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The process ids of etcd and the API server.
    #[allow(dead_code, reason = "the load test counts their time")]
    pub fn processes(&self) -> [u32; 2] {
        [&self.servers[0], &self.servers[1]].map(|server| server.lock().unwrap().id())
    }

    /// Stops the API server, as `kill -9` does.
    pub fn stop_api_server(&self) {
        let mut server = self.servers[1].lock().unwrap();
        // The guardian ends first: it would remove the folder, and kill the process that has this id by then.
        let Server { child, guardian } = &mut *server;
        for process in [guardian, child] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts the API server again after [`ControlPlane::stop_api_server`], and waits until it serves.
    pub async fn start_api_server(&self) {
        let server =
            Server::start(&find_control_plane_program("kube-apiserver").unwrap(), &self.arguments, &self.folder)
                .unwrap();
        *self.servers[1].lock().unwrap() = server;
        let deadline = Instant::now() + READY_WITHIN;
        while !is_ready(self).await {
            assert!(Instant::now() < deadline, "the API server is not ready again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The PEM text of the CA of its certificate.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.folder.join("certs/apiserver.crt")).unwrap()
    }

    /// A kubeconfig for an API server on another port of this machine.
    pub fn kubeconfig_for_port(&self, user: User, port: u16) -> PathBuf {
        self.kubeconfig_for_server(user, &format!("https://127.0.0.1:{port}"))
    }

    fn kubeconfig_for_server(&self, user: User, server: &str) -> PathBuf {
        // One file per call, because another test may be reading one.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let path = self.folder.join(format!("kubeconfig-{}", NUMBER.fetch_add(1, Ordering::SeqCst)));
        let ca = self.folder.join("certs/apiserver.crt");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "rig",
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig", "namespace": "claviger"}}],
            "clusters": [{"name": "rig", "cluster": {
                "server": server, "certificate-authority": ca}}],
            "users": [{"name": "rig", "user": {"token": token(user, &self.secret)}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// A client in the test's own runtime.
    pub async fn client(&self, user: User) -> kube::Client {
        client(&self.kubeconfig(user)).await
    }
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

/// A server and its guardian: a shell that waits for the end of this process in any way, kills the server by its
/// process ID and removes the folder. Both are outside of this process group, so that Ctrl-C does not reach them
/// first.
pub struct Server {
    child: Child,
    /// It acts when its standard input is closed, which is when this is dropped.
    guardian: Child,
}

impl Server {
    fn start(program: &Path, arguments: &[String], folder: &Path) -> Result<Self, String> {
        Self::start_with(program, arguments, folder, &[])
    }

    /// Starts a server with additional environment variables.
    pub fn start_with(
        program: &Path,
        arguments: &[String],
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let log = File::create(log_of(program, folder)).map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let guardian = Command::new("/bin/sh")
            .args(["-c", "while read -r _; do :; done; kill -9 \"$1\"; rm -rf \"$2\"", "guardian"])
            .arg(child.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("/bin/sh: {error}"))?;
        Ok(Self { child, guardian })
    }

    /// The process id.
    #[allow(dead_code, reason = "the load test counts its time, and the CSI driver's mounts are seen through it")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

fn log_of(program: &Path, folder: &Path) -> PathBuf {
    folder.join(program.file_name().unwrap()).with_extension("log")
}

fn free_ports() -> [u16; 3] {
    let listeners = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn start_once(etcd: &Path, apiserver: &Path, folder: &Path, more: &[String]) -> Result<ControlPlane, String> {
    let [etcd_port, peer_port, port] = free_ports();
    let at = |name: &str| folder.join(name).display().to_string();
    let etcd_url = format!("http://127.0.0.1:{etcd_port}");
    let key = KeyPair::generate(KeySize::Rsa2048).and_then(|pair| AsDer::<Pkcs8V1Der<'_>>::as_der(&pair));
    let secret = RequestId::random().to_string();
    write_files(folder, key.map_err(|error| error.to_string())?.as_ref(), &secret)
        .map_err(|error| error.to_string())?;

    let etcd = Server::start(
        etcd,
        &[
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls={etcd_url}"),
            format!("--advertise-client-urls={etcd_url}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
            "--unsafe-no-fsync".into(),
        ],
        folder,
    )?;
    let mut arguments = vec![
        format!("--etcd-servers={etcd_url}"),
        format!("--cert-dir={}", at("certs")),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        format!("--service-account-key-file={}", at("sa.key")),
        format!("--service-account-signing-key-file={}", at("sa.key")),
        format!("--service-account-issuer={DEFAULT_AUDIENCE}"),
        format!("--api-audiences={DEFAULT_AUDIENCE}"),
        "--authorization-mode=RBAC".into(),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--disable-admission-plugins=ServiceAccount".into(),
    ];
    arguments.extend_from_slice(more);
    let apiserver = Server::start(apiserver, &arguments, folder)?;
    let servers = [etcd, apiserver].map(Mutex::new);
    let plane = ControlPlane { folder: folder.to_owned(), port, secret, servers, arguments };
    // A separate runtime: that of the first test may be current-thread and is blocked here.
    std::thread::scope(|scope| {
        let setup = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(set_up(&plane))
        };
        scope.spawn(setup).join().map_err(|_| "setting it up panicked".to_owned())
    })??;
    Ok(plane)
}

/// The key that ServiceAccount tokens are signed with, and the users.
fn write_files(folder: &Path, key: &[u8], secret: &str) -> std::io::Result<()> {
    let base64 = STANDARD.encode(key);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    std::fs::write(folder.join("sa.key"), pem)?;
    let users = User::KNOWN.map(|user| format!("{},{},{user:?},{}\n", token(user, secret), user.name(), user.group()));
    std::fs::write(folder.join("tokens.csv"), users.concat())
}

fn token(user: User, secret: &str) -> String {
    format!("{user:?}-{secret}")
}

async fn set_up(plane: &ControlPlane) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    while !is_ready(plane).await {
        for server in &plane.servers {
            if let Ok(Some(status)) = server.lock().unwrap().child.try_wait() {
                return Err(format!("a server ended: {status}"));
            }
        }
        if Instant::now() > deadline {
            return Err(format!("not ready within {READY_WITHIN:?}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    actors::grant(&plane.client(User::Admin).await).await.map_err(|error| error.to_string())
}

async fn is_ready(plane: &ControlPlane) -> bool {
    // Written by the API server when it starts.
    if !plane.folder.join("certs/apiserver.crt").exists() {
        return false;
    }
    let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
    match tokio::time::timeout(Duration::from_secs(2), plane.client(User::Admin).await.request_text(request)).await {
        Ok(Ok(text)) => text == "ok",
        _ => false,
    }
}
