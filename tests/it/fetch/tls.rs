//! `claviger fetch` over TLS: a private CA, a certificate of nobody, and no way back to plain HTTP.

use super::{Ran, fetch};
use crate::rig::claviger::{Claviger, Dev};
use rcgen::generate_simple_self_signed;
use std::path::Path;

/// `claviger dev` with a certificate of its own for this name; its CA file is `tls.crt` beside the key.
fn with_tls(folder: &Path, name: &str, environment: &[(&str, &str)]) -> Claviger {
    let certificate = generate_simple_self_signed([name.to_owned()]).unwrap();
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let files = [
        ("CLAVIGER__SERVER__TLS__CERTFILE", cert.to_str().unwrap()),
        ("CLAVIGER__SERVER__TLS__KEYFILE", key.to_str().unwrap()),
    ];
    Claviger::dev(&Dev { environment: &[&files, environment].concat(), ..Dev::default() })
}

fn fetch_with(claviger: &Claviger, arguments: &[&str]) -> Ran {
    let main = ["--repo", "moreira.dev", "--branch", "main", "--timeout", "10s"];
    let server = format!("https://{}", claviger.api);
    fetch(&server, &claviger.folder.path().join("token"), &[&main, arguments].concat())
}

#[test]
fn only_a_certificate_of_the_ca_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "127.0.0.1", &[]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
    assert!(ran.text().ends_with("# claviger: 3 keys\n"));

    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other_ca = folder.path().join("other.crt");
    std::fs::write(&other_ca, other.cert.pem()).unwrap();
    let ran = fetch_with(&claviger, &["--ca-file", other_ca.to_str().unwrap()]);
    ran.failed(1, "the server's certificate is not one to be trusted");
    let plain = fetch(
        &format!("http://{}", claviger.api),
        &claviger.folder.path().join("token"),
        &["--repo", "moreira.dev", "--branch", "main", "--timeout", "2s"],
    );
    assert_eq!((plain.code, plain.text()), (Some(4), ""), "{plain:?}");
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "elsewhere.example", &[]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    ran.failed(1, "the server's certificate is not one to be trusted");
    assert_eq!(claviger.audit_events().len(), 0, "nothing was asked");
}

#[test]
fn a_url_without_tls_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = with_tls(folder.path(), "127.0.0.1", &[("CLAVIGER__SERVER__PUBLICURL", "http://127.0.0.1:1")]);
    let ca = folder.path().join("tls.crt");
    let ran = fetch_with(&claviger, &["--ca-file", ca.to_str().unwrap()]);
    ran.failed(1, "the ticket's URL is not https");
    assert!(!ran.said.contains("127.0.0.1:1/"), "{ran:?}");
}
