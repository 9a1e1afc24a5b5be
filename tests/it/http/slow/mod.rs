//! Slow connections: seven shapes and an eighth that reads too slowly, over plain TCP and TLS, each closed in time
//! while honest clients are served.
//!
//! `CLAVIGER_SLOW` sets the number of each shape (`make slow`). From a hundred on, the limits are those of the
//! default configuration, and the latency of honest clients is compared with a run without slow connections.

mod attack;
mod honest;

use crate::rig::claviger::wait_until;
use crate::rig::http::{parse, read_until_closed};
use crate::rig::oidc::{TestServer, allow};
use crate::rig::scale::scale;
use attack::{Attack, Shape};
use honest::{Honest, Waits};
use rcgen::generate_simple_self_signed;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// The sizes, limits and tolerances of a test.
#[derive(Clone, Copy)]
struct Parameters {
    of_each: u32,
    /// The minimum number of open connections of all shapes: each is opened again after it was closed, and for
    /// unread ones the close is noticed a while later.
    held: u32,
    header_timeout: Duration,
    request_timeout: Duration,
    /// The tolerance for the close of a connection, because the machine may be busy.
    grace: Duration,
    /// The duration of each measurement of honest clients.
    watched: Duration,
    /// The accepted latency of honest clients: the factor, and an absolute addition.
    slower: (u32, Duration),
}

impl Parameters {
    fn new() -> Self {
        let seconds = Duration::from_secs;
        match u32::try_from(scale("CLAVIGER_SLOW", 25)).unwrap() {
            of_each @ ..100 => Self {
                of_each,
                held: of_each * 5,
                header_timeout: seconds(1),
                request_timeout: Duration::from_millis(1500),
                grace: seconds(4),
                watched: seconds(3),
                slower: (10, seconds(1)),
            },
            of_each => Self {
                of_each,
                held: of_each * 7,
                header_timeout: seconds(5),
                request_timeout: seconds(15),
                grace: seconds(5),
                watched: seconds(30),
                slower: (3, Duration::from_millis(20)),
            },
        }
    }

    fn connections(&self) -> u32 {
        self.of_each * u32::try_from(Shape::ALL.len()).unwrap()
    }
}

/// Raises the limit of descriptors for this process, which holds the client end of every slow connection, and for
/// the servers that it starts.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

fn start_server(parameters: &Parameters, tls: Option<&TempDir>) -> TestServer {
    let mut config = json!({"limits": {
        "headerTimeout": format!("{}ms", parameters.header_timeout.as_millis()),
        "requestTimeout": format!("{}ms", parameters.request_timeout.as_millis()),
    }});
    if let Some(folder) = tls {
        let at = |name: &str| folder.path().join(name);
        config["server"] = json!({"tls": {"certFile": at("tls.crt"), "keyFile": at("tls.key")}});
    }
    TestServer::start(
        &json!({"homelab/site/main": {"TOKEN": "s3cret"}}),
        &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))],
        &config,
        &[],
    )
}

/// Measures honest clients beside slow connections, and alone before and after.
fn assert_served_beside_slow_connections(
    what: &str,
    server: &TestServer,
    certificate: Option<CertificateDer<'static>>,
    parameters: Parameters,
) {
    let honest = Honest::new(server, certificate.clone());
    let mut alone = honest.watch(parameters.watched / 2);
    let before = server.resident_memory();

    let attack = Arc::new(Attack::new(server, certificate, parameters));
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let held = runtime.spawn(attack.run(stopped));
    let open = || server.metric("claviger_http_connections");
    wait_until("the slow connections", || open() >= f64::from(parameters.held));
    let beside = Waits::new(honest.watch(parameters.watched));
    let (still_open, grown) = (open(), server.resident_memory().saturating_sub(before));
    stop.send(true).unwrap();

    let held = runtime.block_on(held).unwrap();
    wait_until("the last slow connection to be closed", || open() < 1.0);
    alone.extend(honest.watch(parameters.watched / 2));
    let alone = Waits::new(alone);
    println!(
        "{what}: {still_open} connections, {} closed; honest clients alone {alone}, beside them {beside}; {} KiB a connection",
        held.values().map(|held| held.closed).sum::<u32>(),
        grown / 1024 / u64::from(parameters.connections())
    );
    for (shape, held) in &held {
        println!("  {shape}: {} closed, the last after {:?}", held.closed, held.longest);
        assert!(held.wrong.is_empty(), "{what}, {shape}: {:?}", held.wrong.first());
        assert!(held.closed >= parameters.of_each, "{what}, {shape}: {} were closed", held.closed);
    }
    assert!(still_open >= f64::from(parameters.held), "{what}: {still_open} were held");
    assert!(grown < (128 << 10) * u64::from(parameters.connections()) + (32 << 20), "{what}: {grown} bytes");
    let (times, more) = parameters.slower;
    assert!(beside.p99 <= alone.p99 * times + more, "{what}: alone {alone}, beside slow connections {beside}");
}

#[test]
fn slow_connections_are_closed_in_time_and_honest_clients_are_served() {
    raise_descriptors();
    let parameters = Parameters::new();
    assert_served_beside_slow_connections("plain", &start_server(&parameters, None), None, parameters);
}

#[test]
fn slow_tls_connections_and_handshakes_are_closed_in_time_and_honest_clients_are_served() {
    raise_descriptors();
    let parameters = Parameters::new();
    let folder = tempfile::tempdir().unwrap();
    let certificate = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("tls.crt"), certificate.cert.pem()).unwrap();
    std::fs::write(folder.path().join("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
    assert_served_beside_slow_connections(
        "TLS",
        &start_server(&parameters, Some(&folder)),
        Some(certificate.cert.der().clone()),
        parameters,
    );
}

#[test]
fn a_patient_client_within_the_limits_is_served() {
    let parameters = Parameters {
        header_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_millis(1500),
        ..Parameters::new()
    };
    let server = start_server(&parameters, None);
    let bearer = server.issuer.token(&json!({}));
    let body = "repo=site&branch=main";
    let head = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server.api).unwrap();
    for piece in [head.as_str(), "Connection: close\r\n\r\n", &body[..10], &body[10..]] {
        stream.write_all(piece.as_bytes()).unwrap();
        sleep(Duration::from_millis(150));
    }
    let ended = read_until_closed(&mut stream, Duration::from_secs(4));
    assert_eq!(parse(&ended.bytes).status, 201);
}
