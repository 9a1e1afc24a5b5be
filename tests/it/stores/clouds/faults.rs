//! Failing servers of both clouds: never reported as a missing secret, never longer than the timeout, and nothing in the log.

use super::super::{NO_CACHE, SHORT_TIMEOUT, StoreRig, single_value};
use super::{TOKEN, azure, google};
use crate::rig::clouds::azure::Azure;
use crate::rig::clouds::google::Google;
use crate::rig::fake::Reaction;
use crate::rig::recorded_log::RecordedLog;
use claviger::stores::ReadError::Unavailable;
use std::time::{Duration, Instant};

/// Long enough for a login on a busy machine before the failing call.
const PATIENT: Duration = Duration::from_secs(3);

/// A stub of each cloud with a secret.
struct BothClouds {
    azure: Azure,
    google: Google,
}

impl BothClouds {
    async fn start() -> Self {
        let both = Self { azure: Azure::start(TOKEN).await, google: Google::start(TOKEN).await };
        both.azure.put("homelab--canary-path", r#"{"K":"canary-answer"}"#);
        both.google.put("homelab__canary-path", br#"{"K":"canary-answer"}"#);
        both
    }

    fn rigs(&self, timeout: Duration) -> [StoreRig; 2] {
        [
            azure(&self.azure, NO_CACHE, |config| config.timeout = timeout),
            google(&self.google, NO_CACHE, |config| config.timeout = timeout),
        ]
    }

    /// Sets the reaction of the vault and of the API to reads.
    fn set_read_reaction(&self, act: Option<&Reaction>) {
        self.azure.state().vault_reaction = act.cloned();
        self.google.state().api_reaction = act.cloned();
    }

    /// Sets the reaction of the token servers.
    fn set_login_reaction(&self, act: Option<&Reaction>) {
        self.azure.state().authority_reaction = act.cloned();
        self.google.state().exchange_reaction = act.cloned();
    }
}

fn reactions() -> Vec<(&'static str, Reaction)> {
    let answer = |status: &str, body: &str| Reaction::Answer(status.into(), String::new(), body.into());
    vec![
        ("html", answer("200 OK", "<html>")),
        ("broken JSON", answer("200 OK", r#"{"value":"{\"K"#)),
        ("nothing", answer("200 OK", "")),
        ("no content", answer("204 No Content", "")),
        ("nonsense", Reaction::Raw(b"\xff\xff\r\n\r\n".into())),
        ("endless", Reaction::Endless),
        ("1 GiB", Reaction::Huge),
        ("trickle", Reaction::Trickle),
        ("black hole", Reaction::Silence),
        ("late", Reaction::Delayed(Duration::from_secs(10), Box::new(answer("200 OK", "{}")))),
        ("hangs up", Reaction::HangUp),
    ]
}

#[tokio::test]
async fn faults_are_never_an_absence_and_never_exceed_the_time_limit() {
    let both = BothClouds::start().await;
    for rig in both.rigs(Duration::from_secs(10)) {
        assert_eq!(rig.read("homelab/canary-path").await, single_value("K", "canary-answer"), "without a fault");
    }
    for (name, act) in reactions() {
        for logins in [false, true] {
            let rigs = both.rigs(SHORT_TIMEOUT);
            if logins {
                both.set_login_reaction(Some(&act));
            } else {
                both.set_read_reaction(Some(&act));
            }
            for rig in &rigs {
                let began = Instant::now();
                assert_eq!(rig.read("homelab/canary-path").await, Err(Unavailable), "{name} at {}", rig.name);
                assert!(began.elapsed() < Duration::from_secs(5), "{name} at {}: {:?}", rig.name, began.elapsed());
            }
            both.set_read_reaction(None);
            both.set_login_reaction(None);
        }
    }
}

#[tokio::test]
async fn an_untrusted_server_gets_no_token_and_the_proxy_is_not_bypassed() {
    // Another CA, and an address without a server.
    let (both, other) = (BothClouds::start().await, Azure::start(TOKEN).await);
    let strange = azure(&both.azure, NO_CACHE, |config| config.ca_file = Some(other.ca_file()));
    assert_eq!(strange.read("homelab/canary-path").await, Err(Unavailable));
    assert_eq!(both.azure.state().logins, 0, "no token is sent to an untrusted server");
    let nobody = google(&both.google, NO_CACHE, |config| config.endpoint_url = "https://127.0.0.1:1".into());
    assert_eq!(nobody.read("homelab/canary-path").await, Err(Unavailable));
    let proxied = azure(&both.azure, NO_CACHE, |config| config.proxy_url = Some("http://127.0.0.1:1".into()));
    assert_eq!(proxied.read("homelab/canary-path").await, Err(Unavailable), "the proxy is not bypassed");
}

#[tokio::test]
async fn the_log_of_a_failed_call_has_no_path_token_or_response() {
    let log = RecordedLog::as_served();
    let both = BothClouds::start().await;
    let refusal = |body: &str| Reaction::Answer("403 Forbidden".into(), String::new(), body.into());
    for act in [refusal("canary-answer"), Reaction::HangUp, Reaction::Huge, Reaction::Silence] {
        let rigs = both.rigs(PATIENT);
        both.set_read_reaction(Some(&act));
        for rig in &rigs {
            assert!(rig.read("homelab/canary-path").await.is_err());
        }
        both.set_read_reaction(None);
    }
    both.set_login_reaction(Some(&refusal("canary-answer")));
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
