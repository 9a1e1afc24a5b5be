//! A fake API server with fixed answers, for answers that a real API server cannot be made to give.

use super::client::Cluster;
use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// One fake server; it ends with the test's runtime.
pub struct Fake {
    url: String,
}

impl Fake {
    /// Answers everything with this status and body.
    pub async fn answering(status: u16, body: &str) -> Self {
        Self::listening(Some([answer(status, body), answer(status, body)])).await
    }

    /// Answers reviews with the first body, and reads with the second status and body.
    pub async fn saying(review: &str, read: (u16, &str)) -> Self {
        Self::listening(Some([answer(201, review), answer(read.0, read.1)])).await
    }

    /// Accepts connections and never answers.
    pub async fn silent() -> Self {
        Self::listening(None).await
    }

    /// A port without a listener.
    pub async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()) }
    }

    /// The client under test.
    pub async fn cluster(&self) -> Cluster {
        self.cluster_counting(Arc::new(Metrics::new(&[], &[]).unwrap())).await
    }

    /// The client under test, with these metrics.
    pub async fn cluster_counting(&self, metrics: Arc<Metrics>) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&self.url)).unwrap();
        Cluster::connect(Some(&path), metrics).await.unwrap()
    }

    async fn listening(answers: Option<[String; 2]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answers = answers.clone();
                tokio::spawn(async move {
                    // The requests of these tests fit into one segment.
                    let mut request = [0; 16 << 10];
                    let _ = stream.read(&mut request).await;
                    match answers {
                        Some([to_post, to_others]) => {
                            let answer = if request.starts_with(b"POST") { to_post } else { to_others };
                            let _ = stream.write_all(answer.as_bytes()).await;
                            // Reads to the end, so that closing the socket does not reset data in flight.
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

fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A kubeconfig for a server without TLS.
pub fn kubeconfig(server: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{token: canary-own-token}}}}]}}"
    )
}
