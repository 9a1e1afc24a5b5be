//! The distinction between an explicit `null` and an absent field.

use serde::{Deserialize, Deserializer};

/// Decodes an optional field and refuses an explicit `null`. With `#[serde(default)]`, an absent field is `None`.
pub(super) fn refuse_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
