//! `docker-config` files, read by skopeo (with the library of Buildah and Podman), which sends what it read to a
//! registry, and by Python.

use super::bundles::{Variables, bundle, hostile_values, value};
use super::listener::Listener;
use super::readers::{Reader, python_docker_config, run};
use claviger::model::format::Format;
use claviger::render::{RenderError, UnrenderableReason, render};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::process::Command;

struct Readers {
    python: Reader,
    registry: Listener,
    folder: tempfile::TempDir,
}

impl Readers {
    fn start() -> Self {
        Self { python: python_docker_config(), registry: Listener::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn host(&self) -> String {
        self.registry.address.to_string()
    }

    /// The credentials that skopeo sends to the registry, as `user:password`.
    fn by_skopeo(&self, file: &[u8]) -> Option<String> {
        let path = self.folder.path().join("config.json");
        std::fs::write(&path, file).unwrap();
        let image = format!("docker://{}/image:tag", self.host());
        run(Command::new("/usr/bin/skopeo")
            .args(["inspect", "--tls-verify=false", "--authfile"])
            .arg(&path)
            .arg(image));
        self.registry.shown_basic()
    }

    /// Whether the credential can be rendered. If so, each reader must return it.
    fn round_trips(&mut self, user: &str, password: &str) -> bool {
        let host = self.host();
        let keys = keys(&[(&host, user, password), ("other.example", "u", "p")]);
        let rendered = match render(&bundle(&keys), &Format::DockerConfig.into()) {
            Ok(rendered) => rendered,
            Err(RenderError::Unrenderable(refused)) => {
                assert_eq!(refused.reason, UnrenderableReason::ReadersDisagree);
                return false;
            }
            Err(other) => panic!("{other}"),
        };
        let pair = format!("{user}:{password}");
        let expected = Variables::from([(host, pair.clone()), ("other.example".into(), "u:p".into())]);
        assert!(self.python.read(&rendered.bytes) == expected, "Python reads {pair:?} otherwise");
        assert_eq!(self.by_skopeo(&rendered.bytes), Some(pair), "skopeo reads it otherwise");
        true
    }
}

fn keys(credentials: &[(&str, &str, &str)]) -> Variables {
    let mut keys = Variables::new();
    for (index, (registry, user, password)) in credentials.iter().enumerate() {
        keys.insert(format!("K{index}_REGISTRY"), (*registry).to_owned());
        keys.insert(format!("K{index}_REGISTRY_USERNAME"), (*user).to_owned());
        keys.insert(format!("K{index}_REGISTRY_PASSWORD"), (*password).to_owned());
    }
    keys
}

#[test]
fn hostile_passwords_come_back_from_every_reader() {
    let mut readers = Readers::start();
    for value in hostile_values().iter().filter(|value| !value.is_empty()) {
        assert!(readers.round_trips("user", value), "{value:?} was refused");
        assert_eq!(readers.round_trips(value, "p"), !value.contains(':'), "{value:?}");
    }
}

#[test]
fn a_registry_that_is_not_in_the_file_is_shown_nothing() {
    let readers = Readers::start();
    let keys = keys(&[("other.example", "u", "p")]);
    let rendered = render(&bundle(&keys), &Format::DockerConfig.into()).expect("renderable");
    // skopeo has no login and sends an empty one.
    assert_eq!(readers.by_skopeo(&rendered.bytes).as_deref(), Some(":"));
}

#[test]
fn a_registry_is_found_by_its_url_too() {
    let readers = Readers::start();
    let keys = keys(&[(&format!("https://{}/v1/", readers.host()), "u", "p")]);
    let rendered = render(&bundle(&keys), &Format::DockerConfig.into()).expect("renderable");
    assert_eq!(readers.by_skopeo(&rendered.bytes).as_deref(), Some("u:p"));
}

#[test]
fn a_slash_behind_the_host_does_not_hide_it() {
    let readers = Readers::start();
    let host = readers.host();
    // With the slash, skopeo finds nothing and sends an empty login.
    let slash = format!(r#"{{"auths":{{"{host}/":{{"auth":"dTpw"}}}}}}"#);
    assert_eq!(readers.by_skopeo(slash.as_bytes()).as_deref(), Some(":"));
    let rendered = render(&bundle(&keys(&[(&format!("{host}/"), "u", "p")])), &Format::DockerConfig.into());
    assert_eq!(readers.by_skopeo(&rendered.expect("renderable").bytes).as_deref(), Some("u:p"));
}

#[test]
fn a_path_is_kept_without_a_scheme_and_lost_with_one() {
    let readers = Readers::start();
    let shown = |registry: String| {
        let rendered = render(&bundle(&keys(&[(&registry, "u", "p")])), &Format::DockerConfig.into());
        readers.by_skopeo(&rendered.expect("renderable").bytes)
    };
    // The image is HOST/image.
    assert_eq!(shown(format!("{}/image/", readers.host())).as_deref(), Some("u:p"));
    assert_eq!(shown(format!("{}/other", readers.host())).as_deref(), Some(":"));
    assert_eq!(shown(format!("https://{}/other", readers.host())).as_deref(), Some("u:p"), "a scheme loses the path");
}

/// `skopeo login --get-login` looks a registry up like a pull, without a request.
#[test]
fn docker_hub_is_found_by_all_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    for registry in ["docker.io", "index.docker.io", "https://index.docker.io/v1/"] {
        let rendered = render(&bundle(&keys(&[(registry, "me", "p")])), &Format::DockerConfig.into());
        std::fs::write(&path, &rendered.expect("renderable").bytes).unwrap();
        for asked in ["docker.io", "index.docker.io"] {
            let output =
                run(Command::new("/usr/bin/skopeo").args(["login", "--get-login", "--authfile"]).arg(&path).arg(asked));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "me\n", "{registry}: {asked}: {output:?}");
        }
    }
}

#[test]
fn a_ready_file_is_read() {
    let readers = Readers::start();
    let file = format!("{{ \"auths\": {{ \"{}\": {{ \"auth\": \"dTpw\", \"email\": \"x\" }} }} }}\n", readers.host());
    let ready = Variables::from([(".dockerconfigjson".to_owned(), file.clone())]);
    let rendered = render(&bundle(&ready), &Format::DockerConfig.into()).expect("renderable");
    assert_eq!(*rendered.bytes, file.as_bytes());
    assert_eq!(readers.by_skopeo(&rendered.bytes).as_deref(), Some("u:p"));
}

#[test]
fn any_user_and_password_come_back_or_are_refused() {
    let readers = std::cell::RefCell::new(Readers::start());
    let taken = std::cell::Cell::new(0);
    let word = || prop_oneof![2 => "[!-~]{1,12}", 1 => value(), 1 => any::<String>()];
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let run = runner.run(&(word(), word()), |(user, password)| {
        let came_back = readers.borrow_mut().round_trips(&user, &password);
        taken.set(taken.get() + usize::from(came_back));
        Ok(())
    });
    run.unwrap();
    assert!(taken.get() > 30, "only {} were accepted", taken.get());
}
