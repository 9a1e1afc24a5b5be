//! Tests of the formats `docker-config`, `npmrc` and `netrc`.

use super::{bundle, refusal, refused, text};
use crate::model::format::Format;
use crate::render::UnrenderableReason;

const REGISTRY: [(&str, &str); 3] =
    [("REGISTRY", "r.example:5000"), ("REGISTRY_USERNAME", "me"), ("REGISTRY_PASSWORD", "it's \"é\"\n")];
const NPM: [(&str, &str); 2] = [("NPM_REGISTRY", "https://npm.example/"), ("NPM_TOKEN", "npm_aZ09-._~+/==")];
const NETRC: [(&str, &str); 3] =
    [("NETRC_MACHINE", "git.example"), ("NETRC_LOGIN", "me"), ("NETRC_PASSWORD", "it's#a$%\"{}`;")];
const ALL: [(Format, &[(&str, &str)]); 3] =
    [(Format::DockerConfig, &REGISTRY), (Format::Npmrc, &NPM), (Format::Netrc, &NETRC)];

/// The entries, with this value for the key `name`.
fn with<'a>(entries: &[(&'a str, &'a str)], name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    entries.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect()
}

fn error(entries: &[(&str, &str)], format: Format) -> Option<(String, UnrenderableReason)> {
    refusal(&bundle(entries, true), format)
}

#[test]
fn a_single_credential_needs_no_prefix() {
    let auth = "bWU6aXQncyAiw6kiCg==";
    let config = format!("{{\"auths\":{{\"r.example:5000\":{{\"auth\":\"{auth}\"}}}}}}");
    assert_eq!(text(&REGISTRY, Format::DockerConfig), config);
    assert_eq!(text(&NPM, Format::Npmrc), "//npm.example/:_authToken=npm_aZ09-._~+/==\n");
    assert_eq!(text(&NETRC, Format::Netrc), "machine git.example login me password it's#a$%\"{}`;\n");
}

#[test]
fn several_credentials_have_prefixes() {
    let more = [("X_REGISTRY", "a.example"), ("X_REGISTRY_USERNAME", "u"), ("X_REGISTRY_PASSWORD", "p")];
    let config = text(&[&REGISTRY[..], &more].concat(), Format::DockerConfig);
    assert!(config.starts_with(r#"{"auths":{"r.example:5000":{"auth":"#), "{config}");
    assert!(config.ends_with(r#""},"a.example":{"auth":"dTpw"}}}"#), "{config}");
    let more = [("X_NPM_REGISTRY", "http://a.example:4873/api/npm"), ("X_NPM_TOKEN", "t")];
    let lines = text(&[&NPM[..], &more].concat(), Format::Npmrc);
    assert!(lines.ends_with("==\n//a.example:4873/api/npm/:_authToken=t\n"), "{lines}");
    let more = [("X_Y_NETRC_MACHINE", "a.example"), ("X_Y_NETRC_LOGIN", "u"), ("X_Y_NETRC_PASSWORD", "p")];
    let lines = text(&[&more[..], &NETRC].concat(), Format::Netrc);
    assert!(lines.ends_with(";\nmachine a.example login u password p\n"), "{lines}");
}

#[test]
fn a_missing_key_of_a_credential_is_refused() {
    for (format, whole) in ALL {
        for (missing, _) in whole {
            let rest: Vec<_> = whole.iter().copied().filter(|(name, _)| name != missing).collect();
            assert_eq!(
                error(&rest, format),
                Some(((*missing).to_owned(), UnrenderableReason::MissingFromCredential)),
                "{format:?}"
            );
        }
    }
    let other = [("X_NPM_REGISTRY", "a.example"), NPM[0], NPM[1]];
    assert_eq!(error(&other, Format::Npmrc), Some(("X_NPM_TOKEN".into(), UnrenderableReason::MissingFromCredential)));
}

#[test]
fn a_key_that_belongs_to_no_credential_is_refused() {
    for (format, whole) in ALL {
        let first = whole[0].0;
        let (glued, bare, lower) = (format!("X{first}"), format!("_{first}"), first.to_lowercase());
        for name in ["A", "", "NPM_TOKENS", "REGISTRY_USER", &glued, &bare, &lower] {
            let entries = [whole, &[(name, "x")]].concat();
            assert_eq!(
                error(&entries, format),
                Some((name.to_owned(), UnrenderableReason::NotACredentialKey)),
                "{format:?}"
            );
        }
    }
}

#[test]
fn duplicate_addresses_are_refused() {
    for (format, whole) in ALL {
        for (index, again) in
            [whole[0].1.to_owned(), format!("{}/", whole[0].1.trim_end_matches('/'))].iter().enumerate()
        {
            if format == Format::Netrc && index > 0 {
                continue;
            }
            let names: Vec<String> = whole.iter().map(|(name, _)| format!("X_{name}")).collect();
            let mut entries = whole.to_vec();
            entries.extend(names.iter().zip(whole).map(|(name, (_, value))| (name.as_str(), *value)));
            let entries = with(&entries, &names[0], again);
            assert_eq!(
                error(&entries, format),
                Some((names[0].clone(), UnrenderableReason::DuplicateAddress)),
                "{format:?}"
            );
        }
    }
    let entries = [NPM[0], NPM[1], ("X_NPM_REGISTRY", "npm.example:443"), ("X_NPM_TOKEN", "t")];
    assert_eq!(error(&entries, Format::Npmrc), Some(("X_NPM_REGISTRY".into(), UnrenderableReason::DuplicateAddress)));
}

#[test]
fn registries_must_be_addresses() {
    for (address, line) in [
        ("a", "//a/"),
        ("a.b-c.example", "//a.b-c.example/"),
        ("127.0.0.1:1", "//127.0.0.1:1/"),
        ("https://a:443/", "//a/"),
        ("http://a:443/", "//a:443/"),
        ("http://a:80", "//a/"),
        ("a/@x/Y_~z.", "//a/@x/Y_~z./"),
    ] {
        let rendered = text(&with(&NPM, "NPM_REGISTRY", address), Format::Npmrc);
        assert_eq!(rendered, format!("{line}:_authToken=npm_aZ09-._~+/==\n"));
        let rendered = text(&with(&REGISTRY, "REGISTRY", address), Format::DockerConfig);
        assert!(rendered.starts_with(&format!("{{\"auths\":{{\"{address}\":")), "{rendered}");
    }
    for address in [
        "",
        " a",
        "a\n",
        "A.example",
        "é.example",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a:",
        "a:0x1",
        "a:+1",
        "a:01",
        "a:65536",
        "a:1:2",
        "[::1]",
        "u:p@a",
        "u@a",
        "ftp://a",
        "//a",
        "https://",
        "a//",
        "a//b",
        "a/../b",
        "a/./b",
        "a/%2e",
        "a?b",
        "a#b",
        "a/b=c",
        "a\"",
        "a/\\",
        "a/${x}",
        "a/:_authToken=x",
    ] {
        for (format, whole) in &ALL[..2] {
            let place = whole[0].0;
            let refused = error(&with(whole, place, address), *format);
            assert_eq!(refused, Some((place.to_owned(), UnrenderableReason::NotAnAddress)), "{address:?}");
        }
    }
}

/// Returns the keys in `auths` for an address. All must have the same credential.
fn auths(address: &str) -> Vec<String> {
    let config = text(&with(&REGISTRY, "REGISTRY", address), Format::DockerConfig);
    let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    let auths = config["auths"].as_object().expect("an object");
    let first = auths.values().next().expect("a key");
    assert!(first["auth"].is_string() && auths.values().all(|auth| auth == first), "{config}");
    auths.keys().cloned().collect()
}

#[test]
fn the_trailing_slash_of_an_address_without_scheme_is_removed() {
    for (address, key) in [
        ("r.example/", "r.example"),
        ("r.example:5000/", "r.example:5000"),
        ("r.example/team/", "r.example/team"),
        ("r.example/team", "r.example/team"),
        ("https://r.example/v1/", "https://r.example/v1/"),
        ("https://r.example/", "https://r.example/"),
        ("http://r.example", "http://r.example"),
    ] {
        assert_eq!(auths(address), [key], "{address}");
    }
}

#[test]
fn docker_hub_gets_an_entry_for_each_of_its_names() {
    let all = ["docker.io", "https://index.docker.io/v1/", "index.docker.io"];
    for address in [
        "docker.io",
        "docker.io/",
        "index.docker.io",
        "registry-1.docker.io",
        "https://index.docker.io/v1/",
        "https://docker.io",
    ] {
        let mut keys = auths(address);
        keys.sort();
        assert_eq!(keys, all, "{address}");
    }
    assert_eq!(auths("docker.io/team/"), ["docker.io/team", "index.docker.io/team"]);
    assert_eq!(auths("docker.io.example"), ["docker.io.example"]);
    assert_eq!(auths("hub.docker.io"), ["hub.docker.io"]);
}

#[test]
fn addresses_of_the_same_registry_are_duplicates() {
    let two = |one: &'static str, other: &'static str| {
        let more = [("X_REGISTRY", other), ("X_REGISTRY_USERNAME", "u"), ("X_REGISTRY_PASSWORD", "p")];
        error(&[&with(&REGISTRY, "REGISTRY", one)[..], &more].concat(), Format::DockerConfig)
    };
    for (one, other) in [
        ("docker.io", "index.docker.io"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("https://r.example/a", "https://r.example/b"),
        ("r.example", "https://r.example/a"),
        ("r.example/a/", "r.example/a"),
    ] {
        assert_eq!(two(one, other), Some(("X_REGISTRY".into(), UnrenderableReason::DuplicateAddress)), "{one} {other}");
    }
    for (one, other) in [("r.example", "r.example/a"), ("r.example/a", "r.example/b"), ("docker.io", "docker.io/a")] {
        assert_eq!(two(one, other), None, "{one} {other}");
    }
}

#[test]
fn netrc_machines_are_hosts_without_a_port() {
    for machine in ["a", "127.0.0.1", "a.b-c.example", "a_b"] {
        assert_eq!(error(&with(&NETRC, "NETRC_MACHINE", machine), Format::Netrc), None, "{machine}");
    }
    for machine in ["", "A", "a:80", "https://a", "a/", "a b", "a\n", "[::1]", "é", "#a", "\"a\""] {
        let refused = error(&with(&NETRC, "NETRC_MACHINE", machine), Format::Netrc);
        assert_eq!(refused, Some(("NETRC_MACHINE".into(), UnrenderableReason::NotAnAddress)), "{machine:?}");
    }
}

#[test]
fn npm_tokens_must_be_bearer_tokens() {
    for token in ["a", "glpat-x_Y", "eyJh.eyJz.c2ln", "a/b+c==", "True", "falsey"] {
        assert_eq!(error(&with(&NPM, "NPM_TOKEN", token), Format::Npmrc), None, "{token}");
    }
    for token in ["", "=", "a=b", "a ", " a", "a\n", "a\r", "\"a\"", "'a'", "a;b", "a#b", "${HOME}", "a\\b", "é", "a\0"]
    {
        let refused = error(&with(&NPM, "NPM_TOKEN", token), Format::Npmrc);
        assert_eq!(refused, Some(("NPM_TOKEN".into(), UnrenderableReason::NotAToken)), "{token:?}");
    }
    for word in ["true", "false", "null", "undefined"] {
        assert!(error(&with(&NPM, "NPM_TOKEN", word), Format::Npmrc).is_some(), "{word}");
    }
}

#[test]
fn netrc_refuses_words_that_readers_read_differently() {
    let (long, too_long) = ("x".repeat(3986), "x".repeat(3987));
    for value in ["'", "a\"b", "a#b", "machine", "default", "a,$(id)`", "!", "~", &long] {
        assert_eq!(error(&with(&NETRC, "NETRC_PASSWORD", value), Format::Netrc), None, "{value:?}");
    }
    for value in
        ["", " ", "a b", "a\tb", "a\n", "\r", "\u{b}", "a\0", "\u{7f}", "é", "\\", "a\\b", "\"a", "#a", &too_long]
    {
        let refused = error(&with(&NETRC, "NETRC_PASSWORD", value), Format::Netrc);
        assert_eq!(refused, Some(("NETRC_PASSWORD".into(), UnrenderableReason::ReadersDisagree)), "{value:?}");
    }
    for value in ["", "a b", "a:b", "a\\b", "\"a", "#a", "é"] {
        let refused = error(&with(&NETRC, "NETRC_LOGIN", value), Format::Netrc);
        assert_eq!(refused, Some(("NETRC_LOGIN".into(), UnrenderableReason::ReadersDisagree)), "{value:?}");
    }
}

#[test]
fn docker_config_refuses_empty_and_ambiguous_credentials() {
    for value in [" ", ":", "a:b", "\n", "é", "\"}", "\u{7f}"] {
        assert_eq!(error(&with(&REGISTRY, "REGISTRY_PASSWORD", value), Format::DockerConfig), None, "{value:?}");
    }
    for (name, value) in [
        ("REGISTRY_PASSWORD", ""),
        ("REGISTRY_PASSWORD", "a\0"),
        ("REGISTRY_USERNAME", ""),
        ("REGISTRY_USERNAME", "a:b"),
        ("REGISTRY_USERNAME", "\0"),
    ] {
        let refused = error(&with(&REGISTRY, name, value), Format::DockerConfig);
        assert_eq!(refused, Some((name.into(), UnrenderableReason::ReadersDisagree)), "{value:?}");
    }
}

#[test]
fn a_complete_config_json_is_returned_unchanged() {
    for name in ["DOCKER_AUTH_CONFIG", ".dockerconfigjson"] {
        for file in [
            "{}",
            r#"{"auths":{}}"#,
            "{\n  \"auths\": {\"a\": {}, \"b\": {\"auth\": \"dTpw\", \"email\": \"x\"}}\n}\n",
            r#"{"auths":{"a":{"username":"u","password":"\"\u0000é","identitytoken":"t"}}}"#,
        ] {
            assert_eq!(text(&[(name, file)], Format::DockerConfig), file);
        }
        for file in [
            "",
            " ",
            "null",
            "[]",
            "[{}]",
            "[{\"a\":{}}]",
            "{",
            "{}{}",
            "{} x",
            r#"{"auths":null}"#,
            r#"{"auths":[]}"#,
            r#"{"auths":{"a":null}}"#,
            r#"{"auths":{"a":[]}}"#,
            r#"{"auths":{"a":"dTpw"}}"#,
            r#"{"auths":{"a":{"auth":1}}}"#,
            r#"{"auths":{"a":{"auth":null}}}"#,
            r#"{"auths":{"a":{"auth":{}}}}"#,
            r#"{"Auths":{}}"#,
            r#"{"auths":{},"credHelpers":{"a":"evil"}}"#,
            r#"{"auths":{},"CredsStore":"evil"}"#,
            r#"{"auths":{},"cliPluginsExtraDirs":["/tmp"]}"#,
            r#"{"a":{"auth":"dTpw"}}"#,
        ] {
            assert_eq!(
                refused(name, file, true, Format::DockerConfig),
                Some(UnrenderableReason::NotAConfigJson),
                "{file}"
            );
        }
        let beside = [(name, "{}"), ("REGISTRY", "a")];
        assert_eq!(
            error(&beside, Format::DockerConfig),
            Some(("REGISTRY".into(), UnrenderableReason::NotACredentialKey))
        );
    }
    let both = [("DOCKER_AUTH_CONFIG", "{}"), (".dockerconfigjson", "{}")];
    assert_eq!(
        error(&both, Format::DockerConfig),
        Some((".dockerconfigjson".into(), UnrenderableReason::NotACredentialKey))
    );
}

#[test]
fn a_deeply_nested_config_json_is_refused() {
    let deep = format!("{{\"auths\":{{\"a\":{{\"auth\":{}", "[".repeat(100_000));
    assert_eq!(
        refused("DOCKER_AUTH_CONFIG", &deep, true, Format::DockerConfig),
        Some(UnrenderableReason::NotAConfigJson)
    );
}
