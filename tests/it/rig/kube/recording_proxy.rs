//! A proxy in front of the API server that counts requests; it forwards only GET.

use super::{ControlPlane, User};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A proxy; it ends with the test's runtime.
pub struct RecordingProxy {
    /// A kubeconfig for the proxy.
    pub kubeconfig: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl RecordingProxy {
    /// Starts a proxy that uses the API server as this user.
    pub async fn start(plane: &ControlPlane, user: User) -> Self {
        let (client, asked) = (plane.client(user).await, Arc::<Mutex<Vec<String>>>::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = plane.kubeconfig_for_server(user, &format!("http://{}", listener.local_addr().unwrap()));
        let proxy = Self { kubeconfig, asked: asked.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (client, asked) = (client.clone(), asked.clone());
                let service = service_fn(move |request| forward(client.clone(), asked.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        proxy
    }

    /// The requested paths since the last call, sorted.
    pub fn take_requests(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        // The broker reads the admission policy independently of the test.
        asked.retain(|path| !path.contains("admissionregistration"));
        asked.sort();
        asked
    }
}

async fn forward(
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    asked.lock().unwrap().push(path.clone());
    let onward = Request::get(path).body(kube::client::Body::empty()).unwrap();
    let answer = client.send(onward).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::builder().status(status).body(Full::new(body)).unwrap())
}
