//! The report of faults: all at once, each with its place, and without text of the document.

use super::*;

#[test]
fn all_faults_are_reported_at_once() {
    let folder = Folder::new();
    let fault_lines = fault_lines(folder.load(
        r"
server: {listen: nowhere, tls: {certFile: cert.pem}, bogus: hunter2}
authenticators: [{name: a, kubernetes: {audience: ''}, x: 1}, {name: a, oidc: {issuer: 5, jwksFile: nowhere, algorithms: [none]}}]
administrators: {static: [{authenticator: nobody}]}
stores: [hunter2, {name: b, vault: {auth: {tokenFile: nowhere}, cache: {ttl: hunter2}}}]
database: {url: 'postgres://hunter2@x'}
policies: {ceiling: [{store: c, pathPrefix: /}]}
tickets: {ttl: hunter2, maxTtl: 1ms}
limits: {bodyBytes: hunter2, maxConnections: hunter2}
",
    ));
    assert_eq!(
        fault_lines,
        [
            "administrators.static[0].authenticator: must be the name of an oidc authenticator",
            "administrators.static[0].claims: must have at least one claim: without one, every caller of the authenticator would be an administrator",
            "authenticators[0].kubernetes.audience: must not be empty, and must not contain control characters",
            "authenticators[0].x: unknown key",
            "authenticators[1].name: is the name of another entry",
            "authenticators[1].oidc.algorithms[0]: would accept tokens without a signature",
            "authenticators[1].oidc.issuer: must be a string",
            "authenticators[1].oidc.jwksFile: there is no such file",
            "database.url: must name a database: postgres://user:password@host:5432/database",
            "limits.bodyBytes: must be a size such as 64KiB, 1MiB or 65536",
            "limits.maxConnections: must be a whole number in the valid range",
            "policies.ceiling[0].pathPrefix: no segment may be empty, . or .., and there is no slash at either end",
            "policies.ceiling[0].store: must be the name of a store",
            "server.bogus: unknown key",
            "server.listen: must be an address and a port, such as [::]:8443 or 0.0.0.0:8443",
            "server.tls.keyFile: must be set too: TLS needs a certificate and its key",
            "stores[0]: must be a map",
            "stores[1].vault.address: must be set",
            "stores[1].vault.auth.tokenFile: there is no such file",
            "stores[1].vault.cache.ttl: must be a duration such as 90s, 2m or 1h30m",
            "tickets.maxTtl: must be between 1s and 24h",
            "tickets.ttl: must be a duration such as 90s, 2m or 1h30m",
        ]
    );
}

#[test]
fn a_variable_overrides_the_file_and_is_named_in_its_fault() {
    let folder = Folder::new();
    let mut tree = good();
    set(&mut tree, "/tickets", json!({"maxTtl": "1h"}));
    for (list, file) in [
        ("/stores/0/file/path", "secrets.yaml"),
        ("/stores/1/vault/auth/tokenFile", "token"),
        ("/authenticators/1/oidc/jwksFile", "jwks.json"),
    ] {
        set(&mut tree, list, json!(folder.path(file)));
    }
    let with = |variable: &str, value: &str| {
        from_text(&tree.to_string(), std::iter::once((variable.to_owned(), value.to_owned())))
    };
    let config = with("CLAVIGER__TICKETS__MAXTTL", "10m").expect("good");
    assert_eq!(config.tickets.max_ttl, Duration::from_mins(10));
    let config = with("CLAVIGER__LIMITS__BODYBYTES", "4096").expect("good");
    assert_eq!(config.limits.body_bytes, 4096);
    let config = with("CLAVIGER__ADMINISTRATORS__SUBJECTACCESSREVIEW", "false").expect("good");
    assert!(config.administrators.subject_access_review.is_empty());
    let key = folder.path("key");
    let config = with("CLAVIGER__AUDIT__KEYFILE", key.to_str().unwrap()).expect("good");
    assert_eq!(config.audit.key_file, Some(key));
    let config = with("CLAVIGER__TICKETS__MAXTTL", "").expect("empty sets nothing");
    assert_eq!(config.tickets.max_ttl, Duration::from_hours(1));

    assert_eq!(
        fault_lines(with("CLAVIGER__TICKETS__MAXTTL", "hunter2")),
        ["tickets.maxTtl: must be a duration such as 90s, 2m or 1h30m (set by CLAVIGER__TICKETS__MAXTTL)"]
    );
    assert_eq!(fault_lines(with("CLAVIGER__STORES", "[]")), [": CLAVIGER__STORES: a list cannot be set by a variable"]);
    assert_eq!(fault_lines(with("CLAVIGER__TICKETS__TLL", "1m")), [": CLAVIGER__TICKETS__TLL: there is no such key"]);
    assert_eq!(fault_lines(with("CLAVIGER__ENTRIES", "1")), [": CLAVIGER__ENTRIES: there is no such key"]);
}

#[test]
fn hostile_documents_are_refused_without_repeating_their_text() {
    let mut bomb = String::from("a0: &a0 [hunter2]\n");
    for level in 1..12_u8 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        let level = level.to_string();
        bomb += &["a", &level, ": &a", &level, " [", &aliases, "]\n"].concat();
    }
    let huge = format!("# {}\n", "x".repeat(10 << 20));
    for yaml in [
        &*bomb,
        &*huge,
        &*"[".repeat(100_000),
        &*"{a: ".repeat(100_000),
        &*"- ".repeat(100_000),
        "tickets: {ttl: 1m}\ntickets: {ttl: hunter2}",
        "tickets: {ttl: hunter2\0}",
        "tickets: {ttl: hunter2",
        "- hunter2",
        "hunter2",
        "7",
        "a: 1\n---\nhunter2: 2",
        "tickets: *hunter2",
        "tickets: !!binary hunter2",
        "? {hunter2: 1}\n: 1",
    ] {
        let fault_lines = fault_lines(from_text(yaml, no_environment()));
        assert!(!format!("{fault_lines:?}").contains("hunter2"), "{fault_lines:?}");
    }
    let many = (0..1000).map(|number| format!("bogus{number}: 1")).collect::<Vec<_>>().join("\n");
    assert!(fault_lines(from_text(&many, no_environment())).len() < 120);
}

#[test]
fn missing_large_and_binary_files_are_refused() {
    let folder = Folder::new();
    let missing = folder.path("nowhere.yaml");
    assert!(fault_lines(load(&missing))[0].ends_with("nowhere.yaml cannot be opened"));
    assert!(fault_lines(load(folder.0.path()))[0].ends_with("cannot be read"));
    assert_eq!(fault_lines(folder.load(&"#".repeat(10 << 20))), [": the configuration has more than 1 MiB"]);
    let file = folder.path("latin1.yaml");
    std::fs::write(&file, b"tickets: {ttl: \xff}").expect("written");
    assert!(fault_lines(load(&file))[0].ends_with("is not UTF-8"));
}
