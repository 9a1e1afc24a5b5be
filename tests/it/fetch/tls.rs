//! `claviger fetch` over TLS: a private CA, an untrusted certificate, and no downgrade to plain HTTP.

use super::{CommandOutput, fetch};
use crate::rig::claviger::{Claviger, Dev};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd, generate_simple_self_signed};
use std::path::Path;

/// `claviger dev` with its own certificate for this name; its CA file is `tls.crt` beside the key.
fn with_tls(folder: &Path, name: &str, environment: &[(&str, &str)]) -> Claviger {
    with_certificate(folder, &CertificateParams::new([name.to_owned()]).unwrap(), environment)
}

/// The same with any certificate.
fn with_certificate(folder: &Path, params: &CertificateParams, environment: &[(&str, &str)]) -> Claviger {
    let signing_key = KeyPair::generate().unwrap();
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, params.self_signed(&signing_key).unwrap().pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let files = [
        ("CLAVIGER__SERVER__TLS__CERTFILE", cert.to_str().unwrap()),
        ("CLAVIGER__SERVER__TLS__KEYFILE", key.to_str().unwrap()),
    ];
    Claviger::dev(&Dev { environment: &[&files, environment].concat(), ..Dev::default() })
}

fn fetch_with(claviger: &Claviger, arguments: &[&str]) -> CommandOutput {
    let main = ["--repo", "moreira.dev", "--branch", "main", "--timeout", "10s"];
    let server = format!("https://{}", claviger.api);
    fetch(&server, &claviger.folder.path().join("token"), &[&main, arguments].concat())
}

#[test]
fn only_a_certificate_of_the_ca_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "127.0.0.1", &[]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.text().ends_with("# claviger: 3 keys\n"));

    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other_ca = folder.path().join("other.crt");
    std::fs::write(&other_ca, other.cert.pem()).unwrap();
    let ran = fetch_with(&claviger, &["--ca-file", other_ca.to_str().unwrap()]);
    ran.assert_failed(1, "the server's certificate has an unknown issuer");
    let plain = fetch(
        &format!("http://{}", claviger.api),
        &claviger.folder.path().join("token"),
        &["--repo", "moreira.dev", "--branch", "main", "--timeout", "2s"],
    );
    assert_eq!((plain.code, plain.text()), (Some(4), ""), "{plain:?}");
}

#[test]
fn a_certificate_for_another_name_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "elsewhere.example", &[]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    ran.assert_failed(1, "the server's certificate is not valid for this host name");
    assert_eq!(claviger.audit_events().len(), 0, "no request was sent");
}

#[test]
fn a_server_with_a_ca_certificate_is_trusted_only_if_the_ca_file_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let claviger = with_certificate(folder.path(), &params, &[]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));

    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other_ca = folder.path().join("other.crt");
    std::fs::write(&other_ca, other.cert.pem()).unwrap();
    let ran = fetch_with(&claviger, &["--ca-file", other_ca.to_str().unwrap()]);
    ran.assert_failed(1, "the server's certificate is a CA certificate used as end entity");
}

#[test]
fn an_expired_certificate_and_a_refused_connection_have_their_own_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let claviger = with_certificate(folder.path(), &params, &[]);
    let ca = folder.path().join("tls.crt");
    fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()])
        .assert_failed(1, "the server's certificate has expired");

    let arguments = ["--repo", "moreira.dev", "--branch", "main", "--timeout", "1s", "--ca-file", ca.to_str().unwrap()];
    let nobody = fetch("https://127.0.0.1:1", &claviger.folder.path().join("token"), &arguments);
    assert_eq!((nobody.code, nobody.text()), (Some(4), ""), "{nobody:?}");
    assert!(nobody.stderr.contains("the connection is refused"), "{nobody:?}");
}

#[test]
fn a_url_without_tls_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "127.0.0.1", &[("CLAVIGER__SERVER__PUBLICURL", "http://127.0.0.1:1")]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    ran.assert_failed(1, "the ticket's URL is not https");
    assert!(!ran.stderr.contains("127.0.0.1:1/"), "{ran:?}");
}
