//! Images written by other programs.

use super::{Entry, KEY, Layout, VALUE, archive, gzip, layer, scan};
use crate::rig::claviger::{Claviger, Dev, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::path::Path;

/// In the format of `docker save`: plain layers, a configuration, and a manifest of both.
fn docker(value: &str) -> Vec<u8> {
    let layer = layer("app/x", value.as_bytes());
    let manifest = json!([{"Config": "c.json", "RepoTags": ["t:latest"], "Layers": ["l/layer.tar"]}]).to_string();
    archive(&[
        Entry { path: "l/layer.tar", content: &layer },
        Entry { path: "c.json", content: br#"{"architecture":"amd64"}"# },
        Entry { path: "manifest.json", content: manifest.as_bytes() },
    ])
}

#[test]
fn a_docker_archive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.tar");
    let image = format!("docker-archive:{}", file.display());
    for pack in [<[u8]>::to_vec as fn(&[u8]) -> Vec<u8>, gzip] {
        std::fs::write(&file, pack(&docker("nothing of interest"))).unwrap();
        assert_eq!(scan(folder.path(), &["--image", &image]).0, Some(0));
        std::fs::write(&file, pack(&docker(VALUE))).unwrap();
        let (code, found, stderr) = scan(folder.path(), &["--image", &image]);
        assert_eq!(
            (code, found.as_str()),
            (Some(1), format!("{KEY} as raw in l/layer.tar, app/x, at byte 0\n").as_str())
        );
        assert!(stderr.contains(", 1 found"), "{stderr}");
    }
}

#[test]
fn the_values_of_a_ticket() {
    let claviger = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let scan = |path: &str| {
        let url = format!("http://{}{}", claviger.api, claviger.ticket("moreira.dev", "main"));
        run(&["scan", "--ticket", &url, "--path", path])
    };
    let path = file.to_str().unwrap();
    std::fs::write(&file, "sample-github-toke").unwrap();
    let (code, _, stderr) = scan(path);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("3 of 3 keys looked for"), "{stderr}");
    std::fs::write(&file, "sample-github-token").unwrap();
    let (code, found, _) = scan(path);
    assert_eq!((code, found), (Some(1), format!("GITHUB_TOKEN as raw in {path}, at byte 0\n")));
    let used = format!("http://{}{}", claviger.api, claviger.ticket("moreira.dev", "main"));
    assert_eq!(run(&["scan", "--ticket", &used, "--path", path]).0, Some(1));
    let (code, _, stderr) = run(&["scan", "--ticket", &used, "--path", path]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("claviger: ticket_redeemed: "), "{stderr}");
}

#[test]
fn a_bundle_in_each_format_that_can_be_read_back() {
    let secrets = json!({"homelab/moreira.dev/main": {"PUBLIC_URL": "https://moreira.dev", "Q": "it's\nof two lines"}});
    let claviger = Claviger::dev(&Dev { secrets: Some(secrets), ..Dev::default() });
    let folder = tempfile::tempdir().unwrap();
    let (file, bundle) = (folder.path().join("file"), folder.path().join("bundle"));
    std::fs::write(&file, "https://moreira.dev").unwrap();
    for format in ["export", "dotenv", "json"] {
        let path = format!("{}?format={format}", claviger.ticket("moreira.dev", "main"));
        std::fs::write(&bundle, claviger.download(&path).body).unwrap();
        let (code, found, stderr) =
            run(&["scan", "--bundle", bundle.to_str().unwrap(), "--path", file.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{format}: {stderr}");
        assert!(found.starts_with("PUBLIC_URL as raw in "), "{format}: {found}");
    }
}

#[test]
fn an_archive_and_a_bundle_may_come_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    std::fs::write(&archive, docker(VALUE)).unwrap();
    let bundle = folder.path().join("bundle.json");
    std::fs::write(&bundle, serde_json::json!({ KEY: VALUE }).to_string()).unwrap();
    let scanned = |bundle: &str, image: &str, input: &Path| {
        let mut scan = std::process::Command::new(crate::rig::claviger::binary());
        scan.args(["scan", "--bundle", bundle, "--image", image]).stdin(std::fs::File::open(input).unwrap());
        let output = scan.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (bundle_name, archive_name) = (bundle.to_str().unwrap(), archive.to_str().unwrap());
    let (code, found) = scanned(bundle_name, "docker-archive:-", &archive);
    assert!(code == Some(1) && found.contains(KEY), "{found}");
    let (code, found) = scanned("-", &format!("docker-archive:{archive_name}"), &bundle);
    assert!(code == Some(1) && found.contains(KEY), "{found}");
}

#[test]
fn a_value_that_a_policy_decodes_is_found_decoded() {
    const BYTES: &[u8] = b"\xfe\xed\xfe\xed\x00\x00\x00\x02\xff\x80\n";
    // `a plain text value` and the bytes, as a policy with `encoding: base64` finds them in the store.
    let secrets = json!({"homelab/site": {"TEXT": "YSBwbGFpbiB0ZXh0IHZhbHVl", "BYTES": "/u3+7QAAAAL/gAo="}});
    let policy = json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
        "repos": ["moreira.dev"], "branches": ["**"],
        "secrets": [{"store": "local", "path": "homelab/site", "encoding": "base64"}],
    });
    let dev = Dev { secrets: Some(secrets), policies: &[("site", policy)], ..Dev::default() };
    let claviger = Claviger::dev(&dev);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let bundle = folder.path().join("bundle.json");
    let path = file.to_str().unwrap();
    let json = claviger.download(&format!("{}?format=json", claviger.ticket("moreira.dev", "main")));
    std::fs::write(&bundle, &json.body).unwrap();
    let hex: String = hex::encode(BYTES);
    let shifted = STANDARD.encode([b"x", BYTES].concat());
    for (content, found) in [
        (&b"a plain text value"[..], "TEXT as raw in "),
        (b"a%20plain%20text%20value", "TEXT as url in "),
        (b"YSBwbGFpbiB0ZXh0IHZhbHVl", "TEXT as raw in "),
        (BYTES, "BYTES as raw in "),
        (hex.as_bytes(), "BYTES as hex in "),
        (shifted.as_bytes(), "BYTES as base64 in "),
        (b"/u3+7QAAAAL/gAo=", "BYTES as raw in "),
        // Deny twins: a part of each value.
        (b"a plain text valu", ""),
        (&BYTES[..10], ""),
    ] {
        std::fs::write(&file, content).unwrap();
        let url = format!("http://{}{}", claviger.api, claviger.ticket("moreira.dev", "main"));
        for source in [["--bundle", bundle.to_str().unwrap()], ["--ticket", &url]] {
            let (code, output, stderr) = run(&[&["scan"], &source[..], &["--path", path]].concat());
            assert_eq!(code, Some(i32::from(!found.is_empty())), "{source:?} {found} {stderr}");
            assert!(output.starts_with(found) && output.is_empty() == found.is_empty(), "{source:?} {found}: {output}");
        }
    }
}

/// An image as BuildKit writes it with `--attest type=provenance`: an index of the image and its attestation. The layer of the
/// attestation has this media type and these contents.
fn attested(media_type: Option<&str>, statement: &[u8], config: Option<serde_json::Value>) -> Layout {
    let mut layout = Layout(Vec::new());
    let good = layout.blob(gzip(&layer("app/x", b"nothing")));
    let image_config = layout.blob(b"{}".to_vec());
    let image = json!({"schemaVersion": 2, "config": image_config, "layers": [good]}).to_string();
    let image = layout.blob(image.into_bytes());
    let mut attestation = layout.blob(statement.to_vec());
    if let Some(media_type) = media_type {
        attestation["mediaType"] = media_type.into();
    }
    let config = config.unwrap_or_else(|| layout.blob(br#"{"architecture":"unknown"}"#.to_vec()));
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [attestation]}).to_string();
    let manifest = layout.blob(manifest.into_bytes());
    let nested = layout.blob(json!({"schemaVersion": 2, "manifests": [image, manifest]}).to_string().into_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [nested]}).to_string();
    layout.0.push(("index.json".into(), index.into_bytes()));
    layout
}

#[test]
fn an_attestation_is_searched_and_is_no_archive() {
    const IN_TOTO: Option<&str> = Some("application/vnd.in-toto+json");
    let folder = tempfile::tempdir().unwrap();
    let scan = |layout: Layout| {
        let (code, found, stderr) = scan(folder.path(), &["--image", &layout.as_archive(folder.path())]);
        (code, format!("{found}{stderr}"))
    };
    let clean = json!({"_type": "https://in-toto.io/Statement/v0.1"}).to_string().into_bytes();
    let (code, output) = scan(attested(IN_TOTO, &clean, None));
    assert_eq!(code, Some(0), "{output}");
    let leaky = json!({"predicate": {"args": VALUE}}).to_string().into_bytes();
    let (code, output) = scan(attested(IN_TOTO, &leaky, None));
    assert!(code == Some(1) && output.contains(&format!("{KEY} as ")), "{code:?} {output}");
    for (media_type, contents) in [
        (None, &clean[..]),
        (Some("application/vnd.oci.image.layer.v1.tar+gzip"), &clean),
        (IN_TOTO, b"\xfd7zXZ\0not searched"),
    ] {
        let (code, output) = scan(attested(media_type, contents, None));
        assert!(code == Some(2) && output.contains("not known to be clean"), "{media_type:?} {output}");
    }
    // The configuration `{}`, which is in the manifest instead of a blob.
    let digest = format!("sha256:{}", "4".repeat(64));
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2, "data": "e30="});
    let (code, output) = scan(attested(IN_TOTO, &clean, Some(empty.clone())));
    assert_eq!(code, Some(0), "{output}");
    for (member, value) in [("data", json!(null)), ("data", json!("e30")), ("mediaType", json!("application/json"))] {
        let mut wrong = empty.clone();
        wrong[member] = value;
        let (code, output) = scan(attested(IN_TOTO, &clean, Some(wrong)));
        assert!(code == Some(2) && output.contains(" is not in it"), "{member} {output}");
    }
}
