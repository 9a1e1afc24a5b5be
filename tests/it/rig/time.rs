//! The paused clock of a test's runtime.

use std::time::Duration;

/// Advances tokio's clock at once.
pub async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}
