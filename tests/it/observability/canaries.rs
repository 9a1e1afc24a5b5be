//! Canaries: with the most verbose logging, values, tokens and tickets appear only where they belong.

use crate::rig::claviger::download_path;
use crate::rig::fake::{Fake, Reaction, json as answer, valid_answer};
use crate::rig::http::{Answer, request};
use crate::rig::oidc::{TestServer, allow};
use crate::rig::rotel::Rotel;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use claviger::model::secret::SecretValue;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::panic::catch_unwind;

const CANARIES: usize = 256;
/// The shortest text that is searched for.
const PREFIX: usize = 12;

/// A value that differs in every encoding.
pub fn canary(number: usize) -> String {
    format!(
        "{:016x}-canary-{number:03}-\"/?<é>\n{}",
        0x9e37_79b9_7f4a_7c15u64.wrapping_mul(number as u64 + 1),
        "x~".repeat(4)
    )
}

pub fn encodings(secret: &str) -> Vec<String> {
    let mut hex = String::new();
    let mut url = String::new();
    for byte in secret.bytes() {
        write!(hex, "{byte:02x}").unwrap();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").unwrap();
        }
    }
    let json = json!(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        hex.to_uppercase(),
        hex,
        url.to_lowercase(),
        url,
        json.trim_matches('"').to_owned(),
        format!("{secret:?}").trim_matches('"').to_owned(),
    ];
    // Wherever the value starts in a longer encoded text, this middle part is the same.
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            let shifted = engine.encode(format!("{}{secret}", "x".repeat(shift)));
            let begin = if shift == 0 { 0 } else { 4 };
            all.push(shifted[begin..shifted.len() - 4].to_owned());
        }
    }
    all
}

/// Searches for many texts at once, by their prefixes.
pub struct Search<'a> {
    by_prefix: HashMap<&'a [u8], Vec<&'a str>>,
}

impl<'a> Search<'a> {
    pub fn of(texts: &'a [String]) -> Self {
        let mut by_prefix: HashMap<&[u8], Vec<&str>> = HashMap::new();
        for text in texts {
            by_prefix.entry(&text.as_bytes()[..PREFIX]).or_default().push(text);
        }
        Self { by_prefix }
    }

    pub fn hits(&self, place: &[u8]) -> Vec<&'a str> {
        let found = |at: usize| {
            let texts = self.by_prefix.get(&place[at..at + PREFIX]);
            texts.into_iter().flatten().copied().filter(move |text| place[at..].starts_with(text.as_bytes()))
        };
        (0..place.len().saturating_sub(PREFIX - 1)).flat_map(found).collect()
    }
}

/// The output, the traffic and the stored data of the server, by name.
fn places(server: &TestServer, rotel: &Rotel, refusals: &[Answer]) -> Vec<(String, Vec<u8>)> {
    let mut places = vec![
        ("/metrics".to_owned(), request(server.ops, "GET", "/metrics", &[], b"").body),
        ("stdout".to_owned(), server.stdout().into_bytes()),
        ("stderr".to_owned(), server.log().into_bytes()),
        ("traces".to_owned(), rotel.text().into_bytes()),
        (
            "refusals".to_owned(),
            refusals.iter().flat_map(|answer| format!("{:?}", answer.headers).into_bytes()).collect(),
        ),
        ("refusals' bodies".to_owned(), refusals.iter().flat_map(|answer| answer.body.clone()).collect()),
    ];
    for entry in std::fs::read_dir(server.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("claviger.db") {
            places.push((name, std::fs::read(&path).unwrap()));
        }
    }
    places
}

fn content_of<'a>(places: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    &places.iter().find(|(told, _)| told == name).unwrap_or_else(|| panic!("no {name}")).1
}

fn contains(place: &[u8], text: &str) -> bool {
    place.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_search_finds_a_canary_in_every_encoding_and_nothing_where_there_is_none() {
    let told: Vec<String> = (0..CANARIES).flat_map(|n| encodings(&canary(n))).collect();
    let search = Search::of(&told);
    for encoded in encodings(&canary(77)) {
        assert!(!search.hits(format!("some text {encoded} around it").as_bytes()).is_empty(), "{encoded}");
    }
    // Base64 depends on the position: up to two bytes may come before.
    for before in ["", "a", "ab", "abc"] {
        assert!(!search.hits(STANDARD.encode(format!("{before}{}{before}", canary(3))).as_bytes()).is_empty());
    }
    assert!(search.hits(canary(CANARIES).as_bytes()).is_empty());
}

#[test]
fn a_panic_does_not_print_the_secret_it_holds() {
    fn with_a_secret() {
        panic!("{:?}", Some((SecretValue::new(canary(0)), "the rest")));
    }
    let told = encodings(&canary(0));
    let panicked = catch_unwind(with_a_secret).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.contains("the rest") && Search::of(&told).hits(message.as_bytes()).is_empty(), "{message}");
}

#[test]
fn no_secret_is_printed_stored_or_sent_with_everything_logged() {
    let rotel = Rotel::start();
    let secrets: Map<String, Value> =
        (0..CANARIES).map(|n| (format!("homelab/site/b{n}"), json!({format!("KEY_{n}"): canary(n)}))).collect();
    let policies = [("p", allow(&["homelab/{repo}/{branch}"], &json!({"delivery": ["ticket", "direct"]})))];
    let config = json!({"telemetry": {"logLevel": "trace", "otlpEndpoint": rotel.address}});
    let server = TestServer::start(&secrets.into(), &policies, &config, &[]);
    let mut told: Vec<String> = (0..CANARIES).flat_map(|n| encodings(&canary(n))).collect();
    let mut refusals = Vec::new();
    for n in 0..CANARIES {
        let token = server.issuer.token(&json!({}));
        let issued = server.ask(&token, &format!("repo=site&branch=b{n}"));
        let path = download_path(&issued);
        // Every outcome: refused, unrenderable, redeemed, repeated, delivered directly, not redeemed.
        refusals.push(server.download(&format!("{path}?format=bad")));
        let dotenv = server.download(&format!("{path}?format=dotenv"));
        assert!(dotenv.status == 200 || dotenv.status == 422, "{dotenv:?}");
        if dotenv.status != 200 {
            refusals.push(dotenv);
        }
        if n % 2 == 0 {
            let answer = server.download(&format!("{path}?format=json"));
            assert!(answer.status == 410 || answer.json()[format!("KEY_{n}")] == canary(n), "{answer:?}");
            refusals.push(server.download(&path));
        }
        if n % 8 == 0 {
            let bearer = format!("Bearer {token}");
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
            let delivered =
                server.send("POST", "/v1/secrets", &headers, format!("repo=site&branch=b{n}&format=json").as_bytes());
            assert_eq!(delivered.json()[format!("KEY_{n}")], canary(n));
        }
        let (id, key) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
        told.extend([id.to_owned(), key.to_owned(), token.rsplit('.').next().unwrap().to_owned()]);
    }
    // Invalid requests contain secrets too.
    let stray = server.issuer.token(&json!({"aud": "other"}));
    refusals.push(server.ask(&stray, "repo=site&branch=main"));
    refusals.push(server.asks_json(r#"{"repo":"site","branch":"main","password":"hunter2-hunter2"}"#));
    refusals.push(server.asks("repo=site&branch=main&password=hunter2-hunter2"));
    let headers =
        [("Cookie", "hunter2-hunter2"), ("traceparent", "hunter2-hunter2"), ("tracestate", "a=hunter2-hunter2")];
    refusals.push(server.send("GET", "/v1/downloads/hunter2-hunter2?token=hunter2-hunter2", &headers, b""));
    told.extend([stray.rsplit('.').next().unwrap().to_owned(), "hunter2-hunter2".to_owned()]);
    assert!(refusals.iter().all(|answer| answer.status >= 400));
    crate::rig::claviger::wait_until("the last trace", || rotel.text().matches("/v1/downloads").count() > CANARIES);

    let places = places(&server, &rotel, &refusals);
    assert!(content_of(&places, "claviger.db-wal").len() > 1000, "the WAL is read");
    let search = Search::of(&told);
    let hits: Vec<String> = places
        .iter()
        .flat_map(|(name, text)| search.hits(text).into_iter().map(move |hit| format!("{hit} in {name}")))
        .collect();
    assert!(hits.is_empty(), "{hits:#?}");
    // The control: the search covers the place of the log.
    assert!(contains(content_of(&places, "stderr"), "listening"));
    assert!(
        contains(content_of(&places, "stdout"), "KEY_255")
            && contains(content_of(&places, "stdout"), "homelab/site/b255")
    );
    assert!(contains(content_of(&places, "traces"), "POST /v1/secrets"));
    assert!(contains(content_of(&places, "refusals' bodies"), "ticket_redeemed"));
    // The control: a canary in the log's text would be found.
    let planted = [content_of(&places, "stderr"), canary(200).as_bytes()].concat();
    assert!(!search.hits(&planted).is_empty());
}

#[test]
fn no_path_token_or_answer_of_a_vault_is_logged_or_traced_with_everything_logged() {
    const TOKEN: &str = "hvs.canary-of-the-broker";
    const JWT: &str = "eyJh.eyJi.canary-of-the-login";
    const PATH: &str = "canary-of-a-path";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::start(|line| {
        let told = format!(r#"{{"errors":["{TOKEN} at {PATH}"]}}"#);
        match line.split(' ').nth(1).unwrap() {
            path if path.ends_with("/login") => {
                answer(&format!(r#"{{"auth":{{"client_token":"{TOKEN}","lease_duration":60,"renewable":true}}}}"#))
            }
            path if path.contains("/mounts/") => valid_answer(line),
            path if path.ends_with("-good") => {
                answer(&json!({"data": {"data": {"K": canary(0)}, "metadata": {"version": 1}}}).to_string())
            }
            path if path.ends_with("-forbidden") => Reaction::Answer("403 Forbidden".into(), String::new(), told),
            path if path.ends_with("-failed") => Reaction::Answer("500 Oops".into(), String::new(), told),
            path if path.ends_with("-nonsense") => answer(&format!("{told}, {{")),
            path if path.ends_with("-broken") => Reaction::HangUp,
            path if path.ends_with("-huge") => Reaction::Huge,
            _ => valid_answer(line),
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jwt"), JWT).unwrap();
    let auth = json!({"kubernetes": {"role": "claviger", "tokenFile": folder.path().join("jwt")}});
    let rotel = Rotel::start();
    let config = json!({
        "telemetry": {"logLevel": "trace", "otlpEndpoint": rotel.address},
        "stores": [{"name": "vault", "vault": {"address": fake.address, "auth": auth}}],
    });
    let secrets = json!([{"store": "vault", "path": "homelab/{repo}/{branch}"}]);
    let policies = [("p", allow(&[], &json!({"secrets": secrets, "delivery": ["direct"]})))];
    let server = TestServer::start(&json!({}), &policies, &config, &[]);
    let bearer = format!("Bearer {}", server.issuer.token(&json!({})));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    for (kind, status) in
        [("good", 200), ("forbidden", 502), ("failed", 503), ("nonsense", 503), ("broken", 503), ("huge", 503)]
    {
        let form = format!("repo=site&branch={PATH}-{kind}&format=json");
        let answer = server.send("POST", "/v1/secrets", &headers, form.as_bytes());
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
    }
    crate::rig::claviger::wait_until("the last trace", || rotel.text().matches("POST /v1/secrets").count() >= 6);

    let told: Vec<String> = [TOKEN, JWT, PATH, &canary(0)].into_iter().flat_map(encodings).collect();
    let search = Search::of(&told);
    for (name, text) in [("stderr", server.log()), ("traces", rotel.text()), ("metrics", server.metrics())] {
        assert_eq!(search.hits(text.as_bytes()), Vec::<&str>::new(), "{name}");
    }
    // The control: the log has its text, and the audit log contains the path.
    assert!(server.log().contains("a call to the store failed"));
    assert!(server.stdout().contains(PATH));
}
