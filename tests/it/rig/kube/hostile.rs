//! The API server of a cluster with a hostile owner: it accepts every token, allows everything, and records what
//! it receives. No real API server does that.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A server; it ends with the test's runtime.
pub struct HostileApiServer {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HostileApiServer {
    /// Every token authenticates as this user.
    pub async fn authenticating_as(user: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (user, seen) = (Arc::new(user), asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (user, seen) = (user.clone(), seen.clone());
                let service = service_fn(move |request| answer(user.clone(), seen.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked }
    }

    /// Writes a kubeconfig for it into a folder.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("hostile-kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.address}}],
            "users": [{"name": "u", "user": {"token": "own"}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// The requests since the last call: method, path and body.
    pub fn take_requests(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        // The broker reads the admission policy independently of the test.
        asked.retain(|request| !request.contains("admissionregistration"));
        asked
    }
}

async fn answer(
    user: Arc<Value>,
    seen: Arc<Mutex<Vec<String>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push(format!("{method} {path} {}", String::from_utf8_lossy(&body)));
    let (status, body) = match (method, path.rsplit('/').next()) {
        (Method::POST, Some("tokenreviews")) => (
            201,
            json!({"kind": "TokenReview",
                "status": {"authenticated": true, "audiences": ["claviger"], "user": *user}}),
        ),
        (Method::POST, Some("subjectaccessreviews")) => {
            (201, json!({"kind": "SubjectAccessReview", "status": {"allowed": true}}))
        }
        (Method::GET, Some(_)) => (
            200,
            json!({"kind": "Pod", "metadata": {"uid": "u"}, "spec": {"serviceAccountName": "build-bot"},
                "status": {"phase": "Running"}}),
        ),
        _ => (404, json!({"kind": "Status", "reason": "NotFound"})),
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(body.to_string()))).unwrap())
}
