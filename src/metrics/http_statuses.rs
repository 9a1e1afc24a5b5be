//! HTTP statuses as label values.

macro_rules! with_labels {
    ($($status:literal)+) => { &[$(($status, stringify!($status))),+] };
}

/// The statuses that are sent, each with its label value.
pub const STATUSES: &[(u16, &str)] =
    with_labels!(200 201 202 204 400 401 403 404 405 408 409 410 411 412 413 415 422 429 500 502 503 505);

/// The label value of a status. `other` for a status that is not in [`STATUSES`].
pub fn status_label(status: u16) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("other", |(_, label)| label)
}
