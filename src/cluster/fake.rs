//! A fake API server with fixed answers, for answers that a real API server cannot be made to give.

use super::client::Cluster;
use crate::metrics::Metrics;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// One fake server; it ends with the test's runtime.
pub struct Fake {
    url: String,
    seen: Seen,
}

/// The request lines that a fake server has read.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// The lines so far, in alphabetical order.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap().clone();
        lines.sort();
        lines
    }
}

impl Fake {
    /// Answers everything with this status and body.
    pub async fn answering(status: u16, body: &str) -> Self {
        Self::listening([Some(answer(status, body)), Some(answer(status, body))]).await
    }

    /// Answers reviews with the first body, and reads with the second status and body.
    pub async fn saying(review: &str, read: (u16, &str)) -> Self {
        Self::listening([Some(answer(201, review)), Some(answer(read.0, read.1))]).await
    }

    /// Answers reviews with this body, and never answers reads.
    pub async fn only_reviewing(review: &str) -> Self {
        Self::listening([Some(answer(201, review)), None]).await
    }

    /// The requests that it reads.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Accepts connections and never answers.
    pub async fn silent() -> Self {
        Self::listening([None, None]).await
    }

    /// A port without a listener.
    pub async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), seen: Seen::default() }
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

    /// The answers to a `POST` and to others.
    async fn listening(answers: [Option<String>; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, seen) = (format!("http://{}", listener.local_addr().unwrap()), Seen::default());
        let noted = seen.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let ([to_post, to_others], noted) = (answers.clone(), noted.clone());
                tokio::spawn(async move {
                    // The requests of these tests fit into one segment.
                    let mut request = [0; 16 << 10];
                    let _ = stream.read(&mut request).await;
                    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                    let answer = if line.starts_with("POST") { to_post } else { to_others };
                    noted.0.lock().unwrap().push(line);
                    match answer {
                        Some(answer) => {
                            let _ = stream.write_all(answer.as_bytes()).await;
                            // Reads to the end, so that closing the socket does not reset data in flight.
                            while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, seen }
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
