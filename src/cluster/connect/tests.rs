//! Kubeconfigs of every kind: the resulting client, or the field with the fault.

use super::*;
use crate::cluster::fake_api_server;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::{fs, io};
use tempfile::TempDir;

const USER: &str = "/users/0/user";
const CLUSTER: &str = "/clusters/0/cluster";

/// A folder with files that a kubeconfig can name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let server = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        for (name, text) in [
            ("token", "from-file\n".to_owned()),
            ("two-lines", "from\nfile".to_owned()),
            ("empty", " \n".to_owned()),
            ("cert.pem", server.cert.pem()),
            ("key.pem", server.signing_key.serialize_pem()),
            ("other-key.pem", other.signing_key.serialize_pem()),
        ] {
            fs::write(folder.path(name), text).unwrap();
        }
        fs::write(folder.path("binary"), [0xff, 0xfe]).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a valid kubeconfig with other members in the objects at these JSON pointers.
    fn write(&self, changes: &[(&str, Value)]) -> PathBuf {
        let mut tree: Value = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "cert.pem"}}],
            "users": [{"name": "u", "user": {}}],
        });
        for (pointer, members) in changes {
            let object = tree.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            object.extend(members.as_object().unwrap().clone());
        }
        let path = self.path("kubeconfig");
        fs::write(&path, tree.to_string()).unwrap();
        path
    }

    fn open(&self, changes: &[(&str, Value)]) -> Result<Connection, ConnectError> {
        Connection::open(Some(&self.write(changes)))
    }

    /// The `Authorization` that is sent, or the error.
    fn authorization(&self, user: Value) -> Result<Option<String>, String> {
        match self.open(&[(USER, user)]) {
            Ok(connection) => Ok(connection.authorization.map(|header| header.to_str().unwrap().to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[tokio::test]
async fn a_token_is_trimmed_and_a_token_file_takes_precedence() {
    let folder = Folder::new();
    let bearer = |token: &str| Ok(Some(format!("Bearer {token}")));
    for (user, expected) in [
        (json!({}), Ok(None)),
        (json!({"token": ""}), Ok(None)),
        (json!({"token": "abc"}), bearer("abc")),
        (json!({"token": "abc\n"}), bearer("abc")),
        (json!({"token": " abc\r\n"}), bearer("abc")),
        (json!({"tokenFile": "token"}), bearer("from-file")),
        (json!({"token": "abc", "tokenFile": ""}), bearer("abc")),
        (json!({"tokenFile": "", "client-certificate": "", "client-key": ""}), Ok(None)),
        (json!({"tokenFile": folder.path("token")}), bearer("from-file")),
        (json!({"token": "abc", "tokenFile": "token"}), bearer("from-file")),
        (json!({"token": "a\nb", "tokenFile": "token"}), bearer("from-file")),
        (json!({"token": "abc", "tokenFile": "nowhere"}), bearer("abc")),
        (json!({"token": "abc", "tokenFile": "empty"}), bearer("abc")),
        (json!({"token": "abc", "exec": {"command": "/nonexistent"}}), bearer("abc")),
        // `kube` adds this header itself.
        (json!({"username": "u", "password": "p\n", "token": "abc"}), Ok(None)),
    ] {
        assert_eq!(folder.authorization(user.clone()), expected, "{user}");
    }
}

#[tokio::test]
async fn a_value_that_no_header_can_carry_is_a_fault_of_its_field() {
    let folder = Folder::new();
    for (user, fault) in [
        (
            json!({"token": "hunter2\nx"}),
            "users[0].user.token: the token has a character that no HTTP header can carry",
        ),
        (json!({"token": "hunter2\u{0}"}), "users[0].user.token: the token has a character"),
        (json!({"token": " \n"}), "users[0].user.token: holds no token"),
        (json!({"tokenFile": "two-lines"}), "users[0].user.tokenFile: the token has a character"),
        (json!({"token": "abc", "tokenFile": "two-lines"}), "users[0].user.tokenFile: the token has a character"),
        (json!({"tokenFile": "empty"}), "users[0].user.tokenFile: the file holds no token"),
        (json!({"tokenFile": "binary"}), "users[0].user.tokenFile: the file is not text"),
        (json!({"tokenFile": "nowhere"}), "users[0].user.tokenFile: there is no such file"),
        (json!({"tokenFile": "."}), "users[0].user.tokenFile: is not a file"),
        (json!({"token": "abc\n", "as": "a\nb"}), "users[0].user.as: has a character that no HTTP header can carry"),
        (json!({"as": "a", "as-groups": ["b", "c\r\n"]}), "users[0].user.as-groups: has a character"),
        (json!({"as": "a", "as-user-extra": {"k": ["c\n"]}}), "users[0].user.as-user-extra: has a character"),
        (
            json!({"auth-provider": {"name": "oidc", "config": {"id-token": "hunter2\nx"}}}),
            "users[0].user.auth-provider.config.id-token: the token has a character",
        ),
    ] {
        let error = folder.authorization(user.clone()).expect_err("refused");
        assert!(error.starts_with(fault) && !error.contains("; "), "{user}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let provider = json!({"auth-provider": {"name": "oidc", "config": {"id-token": "abc\n"}}});
    assert_eq!(folder.authorization(provider), Ok(None), "trimmed, and the library sends it");
}

#[tokio::test]
async fn a_credential_plugin_with_an_invalid_token_is_an_error_and_no_panic() {
    let folder = Folder::new();
    let plugin = |token: &str| {
        let output = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": {"token": token}});
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/echo",
            "args": [output.to_string()], "interactiveMode": "Never"}})
    };
    assert_eq!(folder.authorization(plugin("abc")), Ok(None));
    assert_eq!(folder.authorization(plugin("hunter2\nx")), Err(ConnectError::Unusable.to_string()));
}

#[tokio::test]
async fn faults_of_certificates_keys_and_addresses_name_their_field() {
    let folder = Folder::new();
    let encoded = |name: &str| STANDARD.encode(fs::read(folder.path(name)).unwrap());
    let in_lines = |name: &str| {
        encoded(name)
            .as_bytes()
            .chunks(64)
            .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
            .collect::<Vec<_>>()
            .concat()
    };
    for (pointer, members, fault) in [
        (CLUSTER, json!({"certificate-authority-data": encoded("cert.pem")}), ""),
        (CLUSTER, json!({"certificate-authority-data": in_lines("cert.pem")}), ""),
        (
            CLUSTER,
            json!({"certificate-authority-data": "%"}),
            "clusters[0].cluster.certificate-authority-data: must be base64",
        ),
        (
            CLUSTER,
            json!({"certificate-authority": "nowhere"}),
            "clusters[0].cluster.certificate-authority: there is no such file",
        ),
        (
            CLUSTER,
            json!({"certificate-authority": "key.pem"}),
            "clusters[0].cluster.certificate-authority: must hold PEM certificates",
        ),
        (CLUSTER, json!({"server": "127.0.0.1:6443"}), "clusters[0].cluster.server: must be an address"),
        (CLUSTER, json!({"server": "https://127.0.0.1:6443\n"}), ""),
        (CLUSTER, json!({"tls-server-name": "kubernetes.default"}), ""),
        (CLUSTER, json!({"tls-server-name": "a b"}), "clusters[0].cluster.tls-server-name: must be a host name"),
        (CLUSTER, json!({"proxy-url": "http://user:hunter2@127.0.0.1:3128"}), ""),
        (CLUSTER, json!({"proxy-url": "https://proxy.example"}), ""),
        (CLUSTER, json!({"proxy-url": "socks5://127.0.0.1:1080"}), ""),
        (CLUSTER, json!({"proxy-url": ""}), ""),
        (CLUSTER, json!({"proxy-url": "ftp://hunter2@x"}), "clusters[0].cluster.proxy-url: must be the URL of a proxy"),
        (CLUSTER, json!({"proxy-url": "proxy:3128"}), "clusters[0].cluster.proxy-url: must be the URL of a proxy"),
        (USER, json!({"client-certificate": "cert.pem", "client-key": "key.pem"}), ""),
        (USER, json!({"client-certificate-data": encoded("cert.pem"), "client-key-data": in_lines("key.pem")}), ""),
        (USER, json!({"client-certificate": "cert.pem"}), "users[0].user.client-key: must be set too"),
        (USER, json!({"client-key": "key.pem"}), "users[0].user.client-certificate: must be set too"),
        (
            USER,
            json!({"client-certificate": "cert.pem", "client-key": "nowhere"}),
            "users[0].user.client-key: there is no such file",
        ),
        (
            USER,
            json!({"client-certificate": "cert.pem", "client-key": "other-key.pem"}),
            "users[0].user.client-certificate: the client key is not the certificate's",
        ),
        (
            USER,
            json!({"client-certificate": "token", "client-key": "key.pem"}),
            "users[0].user.client-certificate: must hold a PEM",
        ),
    ] {
        let opened = folder.open(&[(pointer, members.clone())]);
        let error = opened.err().map_or_else(String::new, |error| error.to_string());
        assert!(if fault.is_empty() { error.is_empty() } else { error.starts_with(fault) }, "{members}: {error:?}");
        assert!(!error.contains("hunter2"));
    }
    let two_faults = folder.open(&[(USER, json!({"token": "a\nb"})), (CLUSTER, json!({"server": "x"}))]);
    let Err(ConnectError::Faults(faults)) = two_faults else { panic!("not refused") };
    assert_eq!(faults.len(), 2, "all faults are reported");
}

#[tokio::test]
async fn insecure_settings_are_accepted_with_a_warning() {
    let folder = Folder::new();
    let warnings = |changes: &[(&str, Value)]| -> Vec<String> {
        let credentials = check_credentials(Some(&folder.write(changes))).unwrap();
        credentials.warnings.into_iter().map(|warning| warning.field).collect()
    };
    assert_eq!(warnings(&[]), Vec::<String>::new());
    for (pointer, members, field) in [
        (CLUSTER, json!({"server": "http://10.0.0.1:8001"}), Some("clusters[0].cluster.server")),
        (CLUSTER, json!({"server": "http://127.0.0.1:8001"}), None),
        (CLUSTER, json!({"insecure-skip-tls-verify": true}), Some("clusters[0].cluster.insecure-skip-tls-verify")),
        (USER, json!({"token": "a", "tokenFile": "nowhere"}), Some("users[0].user.tokenFile")),
    ] {
        assert_eq!(warnings(&[(pointer, members.clone())]), field.into_iter().collect::<Vec<_>>(), "{members}");
    }
}

#[test]
fn issuer_and_audiences_are_read_from_the_brokers_own_token() {
    let folder = Folder::new();
    let own = |token: &str| {
        let checked = check_credentials(Some(&folder.write(&[(USER, json!({"token": token}))]))).unwrap();
        checked.own_token.map(|own| (own.issuer, own.audiences))
    };
    let token = |claims: Value| format!("h.{}.s\n", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let expected = Some(("https://i".to_owned(), vec!["a".to_owned()]));
    assert_eq!(own(&token(json!({"iss": "https://i", "aud": "a"}))), expected);
    assert_eq!(own(&token(json!({"iss": "https://i", "aud": ["a"]}))), expected);
    assert_eq!(own(&token(json!({"aud": ["a"]}))), None);
    assert_eq!(own("static-token"), None);
    assert_eq!(own("a.b.c"), None);
}

#[tokio::test]
async fn changed_files_are_read_again_unless_they_are_invalid() {
    let folder = Folder::new();
    let path = folder.write(&[(USER, json!({"tokenFile": "token"}))]);
    let cluster = Cluster::connect(Some(&path), Arc::new(Metrics::new(&[], &[]).unwrap())).await.unwrap();
    let reloaded = || {
        cluster.reload_if_changed();
        cluster.connection.load().authorization.as_ref().map(|header| header.to_str().unwrap().to_owned())
    };
    assert_eq!(reloaded().as_deref(), Some("Bearer from-file"));
    let first = Arc::as_ptr(&cluster.connection.load_full());
    assert_eq!(
        (reloaded().is_some(), Arc::as_ptr(&cluster.connection.load_full())),
        (true, first),
        "nothing has changed"
    );
    fs::write(folder.path("token"), "another\n").unwrap();
    assert_eq!(reloaded().as_deref(), Some("Bearer another"));
    for bad in ["a\nb", ""] {
        fs::write(folder.path("token"), bad).unwrap();
        assert_eq!(reloaded().as_deref(), Some("Bearer another"), "{bad:?}");
    }
    fs::remove_file(folder.path("token")).unwrap();
    assert_eq!(reloaded().as_deref(), Some("Bearer another"));
    fs::write(folder.path("token"), "third").unwrap();
    assert_eq!(reloaded().as_deref(), Some("Bearer third"));
    fs::write(folder.path("cert.pem"), "no PEM").unwrap();
    fs::write(folder.path("token"), "fourth").unwrap();
    assert_eq!(reloaded().as_deref(), Some("Bearer third"), "one invalid file prevents the reload");
    folder.write(&[
        (USER, json!({"token": "inline"})),
        (CLUSTER, json!({"certificate-authority": "", "server": "http://127.0.0.1:1"})),
    ]);
    assert_eq!(reloaded().as_deref(), Some("Bearer inline"), "the kubeconfig itself is read again");
    folder.write(&[
        (USER, json!({"tokenFile": "later"})),
        (CLUSTER, json!({"certificate-authority": "", "server": "http://127.0.0.1:1"})),
    ]);
    assert_eq!(reloaded().as_deref(), Some("Bearer inline"), "its token file does not exist yet");
    fs::write(folder.path("later"), "late").unwrap();
    assert_eq!(reloaded().as_deref(), Some("Bearer late"));
}

#[tokio::test]
async fn errors_of_a_kubeconfig_do_not_quote_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let connect = async |text: &str| {
        fs::write(&path, text).unwrap();
        Cluster::connect(Some(&path), Arc::new(Metrics::new(&[], &[]).unwrap())).await
    };
    assert!(connect(&fake_api_server::kubeconfig("http://127.0.0.1:1")).await.is_ok());

    for text in ["", "a: [", "token: hunter2\n  bad: indentation", "kind: Config\ncurrent-context: hunter2"] {
        let error = connect(text).await.err().expect("no kubeconfig");
        assert_eq!(error, ConnectError::NotAKubeconfig, "{text:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let absent = Cluster::connect(Some(Path::new("/nonexistent")), Arc::new(Metrics::new(&[], &[]).unwrap())).await;
    assert_eq!(absent.err(), Some(ConnectError::Unreadable(io::ErrorKind::NotFound)));
}
