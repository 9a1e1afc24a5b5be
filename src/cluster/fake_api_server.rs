//! A fake API server with fixed responses, for responses that a real API server cannot be made to send.

use super::client::Cluster;
use crate::metrics::Metrics;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A fake server, which ends with the test's runtime.
pub struct FakeApiServer {
    url: String,
    requests: RequestLog,
}

/// The request lines that a fake server has received.
#[derive(Clone, Default)]
pub struct RequestLog(Arc<Mutex<Vec<String>>>);

impl RequestLog {
    /// The lines so far, in alphabetical order.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap().clone();
        lines.sort();
        lines
    }
}

impl FakeApiServer {
    /// Responds to all requests with this status and body.
    pub async fn responding(status: u16, body: &str) -> Self {
        Self::listening([Some(response(status, body)), Some(response(status, body))]).await
    }

    /// Responds to reviews with the first body, and to reads with the second status and body.
    pub async fn with_review_and_read(review: &str, (status, body): (u16, &str)) -> Self {
        Self::listening([Some(response(201, review)), Some(response(status, body))]).await
    }

    /// Responds to reviews with this body, and never responds to reads.
    pub async fn with_review(review: &str) -> Self {
        Self::listening([Some(response(201, review)), None]).await
    }

    /// The log of the requests. Later requests are added to it.
    pub fn requests(&self) -> RequestLog {
        self.requests.clone()
    }

    /// Accepts connections and never responds.
    pub async fn silent() -> Self {
        Self::listening([None, None]).await
    }

    /// A port without a listener.
    pub async fn unreachable() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), requests: RequestLog::default() }
    }

    /// The client under test.
    pub async fn cluster(&self) -> Cluster {
        self.cluster_with_metrics(Arc::new(Metrics::new(&[], &[]).unwrap())).await
    }

    /// The client under test, with these metrics.
    pub async fn cluster_with_metrics(&self, metrics: Arc<Metrics>) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&self.url)).unwrap();
        Cluster::connect(Some(&path), metrics).await.unwrap()
    }

    /// Sends the first response to a `POST`, and the second one to other requests.
    async fn listening(responses: [Option<String>; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, requests) = (format!("http://{}", listener.local_addr().unwrap()), RequestLog::default());
        let log = requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let ([to_post, to_others], log) = (responses.clone(), log.clone());
                tokio::spawn(async move {
                    // The requests of these tests fit into one segment.
                    let mut request = [0; 16 << 10];
                    let _ = stream.read(&mut request).await;
                    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                    let response = if line.starts_with("POST") { to_post } else { to_others };
                    log.0.lock().unwrap().push(line);
                    match response {
                        Some(response) => {
                            let _ = stream.write_all(response.as_bytes()).await;
                            // Reads to the end, so that closing the socket does not reset data in flight.
                            while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, requests }
    }
}

fn response(status: u16, body: &str) -> String {
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
