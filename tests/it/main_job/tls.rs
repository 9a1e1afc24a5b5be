//! TLS on both sides: the API listener's certificate, read again when its files change, and that of the store.

use crate::rig::bao::{Bao, until};
use crate::rig::installation::{Installation, InstallationSetup};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client};
use serde_json::json;
use std::path::Path;

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

/// Writes the certificate and key to the configured files.
fn install(folder: &Path, certificate: &CertifiedKey<KeyPair>) {
    std::fs::write(folder.join("tls.crt"), certificate.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
}

/// Whether a client that trusts only this certificate gets an answer; each call makes a new connection.
async fn trusts(rig: &Installation, certificate: &CertifiedKey<KeyPair>) -> bool {
    let root = Certificate::from_der(certificate.cert.der()).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    client.get(format!("https://{}/nothing", rig.claviger.api)).send().await.is_ok_and(|answer| answer.status() == 404)
}

#[tokio::test]
async fn the_certificate_is_replaced_by_a_valid_one_only() {
    let mut setup = InstallationSetup::new().await;
    let (first, second) = (certificate(), certificate());
    let folder = setup.folder.path().to_owned();
    install(&folder, &first);
    setup.config["server"] = json!({"tls": {"certFile": "tls.crt", "keyFile": "tls.key"}});
    let mut rig = setup.start();
    assert!(trusts(&rig, &first).await && !trusts(&rig, &second).await);

    install(&folder, &second);
    until("the second certificate", async || trusts(&rig, &second).await).await;
    assert!(!trusts(&rig, &first).await);

    // An invalid certificate, a key of another certificate, and no file at all.
    for (round, spoil) in [
        (&|| std::fs::write(folder.join("tls.crt"), "no certificate")) as &dyn Fn() -> std::io::Result<()>,
        &|| std::fs::write(folder.join("tls.crt"), first.cert.pem()),
        &|| std::fs::remove_file(folder.join("tls.key")),
    ]
    .into_iter()
    .enumerate()
    {
        spoil().unwrap();
        until("the error to be logged", async || rig.claviger.count_logged("certificate reload failed") == round + 1)
            .await;
        assert!(trusts(&rig, &second).await && !trusts(&rig, &first).await, "round {round}");
    }
    install(&folder, &first);
    until("the first certificate", async || trusts(&rig, &first).await).await;
    rig.claviger.wait_for_line("certificate reloaded");

    // A new file with the old modification time is noticed on a reload.
    let files = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    let dates = files.each_ref().map(|file| std::fs::metadata(file).unwrap().modified().unwrap());
    install(&folder, &second);
    for (file, date) in files.iter().zip(dates) {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(date).unwrap();
    }
    rig.claviger.signal("HUP");
    until("the second certificate again", async || trusts(&rig, &second).await).await;
}

#[tokio::test]
async fn the_walk_over_tls() {
    let mut setup = InstallationSetup::new().await;
    let certificate = certificate();
    install(setup.folder.path(), &certificate);
    setup.config["server"] = json!({"tls": {"certFile": "tls.crt", "keyFile": "tls.key"}});
    setup.bao.put("homelab/shared", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let root = Certificate::from_der(certificate.cert.der()).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let ask = client.post(format!("https://{}/v1/tickets", rig.claviger.api)).bearer_auth(&pod.pod.token);
    let ask = ask.header("Accept", "text/plain").header("Content-Type", "application/x-www-form-urlencoded");
    let url = ask.body("repo=site&branch=main").send().await.unwrap().text().await.unwrap();
    assert!(url.starts_with(&format!("https://{}/v1/downloads/", rig.claviger.api)), "{url}");
    let download = client.get(url.trim_end()).send().await.unwrap();
    assert_eq!(download.text().await.unwrap(), "export K='v'\n# claviger: 1 keys\n");
    assert_eq!(client.get(url.trim_end()).send().await.unwrap().status(), 410);
}

#[tokio::test]
async fn the_store_must_show_a_certificate_of_its_ca() {
    let mut setup = InstallationSetup::with(Bao::start_tls().await).await;
    setup.bao.put("homelab/shared", &[("K", "v")]).await;
    let ca_file = setup.bao.ca_file();
    setup.config["stores"][0]["vault"]["caFile"] = json!(ca_file);
    // The same store with an untrusted certificate.
    let other = certificate();
    std::fs::write(setup.folder.path().join("other-ca.pem"), other.cert.pem()).unwrap();
    let mut doubted = setup.config["stores"][0].clone();
    doubted["name"] = json!("doubted");
    doubted["vault"]["caFile"] = json!("other-ca.pem");
    setup.config["stores"].as_array_mut().unwrap().push(doubted);
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "doubted", "path": "homelab/shared"}]);
    setup.policy(
        "doubted",
        json!({"subjects": subjects, "repos": ["doubted"], "branches": ["main"], "secrets": secrets}),
    );
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    assert_eq!(pod.asks("site", "main").file(), "export K='v'\n# claviger: 1 keys\n");
    pod.asks("doubted", "main").assert_refused(503, "store_unavailable");
    let log = rig.claviger.log();
    assert!(log.contains("\"kind\":\"certificate_unknown_issuer\""), "{log}");
}
