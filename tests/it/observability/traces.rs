//! Traces at a real OTLP receiver: one trace per request, correct parents, only values of closed sets.

use crate::rig::claviger::{Claviger, download_path, wait_until};
use crate::rig::http::Answer;
use crate::rig::installation::InstallationSetup;
use crate::rig::oidc::TestServer;
use crate::rig::rotel::{Rotel, Span};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// All attributes that a span may have.
const SAYS: [&str; 6] =
    ["http.request.method", "http.route", "http.response.status_code", "error.type", "claviger.request_id", "traceId"];

fn server_with_traces(endpoint: &str) -> TestServer {
    TestServer::start(
        &json!({"homelab/site/main": {"TOKEN": "canary-value"}}),
        &[("site-policy", crate::rig::oidc::allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &json!({"telemetry": {"otlpEndpoint": endpoint, "logLevel": "trace"}}),
        &[],
    )
}

fn spans_of(rotel: &Rotel, request: &Answer) -> (Span, Vec<Span>) {
    let id = request.header("x-request-id").unwrap();
    let root = |spans: &[Span]| {
        spans
            .iter()
            .find(|span| span.attributes.get("claviger.request_id").is_some_and(|told| told.contains(&id)))
            .cloned()
    };
    let mut found = None;
    wait_until("the root span", || {
        found = root(&rotel.spans());
        found.is_some()
    });
    let root = found.unwrap();
    let below = rotel.spans().into_iter().filter(|span| span.trace == root.trace && span.id != root.id).collect();
    (root, below)
}

fn names(spans: &[Span]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn event(claviger: &Claviger, request: &Answer) -> Value {
    let id = request.header("x-request-id").unwrap();
    claviger.audit_events().into_iter().find(|event| event["requestId"] == id.as_str()).unwrap()
}

#[test]
fn a_request_is_one_trace_of_closed_attributes() {
    let rotel = Rotel::start();
    let mut server = server_with_traces(&rotel.address);
    let (token, bad) = (server.issuer.token(&json!({})), server.issuer.token(&json!({"aud": "other"})));
    let issued = server.ask(&token, "repo=site&branch=main");
    let path = download_path(&issued);
    let redeemed = server.download(&format!("{path}?format=json"));
    let again = server.download(&path);
    let refused = server.ask(&bad, "repo=site&branch=main");
    assert_eq!([issued.status, redeemed.status, again.status, refused.status], [201, 200, 410, 401]);

    let (root, below) = spans_of(&rotel, &issued);
    assert_eq!(root.name, "POST /v1/tickets");
    assert_eq!(names(&below), BTreeSet::from(["authn", "attest", "policy", "stores", "tickets", "audit"]));
    assert!(below.iter().all(|span| span.parent == root.id), "{below:#?}");
    assert!(root.parent.chars().all(|digit| digit == '0'), "the root span has no parent: {root:?}");
    assert_eq!(event(&server, &issued)["traceId"], root.trace.as_str());

    let (root, below) = spans_of(&rotel, &redeemed);
    assert_eq!(root.name, "GET /v1/downloads/{ticket}");
    assert_eq!(names(&below), BTreeSet::from(["tickets", "render", "audit"]));
    assert!(below.iter().all(|span| span.parent == root.id), "{below:#?}");
    assert_eq!(event(&server, &redeemed)["traceId"], root.trace.as_str());

    for (answer, code, stages) in
        [(&again, "ticket_redeemed", vec!["tickets", "audit"]), (&refused, "unauthenticated", vec!["authn"])]
    {
        let (root, below) = spans_of(&rotel, answer);
        assert!(root.attributes["error.type"].contains(code), "{root:?}");
        assert_eq!(names(&below), stages.into_iter().collect());
    }

    // The end of the process sends the remaining spans, and every span belongs to a request.
    server.signal("INT");
    server.wait(std::time::Duration::from_secs(10));
    let spans = rotel.spans();
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let roots: Vec<&Span> = spans.iter().filter(|span| !ids.contains(span.parent.as_str())).collect();
    assert_eq!(roots.len(), 4, "{roots:#?}");
    for span in &spans {
        for name in span.attributes.keys() {
            assert!(SAYS.contains(&name.as_str()), "{name}: {span:?}");
        }
    }
    let said = rotel.text();
    let segment = path.rsplit('/').next().unwrap();
    for secret in ["canary-value", "homelab", "site-policy", "build-1", segment, token.as_str(), bad.as_str()] {
        assert!(!said.contains(secret), "{secret} is in a trace");
    }
    assert!(said.contains("POST /v1/tickets"), "the search finds the span names");
}

#[test]
fn a_callers_trace_context_sets_the_parent_only() {
    let rotel = Rotel::start();
    let server = server_with_traces(&rotel.address);
    let token = format!("Bearer {}", server.issuer.token(&json!({})));
    let ask = |traceparent: &str| {
        let headers = [
            ("Authorization", token.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("traceparent", traceparent),
            ("tracestate", "vendor=hunter2"),
        ];
        server.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main")
    };
    // A request that its caller marked as not sampled is traced too.
    let (root, below) = spans_of(&rotel, &ask("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
    assert_eq!((root.trace.as_str(), root.parent.as_str()), ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"));
    assert!(below.iter().all(|span| span.trace == root.trace && span.parent == root.id));
    for bad in ["00-hunter2-b7ad6b7169203331-01", "hunter2", "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
    {
        let answer = ask(bad);
        assert_eq!(answer.status, 201);
        let (root, _) = spans_of(&rotel, &answer);
        assert!(root.parent.chars().all(|digit| digit == '0'), "{root:?}");
        assert_eq!(event(&server, &answer)["traceId"], root.trace.as_str());
    }
    assert!(!rotel.text().contains("hunter2"));
}

#[test]
fn without_an_endpoint_nothing_is_traced() {
    let server = TestServer::with_one_secret();
    let answer = server.asks("repo=site&branch=main");
    assert_eq!(answer.status, 201);
    assert!(event(&server, &answer)["traceId"].is_null());
}

#[test]
fn an_unreachable_receiver_delays_no_request() {
    let mut server = server_with_traces("http://127.0.0.1:9");
    let path = server.new_download_path();
    assert_eq!(server.download(&path).status, 200);
    server.wait_for_line("trace export failed");
}

/// Forwards connections, and records what clients send.
fn recording_relay(server_address: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let keep = heard.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(server_address).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let keep = keep.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    keep.lock().unwrap().extend(&buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
        }
    });
    (address, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_context_is_sent_to_the_store() {
    let rotel = Rotel::start();
    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("TOKEN", "v")]).await;
    let (address, heard) = recording_relay(setup.bao.address.strip_prefix("http://").unwrap().parse().unwrap());
    setup.config["stores"][0]["vault"]["address"] = json!(format!("http://{address}"));
    setup.config["telemetry"] = json!({"otlpEndpoint": rotel.address});
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let answered = pod.asks("site", "main");
    let path = answered.ticket();
    assert_eq!(rig.claviger.download(&path).status, 200);
    let (root, below) = spans_of(&rotel, &answered.answer);
    assert!(names(&below).contains("stores"), "{below:?}");
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let reads: Vec<&str> = heard.split("GET /v1/homelab/data/").skip(1).collect();
    assert!(!reads.is_empty());
    let stores = below.iter().find(|span| span.name == "stores").unwrap();
    let told = format!("traceparent: 00-{}-{}-01", root.trace, stores.id);
    assert!(reads.iter().all(|read| read.contains(&told)), "{told} is not in all {} reads", reads.len());
    let foreign: Vec<_> = below.iter().filter(|span| span.name.contains("HTTP") || span.name.contains('/')).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
