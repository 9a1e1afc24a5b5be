//! Accepted and refused certificates, checked by real handshakes with rustls on both sides.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// Starts a server that answers every request with `ok`. Returns its port.
async fn start_server(
    identity: &Identity,
    clients: Option<&Ca>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> u16 {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = [0; 4096];
                if stream.read(&mut request).await? > 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await?;
                    stream.shutdown().await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    port
}

/// A client with its own certificate files.
struct TestClient {
    trust: Trust,
    http: Client,
    _folder: TempDir,
}

impl TestClient {
    fn new(ca: &str, client: Option<&Identity>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let client = client.map(|identity| ClientCertificateFiles {
            certificate: write("client.pem", &identity.certificate),
            key: write("client.key", &identity.key),
        });
        let trust = Trust::open("vault", &TrustFiles { ca: Some(write("ca.pem", ca)), client }).unwrap();
        Self { http: http(&trust), trust, _folder: folder }
    }

    async fn request(&self, host: &str, port: u16) -> Result<(), Option<ConnectFailure>> {
        request(&self.trust, &self.http, host, port).await
    }
}

fn http(trust: &Trust) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = Client::builder().no_proxy().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0);
    builder.tls_backend_preconfigured(trust.client_config()).build().unwrap()
}

async fn request(trust: &Trust, http: &Client, host: &str, port: u16) -> Result<(), Option<ConnectFailure>> {
    let answer =
        http.get(format!("https://{host}:{port}/")).send().await.map_err(|error| trust.connect_failure(&error))?;
    assert_eq!(answer.status(), 200);
    Ok(())
}

const BOTH_VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn certificates_are_accepted_by_chain_or_exact_match_and_refusals_are_classified() {
    let (ca, other, namesake) = (Ca::new("one"), Ca::new("two"), Ca::new("one"));
    let good = params("localhost");
    let mut authority = good.clone();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut old = good.clone();
    (old.not_before, old.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let mut early = good.clone();
    (early.not_before, early.not_after) = (date_time_ymd(2901, 1, 1), date_time_ymd(2902, 1, 1));
    let elsewhere = params("elsewhere.example");

    let leaf = ca.sign(&good);
    let (alone, authority) = (self_signed(&good), self_signed(&authority));
    let (old_alone, elsewhere_alone) = (self_signed(&old), self_signed(&elsewhere));
    for (what, identity, ca_file, expected) in [
        ("signed by the CA", &leaf, ca.pem(), Ok(())),
        ("signed by one of two", &leaf, format!("{}{}", other.pem(), ca.pem()), Ok(())),
        ("signed by another CA", &leaf, other.pem(), Err(ConnectFailure::UnknownIssuer)),
        ("signed by a namesake", &leaf, namesake.pem(), Err(ConnectFailure::UnknownIssuer)),
        ("the leaf itself", &leaf, leaf.certificate.clone(), Ok(())),
        ("self-signed", &alone, alone.certificate.clone(), Ok(())),
        ("self-signed, not in the file", &alone, ca.pem(), Err(ConnectFailure::UnknownIssuer)),
        ("self-signed as a CA", &authority, authority.certificate.clone(), Ok(())),
        (
            "self-signed as a CA, with text and a byte order mark",
            &authority,
            format!("\u{feff}a CA\r\n{}", authority.certificate),
            Ok(()),
        ),
        ("self-signed as a CA, not in the file", &authority, ca.pem(), Err(ConnectFailure::CaAsEndEntity)),
        ("expired", &ca.sign(&old), ca.pem(), Err(ConnectFailure::Expired)),
        ("expired, in the file", &old_alone, old_alone.certificate.clone(), Err(ConnectFailure::Expired)),
        ("not yet valid", &ca.sign(&early), ca.pem(), Err(ConnectFailure::NotYetValid)),
        ("another name", &ca.sign(&elsewhere), ca.pem(), Err(ConnectFailure::WrongName)),
        (
            "another name, in the file",
            &elsewhere_alone,
            elsewhere_alone.certificate.clone(),
            Err(ConnectFailure::WrongName),
        ),
    ] {
        let port = start_server(identity, None, BOTH_VERSIONS).await;
        let client = TestClient::new(&ca_file, None);
        assert_eq!(client.request("localhost", port).await, expected.map_err(Some), "{what}");
    }
}

#[tokio::test]
async fn other_connection_failures_are_classified() {
    let ca = Ca::new("one");
    let client = TestClient::new(&ca.pem(), None);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    assert_eq!(client.request("127.0.0.1", port).await, Err(Some(ConnectFailure::Refused)));

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    assert_eq!(client.request("127.0.0.1", port).await, Err(Some(ConnectFailure::HandshakeFailed)));
    assert_eq!(client.request("no-such-host.invalid", 1).await, Err(Some(ConnectFailure::UnknownHost)));
}

#[tokio::test]
async fn a_client_certificate_is_sent_and_a_missing_one_is_reported() {
    let (ca, clients, others) = (Ca::new("one"), Ca::new("clients"), Ca::new("others"));
    let identity = ca.sign(&params("localhost"));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let port = start_server(&identity, Some(&clients), &[version]).await;
        let shown = clients.sign(&params("broker"));
        assert_eq!(TestClient::new(&ca.pem(), Some(&shown)).request("localhost", port).await, Ok(()));
        for _ in 0..20 {
            let wanted = Err(Some(ConnectFailure::ClientCertificateRequired));
            assert_eq!(TestClient::new(&ca.pem(), None).request("localhost", port).await, wanted, "{version:?}");
        }
        let foreign = others.sign(&params("broker"));
        let refused = TestClient::new(&ca.pem(), Some(&foreign)).request("localhost", port).await;
        assert_eq!(refused, Err(Some(ConnectFailure::ClientCertificateRequired)), "{version:?}");
    }
}

/// Replaces files as the kubelet does: writes them into a new folder, then renames a new link over the old one.
fn replace_files(folder: &Path, number: usize, texts: &[(&str, &str)]) {
    let version = folder.join(format!("..{number}"));
    std::fs::create_dir(&version).unwrap();
    for (name, text) in texts {
        std::fs::write(version.join(name), text).unwrap();
        let link = folder.join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    std::os::unix::fs::symlink(version.file_name().unwrap(), folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn replaced_files_are_reloaded_and_invalid_ones_ignored() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let ports = [
        start_server(&one.sign(&params("localhost")), None, BOTH_VERSIONS).await,
        start_server(&two.sign(&params("localhost")), None, BOTH_VERSIONS).await,
    ];
    let folder = tempfile::tempdir().unwrap();
    replace_files(folder.path(), 0, &[("ca.pem", &one.pem())]);
    let trust = Trust::open("vault", &TrustFiles { ca: Some(folder.path().join("ca.pem")), client: None }).unwrap();
    let http = http(&trust);
    let unknown = Err(Some(ConnectFailure::UnknownIssuer));
    // Three times, because a later handshake could resume the session of the first.
    for _ in 0..3 {
        assert_eq!(request(&trust, &http, "localhost", ports[0]).await, Ok(()));
        assert_eq!(request(&trust, &http, "localhost", ports[1]).await, unknown);
    }
    replace_files(folder.path(), 1, &[("ca.pem", &two.pem())]);
    for _ in 0..3 {
        assert_eq!(request(&trust, &http, "localhost", ports[0]).await, unknown, "a session was resumed");
        assert_eq!(request(&trust, &http, "localhost", ports[1]).await, Ok(()));
    }
    replace_files(folder.path(), 2, &[("ca.pem", "no certificate")]);
    assert_eq!(request(&trust, &http, "localhost", ports[1]).await, Ok(()));
    assert_eq!(trust.reload(), Err(TrustError::CaFile));
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    assert_eq!(request(&trust, &http, "localhost", ports[1]).await, Ok(()));
}

#[tokio::test]
async fn a_replaced_client_certificate_is_reloaded() {
    let (ca, clients, others) = (Ca::new("one"), Ca::new("clients"), Ca::new("others"));
    let port = start_server(&ca.sign(&params("localhost")), Some(&clients), BOTH_VERSIONS).await;
    let (good, bad) = (clients.sign(&params("broker")), others.sign(&params("broker")));
    let folder = tempfile::tempdir().unwrap();
    let files = |identity: &Identity| [("cert.pem", identity.certificate.clone()), ("key.pem", identity.key.clone())];
    let put = |number, identity: &Identity| {
        let files = files(identity);
        let texts: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        replace_files(folder.path(), number, &texts);
    };
    put(0, &bad);
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let place = |name: &str| folder.path().join(name);
    let client = ClientCertificateFiles { certificate: place("cert.pem"), key: place("key.pem") };
    let trust = Trust::open("vault", &TrustFiles { ca: Some(place("ca.pem")), client: Some(client) }).unwrap();
    let http = http(&trust);
    let refused = Err(Some(ConnectFailure::ClientCertificateRequired));
    assert_eq!(request(&trust, &http, "localhost", port).await, refused);
    put(1, &good);
    assert_eq!(request(&trust, &http, "localhost", port).await, Ok(()));
    // The key belongs to another certificate.
    put(2, &Identity { certificate: bad.certificate, key: good.key });
    assert_eq!(request(&trust, &http, "localhost", port).await, Ok(()));
    assert_eq!(trust.reload(), Err(TrustError::ClientCertificate));
}

#[test]
fn open_refuses_invalid_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let (one, two) = (self_signed(&params("a")), self_signed(&params("b")));
    for ca in
        [place("empty", ""), place("text", "no certificate"), folder.path().join("absent"), place("key", &one.key)]
    {
        let opened = Trust::open("vault", &TrustFiles { ca: Some(ca), client: None });
        assert_eq!(opened.err(), Some(TrustError::CaFile));
    }
    let ca = Some(place("ca", &one.certificate));
    let (certificate, key, other) = (place("cert", &one.certificate), place("a", &one.key), place("b", &two.key));
    for (certificate, key, good) in [(&certificate, &key, true), (&certificate, &other, false), (&key, &key, false)] {
        let client = Some(ClientCertificateFiles { certificate: certificate.clone(), key: key.clone() });
        let opened = Trust::open("vault", &TrustFiles { ca: ca.clone(), client });
        assert_eq!(opened.err(), (!good).then_some(TrustError::ClientCertificate));
    }
}
