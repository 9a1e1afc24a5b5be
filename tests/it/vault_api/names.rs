//! Ten thousand pairs of names in each client library's own path encoding: each decodes to the original pair.

use crate::rig::oidc::{TestServer, allow};
use crate::rig::vault_client::{CertificateAuthority, Client, ClientKind};
use claviger::model::branch::Branch;
use claviger::model::path_encoding;
use claviger::model::repo::Repo;
use serde_json::json;
use std::fmt::Write as _;

const PAIRS: usize = 10_000;

/// A small generator with a fixed seed, so that a failure can be repeated.
struct Lehmer(u64);

impl Lehmer {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn text(&mut self, alphabet: &[char]) -> String {
        (0..=self.below(12)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn name(&mut self, alphabet: &[char], is_name: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.text(alphabet);
            if is_name(&text) {
                return text;
            }
        }
    }
}

fn pairs() -> Vec<(String, String)> {
    let mut random = Lehmer(20_261_129);
    let repo: Vec<char> = "abZ09._~@+-//  ".chars().collect();
    let branch: Vec<char> = "abZ09._/@+-=%#!$&'(),;\"<>|{}`é\u{301}中\u{202e}\u{1f511}/".chars().collect();
    let pair = |_| {
        (
            random.name(&repo, |text| Repo::try_from(text).is_ok()),
            random.name(&branch, |text| Branch::try_from(text).is_ok()),
        )
    };
    (0..PAIRS).map(pair).collect()
}

fn assert_pairs_are_read(kind: ClientKind) {
    let authority = CertificateAuthority::new();
    // All are permitted and find nothing: repeated refusals would be counted instead of recorded one by one.
    let all =
        allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["**"], "branches": ["**"], "delivery": ["direct"]}));
    let limits = json!({"requestsPerSecondPerCaller": 100_000});
    let config = json!({"server": authority.server_section(), "audit": {"stdout": false}, "limits": limits});
    let server = TestServer::start(&json!({}), &[("all", all)], &config, &[]);
    let pairs = pairs();
    let mut lines = String::new();
    for (repo, branch) in &pairs {
        path_encoding::append(&mut lines, repo).unwrap();
        lines.push('/');
        path_encoding::append(&mut lines, branch).unwrap();
        writeln!(lines).unwrap();
    }
    let file = authority.path("names");
    std::fs::write(&file, lines).unwrap();
    let ran = Client { kind, server: &server, authority: &authority }.read_all(&server.issuer.token(&json!({})), &file);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answers: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(answers.len(), PAIRS);

    // The event shows how repo and branch were read.
    let events = server.audit_events();
    let read: Vec<_> = events.iter().filter(|event| event["type"] == "secrets.read").collect();
    assert_eq!(read.len(), PAIRS);
    for ((repo, branch), event) in pairs.iter().zip(&read) {
        assert_eq!(
            (event["repo"].as_str(), event["branch"].as_str()),
            (Some(repo.as_str()), Some(branch.as_str())),
            "{event}"
        );
    }
}

#[test]
fn by_hashicorps_go_client() {
    assert_pairs_are_read(ClientKind::Go);
}

#[test]
fn by_pythons_hvac() {
    assert_pairs_are_read(ClientKind::Hvac);
}

#[test]
fn by_node_vault() {
    assert_pairs_are_read(ClientKind::NodeVault);
}
