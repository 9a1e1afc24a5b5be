//! The cache of resumable TLS sessions. It ends when a certificate file changes, because certificates are not verified when a session
//! is resumed.

use super::file_stamp::FileStamp;
use super::file_value::file_stamps;
use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Maximum number of sessions: the default of rustls.
const MAX_SESSIONS: usize = 256;

/// Sessions that were verified with the first content of `files`. After a change of a file none is resumed or cached until the process
/// ends: a server can send a ticket at any time, also on a connection that was verified before the change, and a ticket does not
/// say with which content it was.
#[derive(Debug)]
pub(super) struct SessionCache {
    files: Vec<PathBuf>,
    first_stamps: Vec<Option<FileStamp>>,
    has_changed: AtomicBool,
    sessions: ClientSessionMemoryCache,
}

impl SessionCache {
    /// An empty cache, until one of `files` changes.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let first_stamps = file_stamps(&files);
        let sessions = ClientSessionMemoryCache::new(MAX_SESSIONS);
        Self { files, first_stamps, has_changed: AtomicBool::new(false), sessions }
    }

    /// The sessions, unless a file has changed.
    fn resumable(&self) -> Option<&ClientSessionMemoryCache> {
        if !self.has_changed.load(Ordering::SeqCst) && file_stamps(&self.files) != self.first_stamps {
            self.has_changed.store(true, Ordering::SeqCst);
        }
        (!self.has_changed.load(Ordering::SeqCst)).then_some(&self.sessions)
    }
}

impl ClientSessionStore for SessionCache {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(sessions) = self.resumable() {
            sessions.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.resumable()?.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Some(sessions) = self.resumable() {
            sessions.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.resumable()?.take_tls13_ticket(server_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_with_a_change_and_do_not_begin_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "first").expect("a file");
        let cache = SessionCache::new(vec![file.clone()]);
        assert!(cache.resumable().is_some());
        std::fs::write(&file, "the second").expect("a file");
        assert!(cache.resumable().is_none());
        std::fs::write(&file, "first").expect("a file");
        assert!(cache.resumable().is_none(), "a ticket of the content between must not be cached");
    }
}
