//! A database that cannot be written, because another connection holds the lock.

use super::oidc::TestServer;
use sqlx::Connection as _;
use std::sync::mpsc;
use std::thread;

/// Another process's lock on the database, held until this is dropped.
pub struct DatabaseLock {
    release: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl DatabaseLock {
    /// Takes the lock.
    pub fn take(server: &TestServer) -> Self {
        let url = format!("sqlite://{}", server.folder.path().join("claviger.db").display());
        let (release, released) = mpsc::channel::<()>();
        let (taken, wait) = mpsc::channel();
        let hold = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut connection = runtime.block_on(sqlx::SqliteConnection::connect(&url)).unwrap();
            runtime.block_on(sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection)).unwrap();
            taken.send(()).unwrap();
            let _ = released.recv();
            runtime.block_on(sqlx::query("ROLLBACK").execute(&mut connection)).unwrap();
            runtime.block_on(connection.close()).unwrap();
        };
        let thread = thread::spawn(hold);
        wait.recv().unwrap();
        Self { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        self.release = None;
        self.thread.take().map(thread::JoinHandle::join);
    }
}
