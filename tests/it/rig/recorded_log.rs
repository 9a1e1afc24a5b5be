//! Records what this thread logs.

use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::dispatcher::DefaultGuard;
use tracing::subscriber::{NoSubscriber, set_default};
use tracing::{Dispatch, Level};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

/// The log of this thread, until it is dropped.
pub struct RecordedLog {
    bytes: Bytes,
    _guard: DefaultGuard,
    /// With a single subscriber, tracing would cache the interest of the first thread that logs.
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl RecordedLog {
    /// Everything of all crates.
    pub fn of_all() -> Self {
        Self::with(Targets::new().with_default(Level::TRACE))
    }

    /// The process's own filter: everything of this crate, and warnings of others.
    #[cfg(any(feature = "aws", all(feature = "azure", feature = "gcp")))]
    pub fn as_served() -> Self {
        Self::with(Targets::new().with_default(Level::WARN).with_target("claviger", Level::TRACE))
    }

    fn with(filter: Targets) -> Self {
        let bytes = Bytes::default();
        let writer = bytes.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let second = Dispatch::new(NoSubscriber::default());
        let guard = set_default(tracing_subscriber::registry().with(lines.with_filter(filter)));
        Self { bytes, _guard: guard, _second: second }
    }

    /// The log so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.0.lock().unwrap().clone()).unwrap()
    }
}
