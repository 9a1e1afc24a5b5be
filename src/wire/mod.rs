//! THE JSON: bodies of the REST API, shared by the server and our own client. Raw: nothing here is checked.

pub mod policy;
