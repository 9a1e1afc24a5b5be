//! Whether a provider answers on the socket, for the probes of kubelet: it must greet in HTTP/2.

use crate::cli::failure::Failure;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The client's greeting: the preface, and an empty frame of settings (RFC 9113, 3.4).
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// Head of a frame: length (3 bytes), type, flags, stream (4 bytes).
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if the server's first frame has settings.
pub fn probe(socket: &Path) -> Result<(), Failure> {
    let greeted = || -> io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(GREETING)?;
        let mut head = [0; FRAME_HEAD];
        stream.read_exact(&mut head)?;
        Ok(head[3] == SETTINGS && head[5..] == [0; 4])
    };
    match greeted() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Failed("what answers on the socket is no provider".into())),
        Err(error) => Err(Failure::Failed(format!("no provider answers on the socket: {}", error.kind()))),
    }
}
