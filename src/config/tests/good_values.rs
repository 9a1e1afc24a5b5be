//! A valid configuration, and changes to it that are valid too. The test of the JSON Schema in `tests/it` uses them as well.

use serde_json::{Value, json};

pub(super) fn good() -> Value {
    json!({
        "server": {"publicUrl": "https://claviger"},
        "authenticators": [
            {"name": "cluster", "kubernetes": {}},
            {"name": "dev", "oidc": {"issuer": "https://dev", "jwksFile": "jwks.json"}},
        ],
        "administrators": {"static": [{"authenticator": "dev", "claims": {"role": "admin"}}]},
        "stores": [
            {"name": "local", "file": {"path": "secrets.yaml"}},
            {"name": "vault", "vault": {"address": "https://vault:8200", "auth": {"tokenFile": "token"}}},
        ],
        "database": {"url": "sqlite::memory:"},
        "policies": {"ceiling": [{"store": "vault", "pathPrefix": "homelab"}]},
    })
}

pub(super) fn set(tree: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    if tree.pointer(parent).is_none() {
        set(tree, parent, json!({}));
    }
    match tree.pointer_mut(parent).expect("a parent") {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(items) => match key.parse::<usize>().expect("an index") {
            index if index < items.len() => items[index] = value,
            _ => items.push(value),
        },
        other => panic!("{pointer} leads through {other}"),
    }
}

pub(super) const GOOD_VALUES: &[(&str, &str)] = &[
    ("/server/listen", "'[::1]:0'"),
    ("/server/opsListen", "127.0.0.1:0"),
    ("/server/publicUrl", "http://127.0.0.1:8080/prefix/"),
    ("/server/tls", "{certFile: cert.pem, keyFile: key.pem}"),
    ("/server/trustedProxies", "[10.0.0.1/32, '::1/128']"),
    ("/authenticators/0/kubernetes/cacheTtl", "0s"),
    ("/authenticators/0/kubernetes/unboundAudience", "claviger-eso"),
    ("/authenticators/0/kubernetes/kubeconfig", "kubeconfig"),
    ("/authenticators/0/kubernetes/issuer", "https://kubernetes.default.svc"),
    ("/authenticators/0/kubernetes/audience", "https://claviger.kubernetes.default.example"),
    ("/attestation/admissionPolicy", "off"),
    ("/attestation/admissionPolicy", "'off'"),
    ("/attestation/admissionPolicy", "require"),
    ("/attestation/admissionPolicy", "null"),
    ("/administrators/subjectAccessReview", "false"),
    ("/administrators/subjectAccessReview", "[]"),
    ("/administrators/subjectAccessReview", "[cluster]"),
    ("/authenticators/1/oidc/issuer", "https://dev/"),
    ("/authenticators/1/oidc/algorithms", "[PS512, EdDSA]"),
    ("/authenticators/1/oidc/caFile", "ca.pem"),
    ("/authenticators/1/oidc/proxyUrl", "http://proxy:3128"),
    ("/administrators/static", "[]"),
    ("/administrators/static/0/claims", "{role: admin, level: 3, on: true}"),
    ("/stores/1/vault/auth", "{kubernetes: {role: r, tokenFile: token}}"),
    ("/stores/1/vault/auth", "{appRole: {roleId: r, secretIdFile: secret-id}}"),
    ("/stores/1/vault/cache", "{ttl: 0s}"),
    ("/stores/1/vault/cache", "null"),
    ("/stores/1/vault/namespace", "team/a"),
    ("/database/url", "'sqlite://a.db'"),
    ("/database/url", "'sqlite://policies/a.db'"),
    ("/database/keyFile", "key"),
    ("/database/allowDataLoss", "false"),
    ("/database", "{url: 'postgres://u:p@h/d', keyFile: key, allowDataLoss: true}"),
    ("/database", "{url: 'postgres://u:p@h/d?sslmode=verify-full', keyFile: key}"),
    ("/database", "{url: 'postgres://u@a,b:6432/d', directUrl: 'postgres://u@a,b/d', passwordFile: key, keyFile: key}"),
    ("/policies/ceiling", "[]"),
    ("/policies/ceiling/0/pathPrefix", "''"),
    ("/policies/ceiling/0/pathPrefix", "a/b~c=2F/d.e_f-g"),
    ("/tickets/ttl", "1s"),
    ("/tickets/ttl", "15m"),
    ("/tickets/bindTo", "none"),
    ("/tickets/store", "memory"),
    ("/tickets", "null"),
    ("/limits/bodyBytes", "1048576"),
    ("/limits/bodyBytes", "'1MiB'"),
    ("/audit/retiredKeyFiles", "null"),
    ("/telemetry/logFormat", "human"),
    ("/telemetry/logLevel", "trace"),
];
