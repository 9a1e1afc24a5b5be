//! A listener that answers every request the same way, for the answers a real API server cannot be brought to give.

use super::Cluster;
use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// One such listener; it ends with the test's runtime.
pub struct Fake {
    url: String,
}

impl Fake {
    /// Answers with this status and body.
    pub async fn answering(status: u16, body: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        Self::listening(Some(answer)).await
    }

    /// Accepts and says nothing.
    pub async fn silent() -> Self {
        Self::listening(None).await
    }

    /// A port that nobody listens on.
    pub async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()) }
    }

    /// The client under test.
    pub async fn cluster(&self) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&self.url)).unwrap();
        Cluster::connect(Some(&path), Arc::new(Metrics::new(&[], &[]).unwrap())).await.unwrap()
    }

    async fn listening(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    // Our requests fit into one segment.
                    let mut request = [0; 64 << 10];
                    let _ = stream.read(&mut request).await;
                    match answer {
                        Some(answer) => {
                            let _ = stream.write_all(answer.as_bytes()).await;
                            // Read to the end, so that closing does not reset what is still on its way.
                            while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { url }
    }
}

/// A kubeconfig for a server without TLS.
pub fn kubeconfig(server: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{token: broker}}}}]}}"
    )
}
