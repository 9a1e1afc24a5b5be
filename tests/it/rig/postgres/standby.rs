//! Streaming replication: a standby made by a base backup, its promotion, and settings of a running server.

use super::{ATTEMPTS, BINARIES, Postgres, children_of, free_port, postgres_program, server_folder, url_of};
use crate::rig::claviger::wait_until;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

impl Postgres {
    /// A standby that streams from this server. It is asynchronous until this server's settings name it.
    pub fn standby(&self, name: &str) -> Self {
        self.standby_with(name, &[])
    }

    /// A standby with more settings.
    pub fn standby_with(&self, name: &str, settings: &[&str]) -> Self {
        let folder = server_folder().unwrap();
        let mut standby = Self { port: 0, password: self.password.clone(), child: None, guardian: None, folder };
        standby.copy_data_of(self, name);
        for _ in 0..ATTEMPTS {
            standby.port = free_port();
            if standby.run(settings).is_ok() {
                return standby;
            }
        }
        panic!("the standby did not start:\n{}", fs::read_to_string(standby.folder.join("log")).unwrap_or_default());
    }

    /// Replaces a stopped server by a standby of another one, at the same address.
    pub fn becomes_standby_of(&mut self, primary: &Self, name: &str) {
        fs::remove_dir_all(self.folder.join("data")).unwrap();
        self.copy_data_of(primary, name);
        self.run(&[]).unwrap();
    }

    /// Copies the data of a running server.
    fn copy_data_of(&self, primary: &Self, name: &str) {
        let output = postgres_program("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"])
            .arg(primary.conninfo(name))
            .arg("--pgdata")
            .arg(self.folder.join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A connection string for programs of PostgreSQL.
    pub fn conninfo(&self, name: &str) -> String {
        let Self { port, password, .. } = self;
        format!("host=127.0.0.1 port={port} user=claviger password={password} application_name={name}")
    }

    /// Starts a receiver of WAL that is not a standby. The caller stops it.
    pub fn receive_wal(&self, into: &Path) -> Child {
        // It writes as the user of this process, into a folder of this process.
        Command::new(Path::new(BINARIES).join("pg_receivewal"))
            .arg("--directory")
            .arg(into)
            .arg("--dbname")
            .arg(self.conninfo("archive"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Makes a standby the primary. Returns when it accepts writes.
    pub fn promote(&self) {
        let output = postgres_program("pg_ctl")
            .args(["promote", "--wait", "-D"])
            .arg(self.folder.join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Changes a setting of the running server.
    pub fn set(&self, setting: &str, value: &str) {
        self.query(&format!("ALTER SYSTEM SET {setting} = '{value}'"));
        self.query("SELECT CAST(pg_reload_conf() AS TEXT)");
    }

    /// Makes commits wait for any one standby, once one is connected.
    pub fn require_synchronous_standby(&self) {
        self.set("synchronous_standby_names", "*");
        wait_until("a synchronous standby", || self.standby_states() == "sync");
    }

    /// The `sync_state` of each standby, separated by commas.
    pub fn standby_states(&self) -> String {
        self.query(
            "SELECT coalesce(string_agg(sync_state, ','), '') FROM pg_stat_replication WHERE replay_lsn IS NOT NULL",
        )
    }

    /// The number of commits that wait for a standby.
    pub fn waiting_commits(&self) -> usize {
        self.query("SELECT CAST(count(*) AS TEXT) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").parse().unwrap()
    }

    /// Sends a signal to all of its processes. False if it does not run.
    pub fn signal(&self, name: &str) -> bool {
        let Some(server) = self.child.as_ref().map(Child::id) else { return false };
        let processes = std::iter::once(server).chain(children_of(server)).map(|id| id.to_string());
        Command::new("kill").args(["-s", name]).args(processes).status().is_ok_and(|status| status.success())
    }

    /// Runs a statement in the database `postgres`. Returns the text in the first column of its first row, if any.
    pub fn query(&self, sql: &str) -> String {
        Self::query_in(&self.url("postgres"), sql)
    }

    /// The URL of a database with the addresses of this server and another one.
    pub fn url_with(&self, other: &Self, url: &str) -> String {
        let here = format!("127.0.0.1:{}", self.port);
        assert!(url.contains(&here));
        url.replace(&here, &format!("{here},127.0.0.1:{}", other.port)) + "&target_session_attrs=read-write"
    }

    /// The URL of a database as another user.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        url_of(user, password, self.port, database)
    }

    /// Runs a statement in the database of a URL. Returns the text in the first column of its first row, if any.
    pub fn query_in(url: &str, sql: &str) -> String {
        let asked = async {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let sql = AssertSqlSafe(sql.to_owned());
            // Not prepared: some statements cannot run in a transaction.
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await.unwrap();
            rows.first().map(|row| sqlx::Row::get::<String, _>(row, 0)).unwrap_or_default()
        };
        // A separate thread, because the test may run inside a runtime.
        std::thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            scope.spawn(move || runtime.block_on(asked)).join().unwrap()
        })
    }
}
