//! `machine HOST login USER password PASSWORD`, one line for each `NETRC_MACHINE` with its `NETRC_LOGIN` and
//! `NETRC_PASSWORD`, for curl, git and Python.
//!
//! Netrc has no standard. Newer readers support quotes and escapes, each in its own way; older ones, among them Go
//! and Python before 3.11, support none. Therefore a word is written unchanged or refused:
//!
//! | refused | because |
//! |---|---|
//! | an empty word, white space, control characters | they end a word, or a line |
//! | non-ASCII characters | Go and Python have more white space there; newer curl ends a word at it |
//! | a backslash | Python drops it, curl keeps it |
//! | `"` at the beginning | curl and Python read a quoted word, Go does not |
//! | `#` at the beginning | curl reads a comment, Python a password |
//! | a colon in the login | HTTP's Basic scheme ends the name there |
//! | a line longer than 4,000 bytes | curl cuts at 4,096 |
//!
//! The machine is a host in lower case without a port: readers compare it with the host of the URL.

use super::address::is_host;
use super::credentials::{Named, gather};
use super::port::{Emit, Reason, Unrenderable};
use crate::model::bundle::Bundle;

const MAX_LINE: usize = 4000;

pub(super) fn check(bundle: &Bundle) -> Result<Vec<[Named<'_>; 3]>, Unrenderable> {
    let logins = gather(bundle, ["NETRC_MACHINE", "NETRC_LOGIN", "NETRC_PASSWORD"])?;
    for [machine, login, password] in &logins {
        machine.must(is_host(machine.value()), Reason::NotAnAddress)?;
        login.must(is_word(login.value()) && !login.value().contains(':'), Reason::ReadersDisagree)?;
        let length = machine.value().len() + login.value().len() + password.value().len();
        password.must(is_word(password.value()) && length < MAX_LINE, Reason::ReadersDisagree)?;
    }
    Ok(logins)
}

pub(super) fn write(logins: &[[Named<'_>; 3]], emit: Emit<'_>) {
    for [machine, login, password] in logins {
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
