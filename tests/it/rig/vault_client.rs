//! Vault clients as processes, with a Claviger that uses TLS with its own CA.

use super::installed::program;
use super::oidc::TestServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A private CA, and its certificate for 127.0.0.1.
pub struct CertificateAuthority(TempDir);

impl CertificateAuthority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "private CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        let certificate = params.signed_by(&key, &ca).unwrap();
        for (name, text) in [("ca.pem", ca.pem()), ("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem())] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    /// The section `server` of a configuration.
    pub fn server_section(&self) -> Value {
        json!({"tls": {"certFile": self.path("tls.crt"), "keyFile": self.path("tls.key")}})
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// HashiCorp's Go client.
    Go,
    /// Python's hvac.
    Hvac,
    /// Node's node-vault.
    NodeVault,
    /// `OpenBao`'s command line.
    Bao,
}

/// The result of a run: exit code and both outputs.
#[derive(Debug)]
pub struct ClientOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl ClientOutput {
    /// Both outputs.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A client with the address of the server.
pub struct Client<'a> {
    pub kind: ClientKind,
    pub server: &'a TestServer,
    pub authority: &'a CertificateAuthority,
}

impl Client<'_> {
    /// Logs in with the token in this file.
    pub fn log_in(&self, jwt: &Path) -> ClientOutput {
        if self.kind == ClientKind::Bao {
            let jwt = format!("jwt=@{}", jwt.display());
            return self.bao(None, &["write", "-field=token", "auth/kubernetes/login", "role=ci", &jwt]);
        }
        self.run(None, "login", &jwt.display().to_string())
    }

    /// Reads a path below `data/`.
    pub fn read(&self, token: &str, path: &str) -> ClientOutput {
        if self.kind == ClientKind::Bao {
            return self.bao(Some(token), &["kv", "get", "-format=json", "-mount=claviger", "--", path]);
        }
        self.run(Some(token), "read", path)
    }

    /// Reads the path in every line of a file; prints a word for each.
    pub fn read_all(&self, token: &str, file: &Path) -> ClientOutput {
        self.run(Some(token), "names", &file.display().to_string())
    }

    /// Runs the command line of `OpenBao`.
    pub fn bao(&self, token: Option<&str>, arguments: &[&str]) -> ClientOutput {
        let mut command = self.command(&program("bao"), token);
        command.args(arguments);
        run_to_end(command)
    }

    /// Starts an agent with this configuration in this folder.
    pub fn agent(&self, folder: &Path, config: &Value) -> Child {
        let file = folder.join("agent.json");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = self.command(&program("bao"), None);
        command.arg("agent").arg(format!("-config={}", file.display())).arg("-log-level=info");
        let log = fs::File::create(folder.join("agent.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn run(&self, token: Option<&str>, command: &str, argument: &str) -> ClientOutput {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/vault-clients");
        let rig = super::installed::folder();
        let (program, script) = match self.kind {
            ClientKind::Go | ClientKind::Bao => (program("vault-client"), None),
            ClientKind::Hvac => (program("hvac-python"), Some(scripts.join("hvac_client.py"))),
            ClientKind::NodeVault => ("node".into(), Some(scripts.join("node_client.js"))),
        };
        let mut process = self.command(&program, token);
        process.env("NODE_PATH", rig.join("node-vault/node_modules"));
        process.args(script).args([command, argument]);
        run_to_end(process)
    }

    fn command(&self, program: &Path, token: Option<&str>) -> Command {
        client_command(program, self.server, self.authority, token)
    }
}

/// The command of a client, with the server in its environment.
fn client_command(
    program: &Path,
    server: &TestServer,
    authority: &CertificateAuthority,
    token: Option<&str>,
) -> Command {
    let mut command = Command::new(program);
    let address = format!("https://{}", server.api);
    let ca = authority.path("ca.pem");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", authority.path(""));
    for prefix in ["VAULT", "BAO"] {
        command.env(format!("{prefix}_ADDR"), &address).env(format!("{prefix}_CACERT"), &ca);
        if let Some(token) = token {
            command.env(format!("{prefix}_TOKEN"), token);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the Java program in a folder of `rig/vault-clients` with this token and the lines of a file.
pub fn run_java(
    folder: &str,
    server: &TestServer,
    authority: &CertificateAuthority,
    token: &str,
    lines: &Path,
) -> ClientOutput {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/vault-clients").join(folder);
    let program = fs::read_dir(scripts).unwrap().map(|entry| entry.unwrap().path());
    let program =
        program.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "java")).unwrap();
    let libraries = super::installed::folder().join("java-clients").join(folder);
    let mut command = client_command(Path::new("java"), server, authority, Some(token));
    // Options for a short run: only the first compiler, and one collector.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]);
    command.arg("-cp").arg(format!("{}/*", libraries.display())).arg(program).arg(lines);
    run_to_end(command)
}

fn run_to_end(mut command: Command) -> ClientOutput {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    ClientOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
