//! Values that cannot be meant are refused with their place.

use super::rendered::render_values;
use serde_json::{Value, json};

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let unknown_issuer = json!({"tls": {"mode": "certManager"}});
    let cases: [(Value, &str); 12] = [
        (json!({"replicas": 2}), "several need database.kind postgres"),
        (json!({"replicas": -1}), "replicas"),
        (json!({"replica": 2}), "replica"),
        (json!({"database": {"kind": "postgres"}}), "database.postgres.secret"),
        (json!({"database": {"kind": "mysql"}}), "kind"),
        (json!({"tls": {"mode": "secret"}}), "tls.secret"),
        (unknown_issuer, "issuer.name"),
        (json!({"config": {"stores": []}}), "stores"),
        (json!({"config": {"ticket": {}}}), "ticket"),
        (json!({"config": {"tickets": {"maxTtl": "soon"}}}), "config.tickets.maxTtl"),
        (json!({"serviceAccount": {"create": false}}), "serviceAccount.name"),
        (
            json!({"replicas": 2, "database": {"kind": "postgres", "postgres": {"secret": "s"}},
                   "config": {"tickets": {"store": "memory"}}}),
            "tickets must wait in the database",
        ),
    ];
    for (values, words) in cases {
        let why = render_values(&values).map(|_| ()).expect_err(&values.to_string());
        assert!(why.contains(words), "{values}: {why}");
    }
    let good = json!({"replicas": 2, "database": {"kind": "postgres", "postgres": {"secret": "s"}}});
    render_values(&good).unwrap();
}
