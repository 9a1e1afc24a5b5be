//! Declares extractors: values that handlers take from the head of a request.

/// Implements the extraction of a type. `$value` is a `Result` of this type or `ApiError`.
macro_rules! extract {
    ($type:ty, |$parts:ident| $value:expr) => {
        impl axum::extract::FromRequestParts<$crate::http::state::HttpState> for $type {
            type Rejection = $crate::http::responses::ApiError;

            async fn from_request_parts(
                $parts: &mut http::request::Parts,
                _: &$crate::http::state::HttpState,
            ) -> Result<Self, Self::Rejection> {
                $value
            }
        }
    };
}
