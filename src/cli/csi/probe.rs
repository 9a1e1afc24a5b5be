//! `claviger csi --probe`: checks for kubelet that a server on the socket responds in HTTP/2.

use crate::cli::command_error::CommandError;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The client connection preface, with an empty SETTINGS frame (RFC 9113, 3.4).
const CLIENT_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// Length of a frame header: length (3 bytes), type, flags, stream (4 bytes).
const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS_FRAME: u8 = 4;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if the first frame of the server is SETTINGS.
pub fn probe(socket: &Path) -> Result<(), CommandError> {
    let receives_settings = || -> io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(CLIENT_PREFACE)?;
        let mut header = [0; FRAME_HEADER_BYTES];
        stream.read_exact(&mut header)?;
        Ok(header[3] == SETTINGS_FRAME && header[5..] == [0; 4])
    };
    match receives_settings() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CommandError::Other("the server on the socket is not a provider".into())),
        Err(error) => Err(CommandError::Other(format!("no provider answers on the socket: {}", error.kind()))),
    }
}
