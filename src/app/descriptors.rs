//! The number of connections that the descriptor limit allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections of the ops listener: probes and scrapes are few.
pub const OPS_CONNECTIONS: usize = 512;
/// Descriptors reserved for the ops listener, the database and the stores, if the limit is high enough.
const RESERVED_DESCRIPTORS: u64 = 768;

/// The wanted number of connections, or fewer if the descriptor limit is lower. Container runtimes may start a
/// process with a soft limit of 1,024 descriptors, far below the hard limit, for old programs; the soft limit is
/// raised.
pub fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let Some(descriptors) = (if raised.is_ok() { limit.maximum } else { limit.current }) else { return wanted };
    let most = max_connections(descriptors);
    if most < wanted {
        tracing::warn!(
            descriptors,
            connections = most,
            "the file descriptor limit is too low for limits.maxConnections"
        );
    }
    most.min(wanted)
}

fn max_connections(descriptors: u64) -> usize {
    let left = descriptors - RESERVED_DESCRIPTORS.min(descriptors / 4);
    usize::try_from(left).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        assert_eq!(max_connections(1 << 20), (1 << 20) - 768);
        assert_eq!(max_connections(1024), 768);
        assert_eq!(max_connections(64), 48);
        assert_eq!(max_connections(0), 1);
    }
}
