//! The type of a page of a list, which all lists of the REST API share.

/// Declares a page: its items, and the continuation token of the next page.
macro_rules! page {
    ($(#[$doc:meta])* $name:ident { $(#[$items_attribute:meta])* items: $item:ty }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
        pub struct $name {
            $(#[$items_attribute])*
            pub items: Vec<$item>,
            /// Continuation token of the next page; absent on the last page.
            #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
            pub continue_token: Option<String>,
        }
    };
}
pub(super) use page;
