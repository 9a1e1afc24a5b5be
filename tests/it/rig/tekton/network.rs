//! A network namespace with only a loopback device.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

/// Ends with this process: its holder reads a pipe from this process until it is closed.
pub struct Network {
    _holder: Child,
    namespace: File,
}

impl Network {
    /// Creates a namespace with additional addresses.
    pub fn new(addresses: &[&str]) -> Result<Self, String> {
        let mut script = String::from("busybox ip link set lo up");
        for address in addresses {
            let _ = write!(script, " && busybox ip addr add {address}/32 dev lo");
        }
        script.push_str(" && echo up && exec cat >/dev/null");
        let mut holder = Command::new("unshare")
            .args(["--net", "/bin/sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim() != "up" {
            return Err("a network namespace cannot be created: the tests with Tekton need root".into());
        }
        let namespace = format!("/proc/{}/ns/net", holder.id());
        let namespace = File::open(&namespace).map_err(|error| format!("{namespace}: {error}"))?;
        Ok(Self { _holder: holder, namespace })
    }

    /// Moves the calling thread into it, and with it all threads and processes started later.
    pub fn enter(&self) {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}
