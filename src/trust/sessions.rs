//! The cache of resumable TLS sessions. It is emptied when a certificate file changes, because certificates are not verified when a
//! session is resumed.

use super::file_stamp::FileStamp;
use super::file_value::file_stamps;
use arc_swap::ArcSwap;
use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::sync::Arc;

/// Maximum number of sessions: the default of rustls.
const MAX_SESSIONS: usize = 256;

/// Sessions that began with the current content of `files`.
#[derive(Debug)]
pub(super) struct SessionCache {
    files: Vec<PathBuf>,
    current: ArcSwap<SessionGeneration>,
}

#[derive(Debug)]
struct SessionGeneration {
    stamps: Vec<Option<FileStamp>>,
    sessions: ClientSessionMemoryCache,
}

impl SessionGeneration {
    fn new(stamps: Vec<Option<FileStamp>>) -> Self {
        Self { stamps, sessions: ClientSessionMemoryCache::new(MAX_SESSIONS) }
    }
}

impl SessionCache {
    /// An empty cache. A change of `files` empties it again.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let current = ArcSwap::from_pointee(SessionGeneration::new(file_stamps(&files)));
        Self { files, current }
    }

    fn current_generation(&self) -> Arc<SessionGeneration> {
        let current = self.current.load_full();
        let now = file_stamps(&self.files);
        if current.stamps == now {
            return current;
        }
        let new = Arc::new(SessionGeneration::new(now));
        self.current.store(new.clone());
        new
    }
}

impl ClientSessionStore for SessionCache {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.current.load().sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.current.load().sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.current.load().sessions.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.current_generation().sessions.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.current.load().sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.current.load().sessions.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.current_generation().sessions.take_tls13_ticket(server_name)
    }
}
