//! Invalid values are refused with their place.

use super::rendered::{render_as_written, render_values};
use serde_json::{Value, json};

#[test]
fn invalid_values_are_refused() {
    let unknown_issuer = json!({"tls": {"mode": "certManager"}});
    let postgres = json!({"kind": "postgres", "postgres": {"secret": "s"}});
    let cases: [(Value, &str); 25] = [
        (json!({"replicas": 2}), "several need database.kind postgres"),
        (json!({"replicas": -1}), "replicas"),
        (json!({"replica": 2}), "replica"),
        (json!({"database": {"kind": "postgres"}}), "database.postgres.secret"),
        (json!({"database": {"kind": "mysql"}}), "kind"),
        (json!({"tls": {"mode": "secret"}}), "tls.secret"),
        (unknown_issuer, "issuer.name"),
        (json!({"tls": {"mode": "http"}}), "mode"),
        (json!({"service": {"ipFamilyPolicy": "DualStack"}}), "ipFamilyPolicy"),
        (json!({"service": {"ipFamilies": ["IPv6", "IPv6"]}}), "ipFamilies"),
        (json!({"rbac": {"namespaces": ["*"]}}), "namespaces"),
        (json!({"networkPolicy": {"apiServerPorts": [0]}}), "apiServerPorts"),
        (json!({"networkPolicy": {"otlpPort": "4318"}}), "otlpPort"),
        (json!({"podSecurityContext": "none"}), "podSecurityContext"),
        (json!({"config": {"stores": []}}), "stores"),
        (json!({"config": {"ticket": {}}}), "ticket"),
        (json!({"config": {"tickets": {"maxTtl": "soon"}}}), "config.tickets.maxTtl"),
        (json!({"serviceAccount": {"create": false}}), "serviceAccount.name"),
        (json!({"csi": {"enabled": true, "provider": "a/b"}}), "provider"),
        (json!({"csi": {"enabled": true, "socketFolder": "providers"}}), "socketFolder"),
        (json!({"csi": {"enabled": true, "server": "claviger:8443"}}), "server"),
        (
            json!({"csi": {"enabled": true, "namespace": "kube-system"}, "tls": {"mode": "secret", "secret": "s"}}),
            "csi.caConfigMap",
        ),
        (
            json!({"replicas": 2, "database": postgres, "config": {"tickets": {"store": "memory"}}}),
            "tickets must wait in the database",
        ),
        (
            json!({"replicas": 1, "database": postgres, "config": {"tickets": {"store": "memory"}}}),
            "tickets must wait in the database",
        ),
        (
            json!({"database": postgres, "extraEnv": [{"name": "CLAVIGER__TICKETS__STORE", "value": "memory"}]}),
            "tickets must wait in the database",
        ),
    ];
    for (values, words) in cases {
        let why = render_values(&values).map(|_| ()).expect_err(&values.to_string());
        assert!(why.contains(words), "{values}: {why}");
    }
    for good in [
        json!({"replicas": 2, "database": postgres}),
        json!({"config": {"tickets": {"store": "memory"}}}),
        json!({"database": postgres, "config": {"tickets": {"store": "memory"}},
               "extraEnv": [{"name": "CLAVIGER__TICKETS__STORE", "value": "database"}]}),
    ] {
        render_values(&good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
}

#[test]
fn the_tls_mode_is_required() {
    for values in
        [json!({}), json!({"tls": {}}), json!({"tls": {"mode": ""}}), json!({"tls": {"secret": "claviger-tls"}})]
    {
        let why = render_as_written(&values).map(|_| ()).expect_err(&values.to_string());
        assert!(why.contains("tls.mode: must be set: certManager, secret, or none"), "{values}: {why}");
    }
    for (mode, url) in [
        (json!({"mode": "none"}), "http://rel-claviger.claviger.svc:8080"),
        (json!({"mode": "secret", "secret": "s"}), "https://rel-claviger.claviger.svc:8443"),
        (
            json!({"mode": "certManager", "certManager": {"issuer": {"name": "i"}}}),
            "https://rel-claviger.claviger.svc:8443",
        ),
    ] {
        let rendered = render_as_written(&json!({"tls": mode})).unwrap();
        let config = rendered.find("ConfigMap", "rel-claviger").unwrap()["data"]["claviger.yaml"].as_str().unwrap();
        assert!(config.contains(&format!("publicUrl: {url}\n")), "{config}");
    }
}

#[test]
fn every_section_of_the_configuration_may_be_set() {
    let text = std::fs::read_to_string(super::chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let allowed = schema["properties"]["config"]["propertyNames"]["enum"].as_array().unwrap();
    let defaults: Value = serde_saphyr::from_str(claviger::config::DEFAULT_YAML).unwrap();
    let sections: Vec<&str> =
        defaults.as_object().unwrap().keys().map(String::as_str).filter(|s| *s != "entries").collect();
    assert!(sections.len() >= 10);
    for section in sections {
        assert!(allowed.iter().any(|name| name == section), "values.schema.json does not know config.{section}");
    }
}
