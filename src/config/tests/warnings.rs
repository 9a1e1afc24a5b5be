//! Warnings. Each test also has a similar value without a warning.

use super::*;

/// The places of the warnings for a valid configuration with one value changed.
fn warning_places(folder: &Folder, pointer: &str, value: &str) -> Vec<String> {
    let config = folder.with(pointer, value).expect("good");
    config.warnings.iter().map(Fault::dotted_path).collect()
}

#[test]
fn each_warning_is_reported_at_its_place() {
    let folder = Folder::new();
    let issuer = "authenticators[1].oidc.issuer";
    for (pointer, value, place) in [
        ("/server/trustedProxies", "[10.0.0.0/8, 'fd00::/8']", None),
        ("/server/trustedProxies", "[10.0.0.0/8, '::ffff:10.0.0.0/104']", Some("server.trustedProxies[1]")),
        ("/server/trustedProxies", "[0.0.0.0/2]", Some("server.trustedProxies[0]")),
        ("/authenticators/1/oidc/issuer", "https://dev", None),
        ("/authenticators/1/oidc/issuer", "https://kubernetes.default.svc", Some(issuer)),
        ("/authenticators/1/oidc/issuer", "https://kubernetes.default.svc.cluster.local", Some(issuer)),
        ("/authenticators/0/kubernetes/issuer", "https://dev/", None),
        // The keys come from a file.
        ("/authenticators/1/oidc/issuer", "http://dev", None),
        ("/authenticators/1/oidc", "{issuer: 'http://dev'}", Some(issuer)),
        ("/authenticators/1/oidc", "{issuer: 'http://127.0.0.1:8080'}", None),
        ("/stores/1/vault/address", "http://vault:8200", Some("stores[1].vault.address")),
        ("/stores/1/vault/address", "http://10.0.0.1:8200", Some("stores[1].vault.address")),
        ("/stores/1/vault/address", "http://127.0.0.1:8200", None),
        ("/stores/1/vault/address", "http://[::1]:8200", None),
        ("/stores/1/vault/address", "http://localhost:8200", None),
        ("/stores/1/vault/address", "http://localhost.example:8200", Some("stores[1].vault.address")),
        ("/database", "{url: 'postgres://u:hunter2@h/d', keyFile: key}", Some("database.url")),
        ("/database", "{url: 'postgres://u:hunter2@h/d?sslmode=prefer', keyFile: key}", Some("database.url")),
        ("/database", "{url: 'postgres://u:hunter2@h/d?sslmode=disable', keyFile: key}", Some("database.url")),
        ("/database", "{url: 'postgres://u:hunter2@h/d?sslmode=require', keyFile: key}", Some("database.url")),
        ("/database", "{url: 'postgres://u:hunter2@h/d?sslmode=verify-ca', keyFile: key}", Some("database.url")),
        ("/database", "{url: 'postgres://u:hunter2@h/d?sslmode=verify-full', keyFile: key}", None),
        ("/database", "{url: 'postgres://u:hunter2@127.0.0.1/d', keyFile: key}", None),
        (
            "/database",
            "{url: 'postgres://127.0.0.1/d', directUrl: 'postgres://h/d', keyFile: key}",
            Some("database.directUrl"),
        ),
        ("/database", "{url: 'postgres:///d?host=/run/postgresql', keyFile: key}", None),
    ] {
        assert_eq!(
            warning_places(&folder, pointer, value),
            place.into_iter().collect::<Vec<_>>(),
            "{pointer} = {value}"
        );
    }
}

#[test]
fn proxy_variables_cause_warnings_without_their_value() {
    let folder = Folder::new();
    let mut tree = good();
    for (place, file) in [
        ("/stores/0/file/path", "secrets.yaml"),
        ("/stores/1/vault/auth/tokenFile", "token"),
        ("/authenticators/1/oidc/jwksFile", "jwks.json"),
    ] {
        set(&mut tree, place, json!(folder.path(file)));
    }
    let with = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let config = from_text(&tree.to_string(), variables.collect::<Vec<_>>().into_iter()).expect("good");
        config.warnings.into_iter().map(|warning| warning.detail).collect::<Vec<_>>()
    };
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let fault_lines = with(&[(name, "http://u:hunter2@proxy:3128")]);
        assert_eq!(fault_lines.len(), 1, "{name}");
        assert!(
            fault_lines[0].starts_with(&format!("{name} is set in the environment and is not read: write proxyUrl")),
            "{fault_lines:?}"
        );
        assert!(!fault_lines[0].contains("hunter2"));
        assert_eq!(with(&[(name, "")]), Vec::<String>::new());
    }
    assert_eq!(with(&[("NO_PROXY", "*"), ("PROXY", "x")]), Vec::<String>::new());
}

#[test]
fn trusting_all_addresses_as_proxies_is_refused() {
    let folder = Folder::new();
    for (networks, place) in [
        ("[0.0.0.0/0]", "server.trustedProxies[0]"),
        ("[10.0.0.0/8, '::/0']", "server.trustedProxies[1]"),
        ("[1.2.3.4/0]", "server.trustedProxies[0]"),
        ("[0.0.0.0/1, 128.0.0.0/1]", "server.trustedProxies"),
        ("['::/1', '8000::/1']", "server.trustedProxies"),
    ] {
        let fault_lines = fault_lines(folder.with("/server/trustedProxies", networks));
        assert_eq!(fault_lines.len(), 1, "{fault_lines:?}");
        assert!(
            fault_lines[0].starts_with(&format!("{place}: is everybody")) && fault_lines[0].contains("10.0.0.0/8"),
            "{fault_lines:?}"
        );
    }
    assert!(folder.with("/server/trustedProxies", "[0.0.0.0/1, 10.0.0.0/8]").is_ok());
}
