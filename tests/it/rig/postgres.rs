//! A real PostgreSQL: one server for the whole test binary, a database for each test, and separate servers for
//! tests that stop them.

pub mod backup;
mod standby;

use claviger::config::postgres_url::PostgresUrl;
use claviger::model::request_id::RequestId;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const BINARIES: &str = "/usr/lib/postgresql/15/bin";
/// PostgreSQL refuses to run as root; Debian's package creates this user.
const USER: &str = "postgres";
/// Maximum number of start attempts: another test may take a free port before the server binds it.
const ATTEMPTS: usize = 3;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Stops the server when this process has ended in any way, and removes the folder.
const GUARDIAN: &str = "while read -r _; do :; done; kill -QUIT \"$1\"; i=0
    while kill -0 \"$1\" && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; kill -9 \"$1\"; rm -rf \"$2\"";

/// A server.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    password: String,
    child: Option<Child>,
    /// Holds a pipe that is closed when this process ends.
    guardian: Option<Child>,
}

/// The shared server, started at the first call.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Result<Postgres, String>> = OnceLock::new();
    match SERVER.get_or_init(|| Postgres::start(&[])) {
        Ok(server) => server,
        Err(why) => panic!("{why}"),
    }
}

impl Postgres {
    /// Starts a server with its own settings, `name=value`.
    pub fn start(settings: &[&str]) -> Result<Self, String> {
        let folder = server_folder()?;
        let mut server =
            Self { port: 0, password: RequestId::random().to_string(), child: None, guardian: None, folder };
        server.init_cluster()?;
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            server.port = free_port();
            match server.run(settings) {
                Ok(()) => return Ok(server),
                Err(error) => why = error,
            }
        }
        let log = fs::read_to_string(server.folder.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL did not start: {why}\n{log}"))
    }

    /// Creates an empty database and returns its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", RequestId::random());
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        url_of("claviger", &self.password, self.port, database)
    }

    /// Whether a user can log in to a database.
    pub async fn accepts_login(&self, url: &str, user: &str, password: &str) -> bool {
        let own = format!("claviger:{}@", self.password);
        assert!(url.contains(&own));
        PgConnection::connect(&url.replace(&own, &format!("{user}:{password}@"))).await.is_ok()
    }

    /// Runs SQL in a database.
    pub async fn execute_in(&self, url: &str, sql: String) {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    /// The password of the owner.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops it at once, like a crash.
    pub fn stop(&mut self) {
        // The guardian ends first: it would remove the folder.
        if let Some(mut guardian) = self.guardian.take() {
            let _ = guardian.kill();
            let _ = guardian.wait();
        }
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }

    /// Kills all of its processes with `SIGKILL`, so that nothing more is written.
    pub fn kill(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            let _ = guardian.kill();
            let _ = guardian.wait();
        }
        if let Some(mut child) = self.child.take() {
            // Its children would end by themselves, but only after their current work.
            let processes = std::iter::once(child.id()).chain(children_of(child.id())).map(|id| id.to_string());
            let _ = Command::new("kill").args(["-s", "KILL"]).args(processes).status();
            let _ = child.wait();
        }
    }

    /// Starts it again in the same folder.
    pub fn start_again(&mut self) {
        self.run(&[]).unwrap();
    }

    fn init_cluster(&self) -> Result<(), String> {
        let said = |error: std::io::Error| error.to_string();
        fs::write(self.folder.join("password"), &self.password).map_err(said)?;
        chown_to_postgres(&self.folder.join("password"))?;
        let output = postgres_program("initdb")
            .args(["--username=claviger", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--pwfile={}", self.folder.join("password").display()))
            .arg(self.folder.join("data"))
            .output()
            .map_err(|error| format!("initdb: {error}: run rig/install"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    fn run(&mut self, settings: &[&str]) -> Result<(), String> {
        let log = File::options().append(true).create(true).open(self.folder.join("log"));
        let log = log.map_err(|error| error.to_string())?;
        let socket = self.folder.display().to_string();
        let fixed = [format!("port={}", self.port), format!("unix_socket_directories={socket}")];
        let child = postgres_program("postgres")
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"])
            .args(fixed.iter().map(String::as_str).chain(settings.iter().copied()).flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("postgres: {error}: run rig/install"))?;
        self.guardian = Some(guard(&child, &self.folder)?);
        self.child = Some(child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        let port = self.port.to_string();
        loop {
            let asked = Command::new(Path::new(BINARIES).join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()
                .map_err(|error| error.to_string())?;
            if asked.success() {
                return Ok(());
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(format!("it ended: {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("not ready within {READY_WITHIN:?}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether the server of a URL accepts writes now.
pub fn is_writable(url: &str) -> bool {
    const WRITE: &str = "CREATE TABLE IF NOT EXISTS probes (at TIMESTAMPTZ); INSERT INTO probes VALUES (now())";
    let written = async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(WRITE).execute(&mut connection).await
    };
    let bounded =
        async { tokio::time::timeout(Duration::from_secs(2), written).await.is_ok_and(|written| written.is_ok()) };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(bounded)
}

/// The checked URL, as in the configuration.
pub fn parse_postgres_url(url: &str) -> PostgresUrl {
    PostgresUrl::new(url.to_owned()).unwrap()
}

/// The host and the port of a URL.
pub fn host_and_port(url: &str) -> String {
    url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned()
}

/// A URL of a server on this machine.
pub fn url_of(user: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// An empty folder for a server.
pub fn server_folder() -> Result<PathBuf, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(|error| error.to_string())?;
    chown_to_postgres(&folder)?;
    Ok(folder)
}

fn chown_to_postgres(path: &Path) -> Result<(), String> {
    if !is_root() {
        return Ok(());
    }
    let [user, group] = ["-u", "-g"].map(id_of_user);
    chown(path, Some(user?), Some(group?)).map_err(|error| error.to_string())
}

/// Stops a process and removes its folder when this process has ended. It holds a pipe that is closed then.
pub fn guard(child: &Child, folder: &Path) -> Result<Child, String> {
    Command::new("/bin/sh")
        .args(["-c", GUARDIAN, "guardian"])
        .arg(child.id().to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("/bin/sh: {error}"))
}

fn postgres_program(program: &str) -> Command {
    as_postgres_user(Path::new(BINARIES).join(program))
}

/// A program as the user that PostgreSQL runs as.
pub fn as_postgres_user(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--init-groups".into()]).arg(program);
    // It may not have permission for our working directory.
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn id_of_user(which: &str) -> Result<u32, String> {
    let output = Command::new("id").args([which, USER]).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().parse().map_err(|_| format!("there is no user {USER}: run rig/install"))
}

/// The ids of the children of a process.
pub fn children_of(parent: u32) -> Vec<u32> {
    let parent_of = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name may contain spaces; after it come the state and the parent.
        stat.rsplit(") ").next()?.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
