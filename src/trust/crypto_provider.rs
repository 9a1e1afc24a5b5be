//! The cryptography provider for TLS.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
