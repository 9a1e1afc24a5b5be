//! One file in each format, equal to the file of `claviger fetch`.

use super::Provider;
use crate::fetch::fetch;
use crate::rig::installation::InstallationSetup;
use claviger::model::format::Format;
use serde_json::json;

#[tokio::test]
async fn every_format_is_one_file_as_fetch_writes_it() {
    let setup = InstallationSetup::new().await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    for (repo, values) in [
        ("plain", &[("A", "it's"), ("B", "b")][..]),
        ("npm", &[("NPM_REGISTRY", "https://npm.example/a"), ("NPM_TOKEN", "abc")]),
        ("logins", &[("NETRC_MACHINE", "h.example"), ("NETRC_LOGIN", "bob"), ("NETRC_PASSWORD", "pass")]),
        ("registry", &[("REGISTRY", "r.example"), ("REGISTRY_USERNAME", "bob"), ("REGISTRY_PASSWORD", "a")]),
    ] {
        let secrets = json!([{"store": "vault", "path": format!("homelab/{repo}")}]);
        setup.policy(repo, json!({"subjects": subjects, "repos": [repo], "branches": ["main"], "secrets": secrets}));
        setup.bao.put(&format!("homelab/{repo}"), values).await;
    }
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let server = format!("http://{}", rig.claviger.api);
    let provider = Provider::start(&server);
    let token = provider.folder.path().join("token");
    std::fs::write(&token, &pod.token).unwrap();
    for &format in Format::ALL {
        let (repo, keys) = match format {
            Format::Raw => ("plain", Some("A")),
            Format::Npmrc => ("npm", None),
            Format::Netrc => ("logins", None),
            Format::DockerConfig => ("registry", None),
            _ => ("plain", None),
        };
        let mut arguments = vec!["--repo", repo, "--branch", "main", "--format", format.as_str()];
        let mut parameters = json!({"repo": repo, "branch": "main", "format": format.as_str(), "file": "etc/bundle"});
        if let Some(keys) = keys {
            arguments.extend(["--keys", keys]);
            parameters["keys"] = json!(keys);
        }
        let fetched = fetch(&server, &token, &arguments);
        assert_eq!(fetched.code, Some(0), "{format:?}: {fetched:?}");
        let mounted = provider.mount_for(&pod, parameters).await.unwrap();
        let [file] = &mounted.files[..] else { panic!("{mounted:?}") };
        assert_eq!(
            (file.path.as_str(), file.mode, &file.contents),
            ("etc/bundle", 0o444, &fetched.stdout),
            "{format:?}"
        );
        assert!(!file.contents.is_empty());
        assert_eq!(mounted.object_version.len(), 1);
    }
    let without_format = json!({"repo": "plain", "branch": "main", "file": "env"});
    let mounted = provider.mount_for(&pod, without_format).await.unwrap();
    assert_eq!(mounted.texts(), [("env", 0o444, "export A='it'\\''s'\nexport B='b'\n# claviger: 2 keys\n")]);
}

#[tokio::test]
async fn a_value_that_a_policy_decodes_is_a_file_of_its_bytes() {
    let setup = InstallationSetup::new().await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "homelab/keys", "encoding": "base64"}]);
    setup.policy("keys", json!({"subjects": subjects, "repos": ["keys"], "branches": ["main"], "secrets": secrets}));
    setup.bao.put("homelab/keys", &[("keystore.p12", "AP+A")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let mounted = provider.mount_for(&pod, json!({"repo": "keys", "branch": "main"})).await.unwrap();
    let [file] = &mounted.files[..] else { panic!("{mounted:?}") };
    assert_eq!((file.path.as_str(), &file.contents[..]), ("keystore.p12", &[0, 0xff, 0x80][..]));
}
