//! Tests of the formats `raw` and `tar`.

use super::{bundle, refused, text};
use crate::model::format::{Format, RequestedFormat};
use crate::render::{RenderError, UnrenderableReason, render};

fn raw(entries: &[(&str, &str)], key: Option<&str>) -> Result<String, RenderError> {
    let asked = RequestedFormat::new(Format::Raw, key.map(str::to_owned)).expect("raw takes a key");
    let rendered = render(&bundle(entries, false), &asked)?;
    assert_eq!(rendered.media_type, "application/octet-stream");
    assert_eq!(
        rendered.bytes.capacity(),
        rendered.bytes.len(),
        "the size computed in advance is not the size of the output"
    );
    Ok(String::from_utf8(rendered.bytes.to_vec()).expect("text"))
}

#[test]
fn raw_is_the_bytes_of_one_value() {
    let value = "\0\r\n'\"é # claviger: 1 keys\n";
    let entries = [("A", value), ("LD_PRELOAD", "x"), ("", "y")];
    assert_eq!(raw(&entries, Some("A")).as_deref(), Ok(value));
    assert_eq!(raw(&entries, Some("LD_PRELOAD")).as_deref(), Ok("x"));
    assert_eq!(raw(&entries, Some("")).as_deref(), Ok("y"));
    assert_eq!(raw(&entries[..1], None).as_deref(), Ok(value));
    assert_eq!(raw(&[("A", "")], Some("A")).as_deref(), Ok(""));
}

#[test]
fn raw_requires_an_existing_key() {
    let entries = [("A", "hunter2"), ("B", "y")];
    assert_eq!(raw(&entries, None), Err(RenderError::SeveralKeys));
    for absent in ["", "a", "A ", "C", "AB"] {
        assert_eq!(raw(&entries, Some(absent)), Err(RenderError::NoSuchKey), "{absent:?}");
    }
    assert_eq!(raw(&[], Some("A")), Err(RenderError::NoSuchKey));
    assert_eq!(raw(&[], None).as_deref(), Ok(""));
}

#[test]
fn tar_is_ustar_with_fixed_metadata() {
    let archive = text(&[("A", "x"), (".npmrc", &"y".repeat(512)), ("b", "")], Format::Tar);
    assert_eq!(archive.len(), 512 * (2 + 2 + 1 + 2));
    let header = &archive[1024..1536];
    assert_eq!(&header[..4], "A\0\0\0");
    assert_eq!(&header[100..157], "0000400\x000000000\x000000000\x0000000000001\x0000000000000\x00007265\0 0");
    assert_eq!(&header[257..265], "ustar\x0000");
    assert_eq!(&archive[1536..1540], "x\0\0\0");
    assert_eq!(&archive[124..136], "00000001000\0", "the size of .npmrc");
    assert!(archive[512 * 5..].bytes().all(|byte| byte == 0));
}

#[test]
fn tar_accepts_only_safe_names() {
    let longest = "x".repeat(100);
    for name in ["A", "A B", ".npmrc", ".dockerconfigjson", "...", "id_rsa.pub", "é", "A;id", "~", "$HOME", &longest] {
        assert_eq!(refused(name, "x", false, Format::Tar), None, "{name:?}");
    }
    let (long, long_in_bytes) = ("x".repeat(101), "é".repeat(51));
    for name in [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../x",
        "a/b",
        "a/",
        "a\\b",
        "a\0b",
        "\0",
        "a\nb",
        "\u{7f}",
        "\u{85}",
        "-rf",
        "--checkpoint-action=exec=sh",
        &long,
        &long_in_bytes,
    ] {
        assert_eq!(refused(name, "x", true, Format::Tar), Some(UnrenderableReason::NotAFileName), "{name:?}");
        assert_eq!(refused(name, "x", false, Format::Json), None, "{name:?}");
    }
}
