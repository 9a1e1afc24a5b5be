//! Bounds the number of connections by the limit of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections of the ops listener, which serves only probes and scrapes.
pub const OPS_CONNECTIONS: usize = 512;
/// Descriptors reserved for the ops listener, the database and the stores. Of a low limit, only a quarter is reserved.
const RESERVED_DESCRIPTORS: u64 = 768;

/// Raises the soft descriptor limit to the hard limit, and returns the wanted number of connections, or fewer if the
/// limit is too low. Container runtimes may set a soft limit of 1,024, for programs that use `select`.
pub fn limit_connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let Some(descriptors) = (if raised.is_ok() { limit.maximum } else { limit.current }) else { return wanted };
    let allowed = connections_for(descriptors);
    if allowed < wanted {
        tracing::warn!(
            descriptors,
            connections = allowed,
            "the file descriptor limit is too low for limits.maxConnections"
        );
    }
    allowed.min(wanted)
}

fn connections_for(descriptors: u64) -> usize {
    let usable = descriptors - RESERVED_DESCRIPTORS.min(descriptors / 4);
    usize::try_from(usable).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_reserved_descriptors() {
        assert_eq!(connections_for(1 << 20), (1 << 20) - 768);
        assert_eq!(connections_for(1024), 768);
        assert_eq!(connections_for(64), 48);
        assert_eq!(connections_for(0), 1);
    }
}
