//! `values` of a cloud store: how the text of a secret becomes keys and values.

use super::fault_collector::FaultCollector;

closed_enum! {
    /// How the text of a secret becomes keys and values.
    pub enum ValueFormat {
        /// The text is a JSON object, whose members are the keys and values.
        Object => "object",
        /// The text is one value, whose key is the last segment of the path.
        Text => "text",
    }
}

pub(super) fn validate(pointer: &str, value: Option<String>, faults: &mut FaultCollector) -> Option<ValueFormat> {
    faults.require_one_of(pointer, value, ValueFormat::ALL, ValueFormat::as_str)
}
