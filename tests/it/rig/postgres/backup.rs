//! Backups of a running server: dumps of one database, and base backups.

use super::{ATTEMPTS, BINARIES, Postgres, free_port, postgres_program, server_folder, url_of};
use crate::rig::replicas::new_database;
use std::path::Path;
use std::process::Command;

impl Postgres {
    /// Restores a dump into a new database, and returns its URL.
    pub fn restore_dump(&self, dump: &Path) -> String {
        let url = new_database(self);
        run(Command::new(Path::new(BINARIES).join("pg_restore")).args(["--exit-on-error", "--dbname", &url]).arg(dump));
        url
    }

    /// Takes a base backup, and starts another server with it.
    pub fn backup(&self) -> Self {
        let folder = server_folder().unwrap();
        let mut copy = Self { port: 0, password: self.password.clone(), child: None, guardian: None, folder };
        run(postgres_program("pg_basebackup")
            .args(["--checkpoint=fast", "--no-sync", "--dbname"])
            .arg(self.conninfo("backup"))
            .arg("--pgdata")
            .arg(copy.folder.join("data")));
        for _ in 0..ATTEMPTS {
            copy.port = free_port();
            if copy.run(&[]).is_ok() {
                return copy;
            }
        }
        panic!("the copy did not start");
    }

    /// The URL of the same database at this server.
    pub fn url_of(&self, elsewhere: &str) -> String {
        let (_, database) = elsewhere.split_once('?').map_or(elsewhere, |(url, _)| url).rsplit_once('/').unwrap();
        url_of("claviger", &self.password, self.port, database)
    }
}

/// Dumps the database of a URL into a file.
pub fn dump(url: &str, into: &Path) {
    run(Command::new(Path::new(BINARIES).join("pg_dump"))
        .args(["--format=custom", "--dbname", url, "--file"])
        .arg(into));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
