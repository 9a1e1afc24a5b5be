//! A real `PgBouncer` in front of a PostgreSQL of a test.

use super::claviger::wait_until;
use super::installed::program;
use super::postgres::{as_postgres_user, free_port, guard, server_folder};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// A pooler with the defaults of `PgBouncer`.
pub struct PgBouncer {
    url: String,
    folder: PathBuf,
    child: Child,
    /// Holds a pipe that is closed when this process ends.
    _guardian: Child,
}

impl PgBouncer {
    /// Starts one in a pool mode, with more settings, in front of the database of a URL.
    pub fn start(url: &str, mode: &str, settings: &[&str]) -> Self {
        let rest = url.strip_prefix("postgres://").unwrap();
        let (user, place) = rest.split_once('@').unwrap();
        let (name, password) = user.split_once(':').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let (host, port) = server.split_once(':').unwrap();
        // The user of PostgreSQL has no access to the folder of the rig.
        let folder = server_folder().unwrap();
        let program = program("pgbouncer").canonicalize().unwrap();
        for file in fs::read_dir(program.parent().unwrap()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let own = free_port();
        fs::write(folder.join("users"), format!("\"{name}\" \"{password}\"\n")).unwrap();
        let mut text = format!(
            "[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            folder.join("users").display()
        );
        for setting in settings {
            text.extend([setting, "\n"]);
        }
        fs::write(folder.join("pgbouncer.ini"), text).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let child = as_postgres_user(folder.join("pgbouncer"))
            .arg(folder.join("pgbouncer.ini"))
            .env("LD_LIBRARY_PATH", &folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let guardian = guard(&child, &folder).unwrap();
        let url = format!("postgres://{user}@127.0.0.1:{own}/{database}");
        let pooler = Self { url, folder, child, _guardian: guardian };
        wait_until("PgBouncer", || TcpStream::connect(("127.0.0.1", own)).is_ok());
        pooler
    }

    /// The URL of the database through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The log of the pooler.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
