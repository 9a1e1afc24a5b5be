//! `claviger openapi`: prints the `OpenAPI` document of the REST API, as in `openapi/claviger.json`.

use super::serve::print_error;
use std::process::ExitCode;

pub fn run() -> ExitCode {
    match crate::http::openapi::text() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => print_error(&error),
    }
}
