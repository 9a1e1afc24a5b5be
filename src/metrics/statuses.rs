//! HTTP statuses as label values.

/// The statuses that are sent, each with its label value.
pub const STATUSES: [(u16, &str); 22] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (412, "412"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (505, "505"),
];

/// The label value of a status. `other` for a status that is not in [`STATUSES`].
pub fn status_label(status: u16) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("other", |(_, label)| label)
}
