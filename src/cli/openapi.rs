//! `claviger openapi`: the contract of the REST API, as `openapi/claviger.json` has it.

use super::serve::failed;
use std::process::ExitCode;

pub fn run() -> ExitCode {
    match crate::http::openapi::text() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}
