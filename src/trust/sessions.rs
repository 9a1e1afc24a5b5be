//! Resumable TLS sessions. They are dropped when a file changes, because a resumed session is not checked again.

use super::reread::{Stamp, stamps};
use arc_swap::ArcSwap;
use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::sync::Arc;

/// rustls' default.
const SESSIONS: usize = 256;

/// The sessions that began with the current state of the files.
#[derive(Debug)]
pub(super) struct Sessions {
    files: Vec<PathBuf>,
    kept: ArcSwap<Kept>,
}

#[derive(Debug)]
struct Kept {
    stamps: Vec<Option<Stamp>>,
    sessions: ClientSessionMemoryCache,
}

impl Kept {
    fn new(stamps: Vec<Option<Stamp>>) -> Self {
        Self { stamps, sessions: ClientSessionMemoryCache::new(SESSIONS) }
    }
}

impl Sessions {
    /// No sessions yet.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let kept = ArcSwap::from_pointee(Kept::new(stamps(&files)));
        Self { files, kept }
    }

    fn current(&self) -> Arc<Kept> {
        let kept = self.kept.load_full();
        let now = stamps(&self.files);
        if kept.stamps == now {
            return kept;
        }
        let fresh = Arc::new(Kept::new(now));
        self.kept.store(fresh.clone());
        fresh
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.kept.load().sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.load().sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.load().sessions.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.current().sessions.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.kept.load().sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.kept.load().sessions.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.current().sessions.take_tls13_ticket(server_name)
    }
}
