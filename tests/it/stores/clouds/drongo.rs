//! Secret Manager emulated by drongo: a second check of successful reads. Its `latest` skips disabled versions, unlike Google's, so
//! that is not tested here; it issues no tokens, so the stub does.

use super::super::{NO_CACHE, single_value};
use super::{TOKEN, google};
use crate::rig::clouds::google::Google;
use crate::rig::drongo::Drongo;
use claviger::stores::ReadError::{Absent, Misconfigured};

#[tokio::test]
async fn a_secret_of_the_emulator_is_read_and_a_missing_one_is_absent() {
    let (stub, drongo) = (Google::start(TOKEN).await, Drongo::start().await);
    let rig = google(&stub, NO_CACHE, |config| config.endpoint_url.clone_from(&drongo.address));
    assert_eq!(rig.read("homelab/site/main").await, Err(Absent));
    assert_eq!(drongo.put("homelab__site__main", br#"{"K":"one"}"#).await, "1");
    assert_eq!(rig.read("homelab/site/main").await, single_value("K", "one"));
    assert_eq!(drongo.put("homelab__site__main", br#"{"K":"two"}"#).await, "2");
    let secret = rig.lease("homelab/site/main").await.unwrap();
    assert_eq!(secret.version.as_deref(), Some("2"));
    drongo.put("homelab__plain", b"hunter2").await;
    assert_eq!(rig.read("homelab/plain").await, Err(Misconfigured));
    assert_eq!(rig.stores.check_online().await, [("gcp".into(), Ok(()))]);
}
