//! Every kind of faulty server, compared with the expected result in `behaviours.yaml`.

use super::StoreRig;
use crate::rig::fake::{Fake, Reaction, SECRET, valid_answer};
use claviger::config::cache::Cache;
use claviger::stores::ReadError;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No cached value is fresh, and every one may be served stale.
const STALE_ONLY: Cache = Cache {
    ttl: Duration::ZERO,
    negative_ttl: Duration::ZERO,
    serve_stale_for: Duration::from_mins(10),
    max_entries: 10,
};
/// The maximum duration of a read: a few calls, each within its timeout, on a busy machine.
const MAX_READ_DURATION: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Behaviour {
    name: String,
    does: Option<Does>,
    answer: Option<Answer>,
    bytes: Option<String>,
    #[serde(default)]
    flaps: bool,
    read: Option<Verdicts>,
    preflight: Option<Verdict>,
    login: Option<Verdicts>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Does {
    Refuse,
    Nothing,
    Delayed,
    Trickle,
    Endless,
    Huge,
    HangUp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: String,
    header: Option<String>,
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdicts {
    first: Verdict,
    again: Option<Verdict>,
    cached: Verdict,
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Stale,
    Absent,
    Deleted,
    Misconfigured,
    Forbidden,
    Unavailable,
}

impl Behaviour {
    fn all() -> Vec<Self> {
        serde_saphyr::from_str(include_str!("behaviours.yaml")).unwrap()
    }

    /// The fake's reaction. `elsewhere` is an address without a server.
    fn reaction(&self, elsewhere: &str) -> Reaction {
        let fill = |text: &str| {
            let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            text.replace("ELSEWHERE", elsewhere).replace("NESTED", &nested).replace("GOOD", SECRET)
        };
        match (self.does, &self.answer, &self.bytes) {
            (Some(Does::Refuse | Does::HangUp), None, None) => Reaction::HangUp,
            (Some(Does::Nothing), None, None) => Reaction::Silence,
            (Some(Does::Delayed), None, None) => {
                Reaction::Delayed(Duration::from_secs(10), Box::new(valid_answer("GET /v1/homelab/data/a HTTP/1.1")))
            }
            (Some(Does::Trickle), None, None) => Reaction::Trickle,
            (Some(Does::Endless), None, None) => Reaction::Endless,
            (Some(Does::Huge), None, None) => Reaction::Huge,
            (None, Some(answer), None) => {
                let header = answer.header.as_ref().map(|header| format!("{}\r\n", fill(header)));
                Reaction::Answer(answer.status.clone(), header.unwrap_or_default(), fill(&answer.body))
            }
            (None, None, Some(text)) => Reaction::Raw(text.chars().map(|byte| u8::try_from(byte).unwrap()).collect()),
            _ => panic!("{}: one of does, answer, bytes", self.name),
        }
    }

    /// A server that treats calls that contain `call` in this way once the switch is on. It answers other calls
    /// correctly, or refuses them if `tokens_die`.
    async fn server(&self, elsewhere: &str, call: &'static str, tokens_die: bool) -> Server {
        let on = Arc::new(AtomicBool::new(false));
        let (switch, act, flaps, calls) = (on.clone(), self.reaction(elsewhere), self.flaps, AtomicUsize::new(0));
        let fake = Fake::start(move |line| {
            let is_on = switch.load(Ordering::SeqCst);
            if is_on && line.contains(call) && (!flaps || calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)) {
                return act.clone();
            }
            if is_on && tokens_die { forbidden() } else { valid_answer(line) }
        })
        .await;
        Server { address: fake.address.clone(), fake: Some(fake), on, refuses: self.does == Some(Does::Refuse) }
    }

    async fn check_read(&self, elsewhere: &str) -> Vec<String> {
        let Some(verdicts) = &self.read else { return vec![] };
        let mut server = self.server(elsewhere, "/data/", false).await;
        let rig = StoreRig::with_short_timeout(&server.address, STALE_ONLY);
        assert_eq!(verdict(&rig, "homelab/a").await, Verdict::Ok, "{}", self.name);
        server.misbehave();
        verdicts.compare(&rig).await
    }

    async fn check_preflight(&self, elsewhere: &str) -> Vec<String> {
        let Some(expected) = self.preflight else { return vec![] };
        let mut server = self.server(elsewhere, "/mounts/", false).await;
        server.misbehave();
        let rig = StoreRig::with_short_timeout(&server.address, STALE_ONLY);
        differs("first", verdict(&rig, "homelab/a").await, expected).into_iter().collect()
    }

    async fn check_login(&self, elsewhere: &str) -> Vec<String> {
        let Some(verdicts) = &self.login else { return vec![] };
        let mut server = self.server(elsewhere, "/login", true).await;
        let rig = StoreRig::logging_in(&server.address, STALE_ONLY);
        assert_eq!(verdict(&rig, "homelab/a").await, Verdict::Ok, "{}", self.name);
        server.misbehave();
        verdicts.compare(&rig).await
    }
}

/// The differences between a behaviour's results and the expected ones.
async fn check(behaviour: &Behaviour, elsewhere: &str) -> Vec<String> {
    let (read, preflight, login) = tokio::join!(
        behaviour.check_read(elsewhere),
        behaviour.check_preflight(elsewhere),
        behaviour.check_login(elsewhere)
    );
    let named = |call: &str, found: Vec<String>| -> Vec<String> {
        found.iter().map(|found| format!("{}: {call}: {found}", behaviour.name)).collect()
    };
    [named("read", read), named("preflight", preflight), named("login", login)].concat()
}

/// A fake that starts to fail.
struct Server {
    address: String,
    fake: Option<Fake>,
    on: Arc<AtomicBool>,
    refuses: bool,
}

impl Server {
    fn misbehave(&mut self) {
        self.on.store(true, Ordering::SeqCst);
        if self.refuses {
            self.fake = None;
        }
    }
}

impl Verdicts {
    /// The differences from the expected results, where `homelab/a` is cached and `homelab/b` is not.
    async fn compare(&self, rig: &StoreRig) -> Vec<String> {
        let mut wrong = Vec::new();
        let began = Instant::now();
        wrong.extend(differs("first", verdict(rig, "homelab/b").await, self.first));
        if began.elapsed() > MAX_READ_DURATION {
            wrong.push(format!("held a request for {:?}", began.elapsed()));
        }
        if let Some(again) = self.again {
            wrong.extend(differs("again", verdict(rig, "homelab/b").await, again));
        }
        wrong.extend(differs("cached", verdict(rig, "homelab/a").await, self.cached));
        wrong
    }
}

async fn verdict(rig: &StoreRig, path: &str) -> Verdict {
    match rig.lease(path).await {
        Ok(lease) if lease.data.contains_key("K") => {
            if lease.stale {
                Verdict::Stale
            } else {
                Verdict::Ok
            }
        }
        Ok(lease) => panic!("unexpected secret: {lease:?}"),
        Err(ReadError::Absent) => Verdict::Absent,
        Err(ReadError::Deleted) => Verdict::Deleted,
        Err(ReadError::Misconfigured | ReadError::EngineMismatch(_)) => Verdict::Misconfigured,
        Err(ReadError::Forbidden) => Verdict::Forbidden,
        Err(ReadError::Unavailable) => Verdict::Unavailable,
    }
}

fn differs(which: &str, found: Verdict, expected: Verdict) -> Option<String> {
    (found != expected).then(|| format!("{which} is {found:?} and should be {expected:?}"))
}

fn forbidden() -> Reaction {
    Reaction::Answer("403 Forbidden".into(), String::new(), r#"{"errors":["permission denied"]}"#.into())
}

#[tokio::test]
async fn each_behaviour_of_a_server_has_its_verdict() {
    let elsewhere = Fake::start(valid_answer).await;
    let mut wrong = Vec::new();
    for behaviour in Behaviour::all() {
        wrong.extend(check(&behaviour, &elsewhere.address).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(elsewhere.requests(), 0, "no redirect is followed");
}

#[test]
fn no_faulty_behaviour_makes_a_secret_absent() {
    let behaviours = Behaviour::all();
    let names: BTreeSet<_> = behaviours.iter().map(|behaviour| &behaviour.name).collect();
    assert_eq!(names.len(), behaviours.len(), "a name twice");
    for behaviour in &behaviours {
        let of = |verdicts: &Verdicts| [Some(verdicts.first), verdicts.again, Some(verdicts.cached)];
        let calls = [&behaviour.read, &behaviour.login].into_iter().flatten().flat_map(of).flatten();
        let verdicts: Vec<_> = calls.chain(behaviour.preflight).collect();
        assert!(!verdicts.is_empty(), "{} is not tested", behaviour.name);
        assert!(!verdicts.contains(&Verdict::Absent) && !verdicts.contains(&Verdict::Deleted), "{}", behaviour.name);
    }
}
