//! TLS to PostgreSQL: the server's certificate, its name, and a client certificate.

use super::*;
use crate::rig::postgres::Postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for names, as the content of its two files.
    fn issue(&self, names: &[&str], common: &str) -> (String, String) {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server with TLS. It requires a client certificate of the authority for the user `mutual`.
async fn server(authority: &Authority, names: &[&str]) -> (Postgres, String) {
    let server = Postgres::start(&[]).unwrap();
    let url = server.database().await;
    let (certificate, key) = authority.issue(names, "server");
    let data = server.folder().join("data");
    let access = "hostssl all mutual all cert clientcert=verify-full\nhost all all all scram-sha-256\n";
    let ca = authority.issuer.pem();
    for (name, text) in
        [("server.crt", &*certificate), ("server.key", &*key), ("ca.crt", &*ca), ("pg_hba.conf", access)]
    {
        write_as_postgres(&data.join(name), text);
    }
    for sql in [
        "CREATE USER mutual SUPERUSER",
        "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        server.execute_in(&url, sql.to_owned()).await;
    }
    let url = url.replace("sslmode=disable", "application_name=test");
    // The server reloads in its own time.
    let deadline = Instant::now() + Duration::from_secs(20);
    while open(with(&url, "sslmode=require")).await.is_err() {
        assert!(Instant::now() < deadline, "no TLS");
    }
    (server, url)
}

fn write_as_postgres(path: &Path, text: &str) {
    let folder = fs::metadata(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    chown(path, Some(folder.uid()), Some(folder.gid())).unwrap();
}

fn roots(file: &Path) -> String {
    format!("sslrootcert={}", file.display())
}

#[tokio::test]
async fn the_ca_and_the_host_name_of_the_server_are_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_server, url) = server(&authority, &["localhost"]).await;
    let by_name = url.replace("@127.0.0.1:", "@localhost:");
    let good = format!("sslmode=verify-full&{}", roots(&authority.path("ca.pem")));
    let database = open(with(&by_name, &good)).await.unwrap();
    let tls = "SELECT CAST(ssl AS TEXT) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(query(&database, tls).await, "true");
    for (url, options) in [
        // Another name than that of the certificate.
        (&url, good.clone()),
        // Another authority, and the public ones.
        (&by_name, format!("sslmode=verify-full&{}", roots(&other.path("ca.pem")))),
        (&by_name, "sslmode=verify-full".to_owned()),
        (&by_name, "sslrootcert=system".to_owned()),
        (&by_name, format!("sslmode=require&{}", roots(&other.path("ca.pem")))),
    ] {
        let error = open(with(url, &options)).await.unwrap_err();
        assert!(matches!(error, OpenError::Sqlx(_)), "{options}: {error:?}");
    }
    // verify-ca, as in libpq, also by require with a file: the name is not compared.
    for mode in ["verify-ca", "require"] {
        open(with(&url, &format!("sslmode={mode}&{}", roots(&authority.path("ca.pem"))))).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_client_certificate_replaces_the_password() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, url) = server(&authority, &["127.0.0.1"]).await;
    let url = url.replace(&format!("claviger:{}@", server.password()), "mutual@");
    let files = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.issue(&[], name);
        let (certificate_file, key_file) =
            (authority.path(&format!("{name}.crt")), authority.path(&format!("{name}.key")));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        format!("sslcert={}&sslkey={}", certificate_file.display(), key_file.display())
    };
    let checked = format!("sslmode=verify-full&{}", roots(&authority.path("ca.pem")));
    let database = open(with(&url, &format!("{checked}&{}", files(&authority, "mutual")))).await.unwrap();
    assert_eq!(query(&database, "SELECT CAST(current_user AS TEXT)").await, "mutual");
    for refused in
        [format!("&{}", files(&authority, "another")), format!("&{}", files(&other, "mutual")), String::new()]
    {
        assert!(open(with(&url, &format!("{checked}{refused}"))).await.is_err(), "{refused}");
    }
}
