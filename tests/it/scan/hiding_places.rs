//! Places where a value can be hidden, each with a clean twin.

use super::{Entry, KEY, Layout, VALUE, archive, gzip, layer, scan, zstd};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Checks that the image is reported with the value in it and is clean with another value, as an archive and as a
/// folder.
fn assert_found(what: &str, build: impl Fn(&str) -> Layout, expected: &[&str]) {
    for (value, is_leaky) in [(VALUE, true), ("a harmless \"value\" + /of=no~one!", false)] {
        let folder = tempfile::tempdir().unwrap();
        let layout = build(value);
        for image in [layout.as_archive(folder.path()), layout.as_folder(folder.path())] {
            let (code, found, stderr) = scan(folder.path(), &["--image", &image]);
            if is_leaky {
                assert_eq!(code, Some(1), "{what}: {found} {stderr}");
                for words in expected {
                    assert!(found.contains(words), "{what}: {words}: {found}");
                }
                assert!(found.lines().all(|line| line.starts_with(&format!("{KEY} as "))), "{what}: {found}");
            } else {
                assert_eq!((code, found.as_str()), (Some(0), ""), "{what}: {stderr}");
                assert!(stderr.contains("2 of 2 keys looked for") && stderr.contains(", 0 found"), "{stderr}");
            }
        }
    }
}

fn config() -> Value {
    json!({"architecture": "amd64", "history": [{"created_by": "COPY site /"}]})
}

#[test]
fn in_a_file_of_a_layer_with_any_compression() {
    for pack in [<[u8]>::to_vec as fn(&[u8]) -> Vec<u8>, gzip, zstd] {
        let build = |value: &str| {
            let file = format!("{}\ntoken = {value};\n", "y".repeat(70_000));
            Layout::new(&[pack(&layer("bin/sh", b"x")), pack(&layer("app/config.js", file.as_bytes()))], &config())
        };
        assert_found("a file", build, &[" as raw in sha256:", ", app/config.js, at byte 70009\n"]);
    }
}

#[test]
fn in_every_form() {
    type Write = fn(&str) -> String;
    let forms: [(&str, Write); 7] = [
        ("raw", |value| value.to_owned()),
        ("base64", |value| STANDARD.encode(format!("x{value}"))),
        ("base64", |value| STANDARD.encode(format!("user:{value}"))),
        ("hex", |value| crate::rig::http::hex(value.as_bytes())),
        ("url", crate::rig::http::percent_encode_for_urls),
        ("json", |value| json!({ "a": value }).to_string()),
        ("shell", |value| format!("export A=\"{}\"", value.replace('"', "\\\""))),
    ];
    for (form, write) in forms {
        let build = |value: &str| Layout::new(&[gzip(&layer("app/x", write(value).as_bytes()))], &config());
        assert_found(form, build, &[", app/x, at byte "]);
    }
}

#[test]
fn in_a_compressed_file() {
    for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        let build = |value: &str| {
            let inner = archive(&[Entry { path: "a/b", content: value.as_bytes() }]);
            Layout::new(&[gzip(&layer("app/backup.tgz", &pack(&inner)))], &config())
        };
        assert_found("a packed file", build, &[", app/backup.tgz, unpacked, at byte 512\n"]);
    }
    let build = |value: &str| {
        let inner = archive(&[Entry { path: "a/b", content: value.as_bytes() }]);
        Layout::new(&[gzip(&layer("app/backup.tar", &inner))], &config())
    };
    assert_found("an archive in a layer", build, &[", app/backup.tar, at byte 512\n"]);
}

#[test]
fn in_links_and_headers() {
    let in_link = |value: &str| {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "app/link", value).unwrap();
        Layout::new(&[gzip(&archive.into_inner().unwrap())], &config())
    };
    assert_found("a link", in_link, &[", app/link, in its name\n"]);

    let in_attribute = |value: &str| {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_pax_extensions([("SCHILY.xattr.user.note", value.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        archive.append_data(&mut header, "app/file", &b""[..]).unwrap();
        Layout::new(&[gzip(&archive.into_inner().unwrap())], &config())
    };
    assert_found("an attribute", in_attribute, &[", app/file, in its header\n"]);
}

#[test]
fn a_file_name_that_contains_the_value_is_printed_redacted() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    std::fs::write(&bundle, "export KEY='name-of-a-secret'\n# claviger: 1 keys\n").unwrap();
    let layout = Layout::new(&[gzip(&layer("app/name-of-a-secret.txt", b""))], &config());
    let image = layout.as_archive(folder.path());
    let (code, found, _) =
        crate::rig::claviger::run(&["scan", "--bundle", bundle.to_str().unwrap(), "--image", &image]);
    assert_eq!(code, Some(1));
    assert!(found.contains("KEY as raw in sha256:") && found.contains(", app/***.txt, in its name\n"), "{found}");
    assert!(!found.contains("name-of-a-secret"), "{found}");
}

#[test]
fn in_the_configuration_of_the_image() {
    let empty = || [gzip(&archive(&[]))];
    let history = |value: &str| {
        let run = format!("RUN |1 TOKEN={value} npm ci");
        Layout::new(&empty(), &json!({"architecture": "amd64", "history": [{"created_by": run}]}))
    };
    assert_found("the history", history, &[" as json in sha256:"]);
    let variable = |value: &str| Layout::new(&empty(), &json!({"config": {"Env": [format!("TOKEN={value}")]}}));
    assert_found("a variable", variable, &[" as json in sha256:"]);
    let annotation = |value: &str| {
        let mut layout = Layout::new(&empty(), &config());
        let (_, index) = layout.0.iter_mut().find(|(path, _)| path == "index.json").unwrap();
        let mut document: Value = serde_json::from_slice(index).unwrap();
        document["annotations"] = json!({ "note": value });
        *index = document.to_string().into_bytes();
        layout
    };
    assert_found("an annotation", annotation, &[" as json in index.json, at byte "]);
    // Unreferenced files of an image are searched too.
    let leftover = |value: &str| {
        let mut layout = Layout::new(&empty(), &config());
        layout.blob(gzip(&layer("old/file", value.as_bytes())));
        layout
    };
    assert_found("a blob that nothing refers to", leftover, &[", old/file, at byte 0\n"]);
}

#[test]
fn in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("site");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/clean"), "nothing").unwrap();
    std::os::unix::fs::symlink("/etc", root.join("a/etc")).unwrap();
    let path = root.display().to_string();
    assert_eq!(scan(folder.path(), &["--path", &path]).0, Some(0));
    std::fs::write(root.join("a/b/map.js.gz"), gzip(format!("x{VALUE}").as_bytes())).unwrap();
    std::os::unix::fs::symlink(VALUE, root.join("a/link")).unwrap();
    let (code, found, _) = scan(folder.path(), &["--path", &path]);
    assert_eq!(code, Some(1));
    assert!(found.contains(&format!("{KEY} as raw in {path}/a/b/map.js.gz, unpacked, at byte 1\n")), "{found}");
    assert!(found.contains(&format!("{KEY} as raw in {path}/a/link, in its name\n")), "{found}");
    let file = root.join("a/b/map.js.gz").display().to_string();
    assert_eq!(scan(folder.path(), &["--path", &file]).0, Some(1));
}
