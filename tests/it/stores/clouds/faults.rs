//! How both stores meet a server in trouble: never an absence, never longer than the budget, and nothing in the log.

use super::super::{IMPATIENT, NO_CACHE, Rig, one};
use super::{TOKEN, azure, google};
use crate::rig::clouds::azure::Azure;
use crate::rig::clouds::google::Google;
use crate::rig::fake::Act;
use crate::rig::recorded_log::RecordedLog;
use claviger::stores::ReadError::Unavailable;
use std::time::{Duration, Instant};

/// Long enough for a login on a busy machine, which a failed call is to follow.
const PATIENT: Duration = Duration::from_secs(3);

/// A stub of each cloud with a good secret, and impatient stores of them.
struct Both {
    azure: Azure,
    google: Google,
}

impl Both {
    async fn start() -> Self {
        let both = Self { azure: Azure::start(TOKEN).await, google: Google::start(TOKEN).await };
        both.azure.put("homelab--canary-path", r#"{"K":"canary-answer"}"#);
        both.google.put("homelab__canary-path", br#"{"K":"canary-answer"}"#);
        both
    }

    fn rigs(&self, timeout: Duration) -> [Rig; 2] {
        [
            azure(&self.azure, NO_CACHE, |config| config.timeout = timeout),
            google(&self.google, NO_CACHE, |config| config.timeout = timeout),
        ]
    }

    /// What the vault and the API do.
    fn reads_do(&self, act: Option<&Act>) {
        self.azure.state().vault_says = act.cloned();
        self.google.state().api_says = act.cloned();
    }

    /// What the token servers do.
    fn logins_do(&self, act: Option<&Act>) {
        self.azure.state().authority_says = act.cloned();
        self.google.state().exchange_says = act.cloned();
    }
}

fn troubles() -> Vec<(&'static str, Act)> {
    let answer = |status: &str, body: &str| Act::Answer(status.into(), String::new(), body.into());
    vec![
        ("html", answer("200 OK", "<html>")),
        ("broken JSON", answer("200 OK", r#"{"value":"{\"K"#)),
        ("nothing", answer("200 OK", "")),
        ("no content", answer("204 No Content", "")),
        ("nonsense", Act::Raw(b"\xff\xff\r\n\r\n".into())),
        ("endless", Act::Endless),
        ("1 GiB", Act::Huge),
        ("trickle", Act::Trickle),
        ("black hole", Act::Silence),
        ("late", Act::Late(Duration::from_secs(10), Box::new(answer("200 OK", "{}")))),
        ("hangs up", Act::HangUp),
    ]
}

#[tokio::test]
async fn faults_are_never_an_absence_and_never_exceed_the_time_limit() {
    let both = Both::start().await;
    for rig in both.rigs(Duration::from_secs(10)) {
        assert_eq!(rig.read("homelab/canary-path").await, one("K", "canary-answer"), "the twin of all");
    }
    for (name, act) in troubles() {
        for logins in [false, true] {
            let rigs = both.rigs(IMPATIENT);
            if logins {
                both.logins_do(Some(&act));
            } else {
                both.reads_do(Some(&act));
            }
            for rig in &rigs {
                let began = Instant::now();
                assert_eq!(rig.read("homelab/canary-path").await, Err(Unavailable), "{name} at {}", rig.name);
                assert!(began.elapsed() < Duration::from_secs(5), "{name} at {}: {:?}", rig.name, began.elapsed());
            }
            both.reads_do(None);
            both.logins_do(None);
        }
    }
}

#[tokio::test]
async fn an_untrusted_server_gets_no_token_and_the_proxy_is_not_bypassed() {
    // Another CA, and nobody there.
    let (both, other) = (Both::start().await, Azure::start(TOKEN).await);
    let strange = azure(&both.azure, NO_CACHE, |config| config.ca_file = Some(other.ca_file()));
    assert_eq!(strange.read("homelab/canary-path").await, Err(Unavailable));
    assert_eq!(both.azure.state().logins, 0, "no token goes to a server that is not known");
    let nobody = google(&both.google, NO_CACHE, |config| config.endpoint_url = "https://127.0.0.1:1".into());
    assert_eq!(nobody.read("homelab/canary-path").await, Err(Unavailable));
    let proxied = azure(&both.azure, NO_CACHE, |config| config.proxy_url = Some("http://127.0.0.1:1".into()));
    assert_eq!(
        proxied.read("homelab/canary-path").await,
        Err(Unavailable),
        "what has a proxy is not reached around it"
    );
}

#[tokio::test]
async fn the_log_of_a_failed_call_has_no_path_token_or_response() {
    let log = RecordedLog::as_served();
    let both = Both::start().await;
    let refusal = |body: &str| Act::Answer("403 Forbidden".into(), String::new(), body.into());
    for act in [refusal("canary-answer"), Act::HangUp, Act::Huge, Act::Silence] {
        let rigs = both.rigs(PATIENT);
        both.reads_do(Some(&act));
        for rig in &rigs {
            assert!(rig.read("homelab/canary-path").await.is_err());
        }
        both.reads_do(None);
    }
    both.logins_do(Some(&refusal("canary-answer")));
    for rig in both.rigs(PATIENT) {
        assert!(rig.read("homelab/canary-path").await.is_err());
    }
    let text = log.text();
    let logged = |kind: &str| text.matches(&format!("kind=\"{kind}\"")).count();
    let kinds = ["Forbidden", "PERMISSION_DENIED", "status", "broken", "body_too_large", "timeout"];
    assert_eq!(kinds.map(logged), [1, 1, 2, 2, 2, 2], "{text}");
    for canary in ["canary", "eyJ.", "ya29", TOKEN] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}
