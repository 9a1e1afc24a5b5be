//! `claviger openapi`: prints the `OpenAPI` document of the REST API, as in `openapi/claviger.json`.

use super::command_error::CommandError;

pub fn run() -> Result<(), CommandError> {
    print!("{}", crate::http::openapi::text().map_err(|error| CommandError::from_error(&error))?);
    Ok(())
}
