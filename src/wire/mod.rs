//! JSON bodies of the REST API, shared by the server and the client commands, and the custom resource definitions (`crd`), which
//! are generated from the bodies of policies. The users of the bodies validate them.

pub mod audit_event;
pub mod audit_list;
mod audit_text;
pub mod caller;
pub mod crd;
pub mod decision;
pub mod doctor;
pub mod inventory;
pub mod lease;
mod null;
mod page;
pub mod policy;
pub mod policy_object;
pub mod problem;
pub mod shell_safe_json;
pub mod ticket;
pub mod ticket_object;
pub mod vault;
