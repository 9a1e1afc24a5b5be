//! Input that cannot be read completely is never reported as clean.

use super::{Entry, Layout, VALUE, archive, gzip, layer, scan, zstd};
use serde_json::json;

/// Checks that the image is reported as unreadable, with the reason.
fn assert_unreadable(layout: &Layout, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    for image in [layout.as_archive(folder.path()), layout.as_folder(folder.path())] {
        let (code, found, stderr) = scan(folder.path(), &["--image", &image]);
        assert_eq!((code, found.as_str()), (Some(2), ""), "{words}: {stderr}");
        assert!(stderr.contains(words) && stderr.contains("it is not known to be clean"), "{words}: {stderr}");
    }
}

#[test]
fn an_image_that_is_not_whole_is_not_clean() {
    let good = layer("app/x", b"nothing");
    for packed in [gzip(&good), zstd(&good)] {
        for cut in [packed.len() / 2, packed.len() - 5, 20] {
            assert_unreadable(&Layout::new(&[packed[..cut].to_vec()], &json!({})), "cannot be read");
        }
    }
    assert_unreadable(&Layout::new(&[good[..good.len() / 2].to_vec()], &json!({})), "cannot be read");
    assert_unreadable(&Layout::new(&[b"BZh91AY&SY".to_vec()], &json!({})), "no archive as gzip or zstd pack it");
    assert_unreadable(&Layout::new(&[gzip(b"no archive")], &json!({})), "no archive as gzip or zstd pack it");
    let mut missing = Layout::new(&[gzip(&good)], &json!({}));
    missing.0.remove(0);
    assert_unreadable(&missing, " is not in it");
    let mut missing = Layout::new(&[gzip(&good)], &json!({}));
    missing.0.retain(|(path, _)| path != "index.json");
    assert_unreadable(&missing, "has no index.json");
    let mut empty = Layout::new(&[gzip(&good)], &json!({}));
    empty.0.iter_mut().find(|(path, _)| path == "index.json").unwrap().1 = br#"{"manifests":[]}"#.to_vec();
    assert_unreadable(&empty, "has no manifest");
}

#[test]
fn findings_before_a_fault_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = layer("app/x", format!("{VALUE}{}", "z".repeat(100_000)).as_bytes());
    let image = Layout::new(&[whole[..whole.len() - 40_000].to_vec()], &json!({})).as_archive(folder.path());
    let (code, found, stderr) = scan(folder.path(), &["--image", &image]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(found.contains(", app/x, at byte 0\n") && stderr.contains("not known to be clean"), "{found} {stderr}");
}

#[test]
fn a_bomb_is_not_unpacked_and_not_clean() {
    let zeros = vec![0; 20_000_000];
    let inner = archive(&[Entry { path: "zeros", content: &zeros }]);
    let folder = tempfile::tempdir().unwrap();
    for layout in [
        Layout::new(&[gzip(&inner)], &json!({})),
        Layout::new(&[zstd(&inner)], &json!({})),
        Layout::new(&[gzip(&layer("a.gz", &gzip(&zeros)))], &json!({})),
        Layout::new(&[gzip(&layer("a.zst", &zstd(&zeros)))], &json!({})),
    ] {
        let image = layout.as_archive(folder.path());
        let (code, found, stderr) = scan(folder.path(), &["--max-bytes", "10000000", "--image", &image]);
        assert_eq!((code, found.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("more than 10000000 bytes to look at"), "{stderr}");
        assert_eq!(scan(folder.path(), &["--max-bytes", "90000000", "--image", &image]).0, Some(0));
    }
}

#[test]
fn a_broken_file_in_a_good_layer_is_searched_as_far_as_it_goes() {
    let packed = gzip(format!("{}{VALUE}", "q".repeat(50)).as_bytes());
    let folder = tempfile::tempdir().unwrap();
    for (content, code) in
        [(&packed[..], 1), (&packed[..30], 0), (b"\x1f\x8b\x08 no gzip", 0), (b"\x28\xb5\x2f\xfd", 0)]
    {
        let image = Layout::new(&[gzip(&layer("a.gz", content))], &json!({})).as_archive(folder.path());
        assert_eq!(scan(folder.path(), &["--image", &image]).0, Some(code));
    }
    let image = Layout::new(&[gzip(&layer("a.zip", b"PK\x03\x04...."))], &json!({})).as_archive(folder.path());
    let (code, _, stderr) = scan(folder.path(), &["--image", &image]);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("1 files are packed as xz, bzip2, zip, 7z or lz4"), "{stderr}");
}

#[test]
fn short_values_are_reported_and_invalid_command_lines_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("short");
    std::fs::write(&bundle, "export A='1234567'\nexport B='12345678'\n# claviger: 2 keys\n").unwrap();
    let (bundle, path) = (bundle.to_str().unwrap(), folder.path().to_str().unwrap());
    std::fs::write(folder.path().join("file"), "1234567").unwrap();
    let file = format!("{path}/file");
    let (code, _, stderr) = crate::rig::claviger::run(&["scan", "--bundle", bundle, "--path", &file]);
    assert_eq!(code, Some(0));
    assert!(stderr.starts_with("claviger: A is skipped: it is shorter than 8 bytes"), "{stderr}");
    assert!(stderr.contains("1 of 2 keys looked for"), "{stderr}");
    let cut = folder.path().join("cut");
    std::fs::write(&cut, "export A='12345678'\n").unwrap();
    for wrong in [
        &["scan"][..],
        &["scan", "--bundle", bundle],
        &["scan", "--path", path],
        &["scan", "--bundle", bundle, "--path", path, "--image", "dir:/"],
        &["scan", "--bundle", bundle, "--image", "tar:/x"],
        &["scan", "--bundle", bundle, "--image", "x"],
        &["scan", "--bundle", bundle, "--image", "oci-archive:/no/such/file"],
        &["scan", "--bundle", bundle, "--image", &format!("oci-archive:{bundle}")],
        &["scan", "--bundle", bundle, "--image", &format!("docker-archive:{bundle}")],
        &["scan", "--bundle", bundle, "--path", "/no/such/folder"],
        &["scan", "--bundle", "/no/such/file", "--path", path],
        &["scan", "--bundle", cut.to_str().unwrap(), "--path", path],
        &["scan", "--bundle", bundle, "--ticket", "http://a/b", "--path", path],
        &["scan", "--ticket", "http://a/v1/downloads/hunter2", "--path", path],
    ] {
        let (code, found, stderr) = crate::rig::claviger::run(wrong);
        assert_eq!((code, found.as_str()), (Some(2), ""), "{wrong:?} {stderr}");
        assert!(!stderr.is_empty());
    }
}
