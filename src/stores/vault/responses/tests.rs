//! The meaning of responses. Those marked "seen" were sent by OpenBao 2.7.2.

use super::*;
use ReadError::{Absent, Deleted, Forbidden, Misconfigured, Unavailable};
use zeroize::Zeroizing;

fn response(status: u16, body: &str) -> StoreResponse {
    StoreResponse { status, retry_after: None, body: Zeroizing::new(body.as_bytes().to_vec()) }
}

const DELETED: &str = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-11-22T12:48:32.2Z","destroyed":false,"version":1}},"warnings":null}"#;
const DESTROYED: &str =
    r#"{"data":{"data":null,"metadata":{"deletion_time":"","destroyed":true,"version":1}},"warnings":null}"#;

#[test]
fn only_a_404_with_no_errors_data_and_warnings_means_absent() {
    for engine in [Engine::KvV1, Engine::KvV2] {
        for (status, body, expected) in [
            (404, r#"{"errors":[]}"#, Absent), // seen
            (404, r#" {"errors":[],"data":null,"warnings":null} "#, Absent),
            (404, r#"{"errors":["no handler for route \"nomount/x\". route entry not found."]}"#, Misconfigured), // seen
            (404, r#"{"errors":["namespace not found"]}"#, Misconfigured), // seen
            (404, r#"{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}"#, Misconfigured), // seen
            (404, r#"{"errors":[],"warnings":["Invalid path"]}"#, Misconfigured),
            (404, r#"{"errors":[],"data":{}}"#, Misconfigured),
            (404, r#"{"errors":null}"#, Misconfigured),
            (404, r#"{"data":{"data":null,"metadata":{"deletion_time":"","destroyed":false}}}"#, Misconfigured),
            (404, r#"{"data":{"data":{"K":"v"},"metadata":{"destroyed":true}}}"#, Misconfigured),
            (404, r#"{"data":{"metadata":null}}"#, Misconfigured),
            (404, "{}", Misconfigured),
            (404, r#"{"errors":[],"errors":[]}"#, Unavailable),
            (404, r#"{"errors":{}}"#, Unavailable),
            (404, "[[],null,null]", Unavailable),
            (404, "<html>default backend - 404</html>", Unavailable),
            (404, "", Unavailable),
            (404, r#"{"errors":[]"#, Unavailable),
            (403, r#"{"errors":["permission denied"]}"#, Forbidden), // seen: the token is dead
            (403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, Forbidden), // seen: the ACL
            (503, r#"{"errors":["Vault is sealed"]}"#, Unavailable), // seen
            (500, r#"{"errors":[]}"#, Unavailable),
            (429, r#"{"errors":[]}"#, Unavailable),
            (400, r#"{"errors":["Upgrading from non-versioned to versioned data."]}"#, Unavailable),
            (401, "", Unavailable),
            (412, r#"{"errors":[]}"#, Unavailable),
            (204, "", Unavailable),
            (301, "", Unavailable),
            (307, r#"{"errors":[]}"#, Unavailable),
            (200, "<html>hello</html>", Unavailable),
            (200, "", Unavailable),
            (200, "null", Unavailable),
            (200, "{}", Unavailable),
            (200, r#"{"errors":[]}"#, Unavailable),
            (200, r#"{"data":null}"#, Unavailable),
            (200, r#"{"data":[]}"#, Unavailable),
            (200, r#"{"data":"x"}"#, Unavailable),
            (200, r#"{"data":{"data":{"K":"v"}}"#, Unavailable),
            (200, r#"{"data":{"data":{}}} x"#, Unavailable),
            (200, r#"{"data":{},"data":{}}"#, Unavailable),
            (200, r#"{"data":{"K":"v","K":"w"}}"#, Unavailable),
            (200, r#"{"data":{"data":{"K":"\ud800"}}}"#, Unavailable),
        ] {
            assert_eq!(parse_secret(&response(status, body), engine), Err(expected), "{engine:?} {status} {body}");
        }
    }
}

#[test]
fn a_kv_v1_secret_may_have_any_keys_also_those_of_a_v2_response() {
    for (body, keys) in [
        (r#"{"data":{}}"#, &[][..]),
        (r#"{"data":{"K":"v"}}"#, &["K"][..]),
        (r#"{"data":{"data":"x"}}"#, &["data"][..]),
        (r#"{"data":{"data":[]}}"#, &["data"][..]),
        (r#"{"data":{"metadata":null}}"#, &["metadata"][..]),
        (DELETED, &["data", "metadata"][..]),
        (DESTROYED, &["data", "metadata"][..]),
    ] {
        let read = parse_secret(&response(200, body), Engine::KvV1).unwrap();
        assert_eq!(read.data.keys().collect::<Vec<_>>(), keys, "{body}");
        assert_eq!(parse_secret(&response(200, body), Engine::KvV2), Err(Unavailable), "{body}");
    }
}

#[test]
fn a_version_is_deleted_only_in_kv_v2() {
    for body in [DELETED, DESTROYED] {
        assert_eq!(parse_secret(&response(404, body), Engine::KvV2), Err(Deleted)); // seen
        assert_eq!(parse_secret(&response(404, body), Engine::KvV1), Err(Misconfigured));
    }
}

#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
#[test]
fn numbers_keep_their_digits_and_only_kv_v2_secrets_have_a_version() {
    let body = r#"{"data":{"data":{"K":"v","N":1.50,"Z":null},"metadata":{"deletion_time":"2036-01-01T00:00:00Z","destroyed":false,"version":12}}}"#;
    let read = parse_secret(&response(200, body), Engine::KvV2).unwrap();
    let text = |key: &str| read.data[key].as_ref().map(|value| value.expose_secret().to_owned());
    assert_eq!((text("K"), text("N"), text("Z")), (Some("v".into()), Some("1.50".into()), None));
    assert_eq!((read.version.as_deref(), read.stale), (Some("12"), false));

    let read = parse_secret(&response(200, r#"{"data":{"data":"x"},"lease_duration":2764800}"#), Engine::KvV1).unwrap();
    assert_eq!((read.data.len(), read.version), (1, None));
    let empty = parse_secret(&response(200, r#"{"data":{"data":{},"metadata":{"version":1}}}"#), Engine::KvV2).unwrap();
    assert!(empty.data.is_empty());
}

#[test]
fn a_version_that_was_written_with_null_is_a_secret_without_keys() {
    let body = |data: &str, metadata: &str| response(200, &format!(r#"{{"data":{{{data}"metadata":{metadata}}}}}"#));
    let live = r#"{"deletion_time":"","destroyed":false,"version":3}"#;
    let read = parse_secret(&body(r#""data":null,"#, live), Engine::KvV2).unwrap(); // seen
    assert_eq!((read.data.len(), read.version.as_deref()), (0, Some("3")));
    for (data, metadata) in [
        ("", live),
        (r#""data":null,"#, "null"),
        (r#""data":null,"#, "{}"),
        (r#""data":null,"#, r#"{"version":1}"#),
        (r#""data":null,"#, r#"{"deletion_time":"2026-11-22T12:48:32.2Z","destroyed":false,"version":1}"#),
        (r#""data":null,"#, r#"{"deletion_time":"","destroyed":true,"version":1}"#),
        (r#""data":[],"#, live),
        (r#""data":"x","#, live),
    ] {
        assert_eq!(parse_secret(&body(data, metadata), Engine::KvV2), Err(Unavailable), "{data} {metadata}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
#[test]
fn a_static_secret_with_a_lease_is_refused_and_its_lease_is_found() {
    let body = |id: &str| {
        let text = format!(r#"{{{id}"lease_duration":60,"data":{{"data":{{"K":"v"}},"metadata":{{"version":1}}}}}}"#);
        response(200, &text)
    };
    for engine in [Engine::KvV1, Engine::KvV2] {
        for id in ["", r#""lease_id":"","#, r#""lease_id":null,"#] {
            assert!(parse_secret(&body(id), engine).is_ok(), "{id}");
            assert_eq!(find_stray_lease(&body(id)), None);
        }
        for id in [r#""lease_id":"database/creds/app/x","#, r#""lease_id":7,"#, r#""lease_id":{},"#] {
            assert_eq!(parse_secret(&body(id), engine), Err(Misconfigured), "{id}");
        }
    }
    let stray = find_stray_lease(&body(r#""lease_id":"database\/creds/app/x","#)).unwrap();
    assert_eq!(stray.expose_secret(), "database/creds/app/x");
    assert_eq!(find_stray_lease(&body(r#""lease_id":7,"#)), None);
}

#[test]
fn a_mount_has_a_known_engine_and_contains_the_path() {
    let path = StorePath::try_from("team/kv/site/main").unwrap();
    let found = |path: &str, engine: &str, options: &str| {
        format!(r#"{{"data":{{"path":"{path}","type":"{engine}","options":{options},"uuid":"x"}}}}"#)
    };
    for (status, body, expected) in [
        (200, found("team/kv/", "kv", r#"{"version":"2"}"#), Ok(Mount::new("team/kv/", Engine::KvV2))), // seen
        (200, found("team/kv/", "kv", r#"{"version":"1"}"#), Ok(Mount::new("team/kv/", Engine::KvV1))), // seen
        (200, found("team/kv/", "kv", "null"), Ok(Mount::new("team/kv/", Engine::KvV1))),
        (200, found("team/kv/", "kv", "{}"), Ok(Mount::new("team/kv/", Engine::KvV1))),
        (200, found("team/kv/", "generic", "null"), Ok(Mount::new("team/kv/", Engine::KvV1))),
        (200, found("team/kv/", "kv", r#"{"version":"3"}"#), Err(Misconfigured)),
        (200, found("team/kv/", "database", "null"), Ok(Mount::new("team/kv/", Engine::Dynamic))), // seen
        (200, found("team/kv/", "", "null"), Err(Misconfigured)),
        (200, found("team/kv", "kv", "null"), Err(Unavailable)),
        (200, found("team/k/", "kv", "null"), Err(Unavailable)),
        (200, found("", "kv", "null"), Err(Unavailable)),
        (200, found("sys/", "kv", "null"), Err(Unavailable)),
        (200, found("team/kv/site/main/x/", "kv", "null"), Err(Unavailable)),
        (200, "<html>".into(), Err(Unavailable)),
        (200, r#"{"data":null}"#.into(), Err(Unavailable)),
        (403, r#"{"errors":["preflight capability check returned 403"]}"#.into(), Err(Misconfigured)), // seen
        (404, r#"{"errors":["namespace not found"]}"#.into(), Err(Misconfigured)),                     // seen
        (404, r#"{"errors":[]}"#.into(), Err(Misconfigured)),
        (404, "default backend - 404".into(), Err(Unavailable)),
        (503, r#"{"errors":["Vault is sealed"]}"#.into(), Err(Unavailable)), // seen
        (429, String::new(), Err(Unavailable)),
        (302, String::new(), Err(Unavailable)),
    ] {
        assert_eq!(parse_mount(&response(status, &body), &path), expected, "{status} {body}");
    }
}

#[test]
fn internal_mounts_are_refused_under_every_name() {
    // The rows with `team/` were seen, in a namespace of that name. The others check the types of engines alone.
    for (mounted, engine) in [
        ("team/sys/", "ns_system"),
        ("team/auth/token/", "ns_token"),
        ("team/auth/userpass/", "userpass"),
        ("team/identity/", "ns_identity"),
        ("team/cubbyhole/", "ns_cubbyhole"),
        ("elsewhere/", "system"),
        ("elsewhere/", "token"),
        ("elsewhere/", "identity"),
        ("elsewhere/", "cubbyhole"),
    ] {
        let path = StorePath::try_from(format!("{mounted}x").as_str()).unwrap();
        let body = format!(r#"{{"data":{{"path":"{mounted}","type":"{engine}","options":null}}}}"#);
        assert_eq!(parse_mount(&response(200, &body), &path), Err(Misconfigured), "{mounted} {engine}");
    }
    // A plugin may have a name that begins like the type of an internal mount.
    let path = StorePath::try_from("elsewhere/x").unwrap();
    let plugin = response(200, r#"{"data":{"path":"elsewhere/","type":"system2","options":null}}"#);
    assert_eq!(parse_mount(&plugin, &path).map(|mount| mount.engine), Ok(Engine::Dynamic));
}

#[expect(clippy::disallowed_methods, reason = "the test compares the values")]
#[test]
fn a_login_response_has_a_token_with_a_positive_lifetime() {
    let body = |more: &str| response(200, &format!(r#"{{"auth":{{"client_token":"s.x","renewable":true{more}}}}}"#));
    for (num_uses, uses) in
        [("", None), (r#","num_uses":0"#, None), (r#","num_uses":5"#, Some(5)), (r#","num_uses":null"#, None)]
    {
        let granted = parse_login(&body(&format!(r#","lease_duration":3600{num_uses}"#))).unwrap();
        assert_eq!((granted.token.expose_secret(), granted.uses), ("s.x", uses), "{num_uses}");
        assert_eq!(granted.grant, GrantedLifetime { ttl: Duration::from_hours(1), renewable: true });
    }
    let second_factor = r#"{"auth":{"client_token":"","lease_duration":0,"mfa_requirement":{"mfa_request_id":"x"}}}"#;
    assert_eq!(parse_login(&response(200, second_factor)), Err(Misconfigured));
    let invalid = ["0", "-1", "2147483648", "1.5", "1e3", "\"x\"", "\"60\"", "null", "99999999999999999999"];
    let without_duration = std::iter::once(String::new());
    for duration in without_duration.chain(invalid.map(|value| format!(r#","lease_duration":{value}"#))) {
        assert_eq!(parse_login(&body(&duration)).unwrap_err(), Unavailable, "{duration}");
        assert_eq!(parse_renewal(&body(&duration)).unwrap_err(), Unavailable, "{duration}");
    }
    for (status, body, expected) in [
        (400, r#"{"errors":["invalid role or secret ID"]}"#, Misconfigured), // seen
        (403, r#"{"errors":["permission denied"]}"#, Forbidden),
        (404, r#"{"errors":["no handler for route"]}"#, Misconfigured), // seen
        (503, r#"{"errors":["Vault is sealed"]}"#, Unavailable),
        (200, r#"{"auth":null}"#, Unavailable),
        (200, "<html>", Unavailable),
        (307, "", Unavailable),
    ] {
        assert_eq!(parse_login(&response(status, body)).unwrap_err(), expected, "{status} {body}");
    }
}

#[test]
fn the_look_up_of_a_token_without_expiry_has_no_lifetime() {
    let body =
        |ttl: &str, expire: &str| format!(r#"{{"data":{{"ttl":{ttl},"expire_time":{expire},"renewable":true}}}}"#);
    let grant = |seconds| Ok(Some(GrantedLifetime { ttl: Duration::from_secs(seconds), renewable: true }));
    for (ttl, expire, expected) in [
        ("0", "null", Ok(None)),                     // seen: root
        ("1", "\"2026-11-22T12:48:35Z\"", grant(1)), // seen
        ("0", "\"2026-11-22T12:48:35Z\"", grant(1)), // the last second: the server rounds down
        ("-1", "null", Err(Unavailable)),
        ("1.5", "null", Err(Unavailable)),
        ("\"0\"", "null", Err(Unavailable)),
        ("2147483648", "null", Err(Unavailable)),
    ] {
        assert_eq!(parse_token_lookup(&response(200, &body(ttl, expire))), expected, "{ttl} {expire}");
    }
    assert_eq!(parse_token_lookup(&response(403, r#"{"errors":["permission denied"]}"#)), Err(Forbidden)); // seen: dead
    assert_eq!(parse_token_lookup(&response(404, r#"{"errors":["namespace not found"]}"#)), Err(Misconfigured)); // seen
    assert_eq!(parse_token_lookup(&response(503, "")), Err(Unavailable));
    assert_eq!(parse_token_lookup(&response(200, "{}")), Err(Unavailable));
}

#[test]
fn responses_that_are_not_utf_8_are_unavailable() {
    let read_with_request_id = |id: &[u8]| {
        let body = [&br#"{"errors":[],"request_id":""#[..], id, b"\"}"].concat();
        parse_secret(&StoreResponse { status: 404, retry_after: None, body: Zeroizing::new(body) }, Engine::KvV2)
            .map(|_| ())
    };
    assert_eq!(read_with_request_id(b"\xc3\xa9"), Err(Absent));
    assert_eq!(read_with_request_id(b"\xed"), Err(Unavailable));
}
