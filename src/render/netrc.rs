//! `machine HOST login USER password PASSWORD`, one line for each credential, that is, for each prefix of `NETRC_MACHINE`,
//! `NETRC_LOGIN` and `NETRC_PASSWORD` (see [`super::credentials`]), for curl, git and Python.
//!
//! Netrc has no standard. Newer readers support quotes and escapes, each in its own way; older ones, among them Go
//! and Python before 3.11, support none. Therefore words are neither quoted nor escaped, and these are refused:
//!
//! | refused | because |
//! |---|---|
//! | an empty word, white space, control characters | readers end a word or a line there |
//! | non-ASCII characters | Go and Python treat some of them as white space; newer curl ends a word there |
//! | a backslash | Python drops it, curl keeps it |
//! | `"` at the beginning | curl and Python read a quoted word there, Go does not |
//! | `#` at the beginning | curl reads a comment there, Python a password |
//! | a colon in the login | HTTP Basic authentication ends the user name there |
//! | machine, login and password of 4,000 bytes or more together | curl cuts a line at 4,096 bytes |
//!
//! The machine is a host in lower case without a port: readers compare it with the host of the URL.

use super::credentials::{CredentialPart, group_credentials};
use super::port::{Emit, UnrenderableKey, UnrenderableReason};
use super::registry_address::is_host;
use crate::model::bundle::Bundle;

/// Maximum size of machine, login and password together.
const MAX_BYTES: usize = 3999;

/// Returns the credentials: machine, login and password. Fails as [`group_credentials`] does, if a machine is not a host, or if
/// readers would read a login or password differently.
pub(super) fn prepare(bundle: &Bundle) -> Result<Vec<[CredentialPart<'_>; 3]>, UnrenderableKey> {
    let credentials = group_credentials(bundle, ["NETRC_MACHINE", "NETRC_LOGIN", "NETRC_PASSWORD"])?;
    for [machine, login, password] in &credentials {
        machine.require(is_host(machine.value()), UnrenderableReason::NotAnAddress)?;
        login.require(is_word(login.value()) && !login.value().contains(':'), UnrenderableReason::ReadersDisagree)?;
        let length = machine.value().len() + login.value().len() + password.value().len();
        password.require(is_word(password.value()) && length <= MAX_BYTES, UnrenderableReason::ReadersDisagree)?;
    }
    Ok(credentials)
}

pub(super) fn write(credentials: &[[CredentialPart<'_>; 3]], emit: Emit<'_>) {
    for [machine, login, password] in credentials {
        emit(b"machine ");
        emit(machine.value().as_bytes());
        emit(b" login ");
        emit(login.value().as_bytes());
        emit(b" password ");
        emit(password.value().as_bytes());
        emit(b"\n");
    }
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !value.starts_with(['"', '#'])
}
