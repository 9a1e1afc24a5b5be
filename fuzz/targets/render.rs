//! Rendered bundles: an independent reader, and now and then a real shell, finds exactly the original names and
//! values.
#![no_main]

use claviger::model::bundle::{Bundle, Entry};
use claviger::model::format::Format;
use claviger::model::secret::SecretValue;
use claviger::render::render;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

type Values = BTreeMap<String, String>;

/// One of this many inputs is checked with a shell.
const SELDOM: usize = 4096;

// `NAME=VALUE`, separated by U+001E; `!NAME` is named literally by a policy.
fuzz_target!(|text: &str| {
    let mut bundle = Bundle::default();
    let mut values = Values::new();
    for (name, value) in text.split('\u{1e}').filter_map(|entry| entry.split_once('=')) {
        let plain = name.trim_start_matches('!');
        let entry =
            Entry { value: SecretValue::new(value.to_owned()), named_by_policy: plain != name, is_base64: false };
        bundle.entries.insert(plain.to_owned(), entry);
        values.insert(plain.to_owned(), value.to_owned());
    }
    for &format in Format::ALL {
        let Ok(rendered) = render(&bundle, &format.into()) else { continue };
        let bytes = &rendered.bytes[..];
        let read = match format {
            Format::Export => {
                let text = std::str::from_utf8(bytes).expect("UTF-8");
                if text.len() % SELDOM == 77 {
                    ask_a_shell(bytes, &values);
                }
                quoted_lines(text)
            }
            Format::Json => serde_json::from_slice(bytes).expect("JSON"),
            Format::Tar => archive(bytes),
            Format::Dotenv | Format::DotenvExpand => dotenv(std::str::from_utf8(bytes).expect("UTF-8")),
            Format::Raw => {
                assert!(values.len() <= 1);
                assert_eq!(bytes, values.values().next().map_or(&b""[..], |value| value.as_bytes()));
                continue;
            }
            // These formats combine several keys; the integration tests read them with their own tools.
            Format::DockerConfig | Format::Npmrc | Format::Netrc => continue,
        };
        assert_eq!(read, values, "{format:?}: {:?}", String::from_utf8_lossy(bytes));
    }
});

/// Shell quoting as far as `export` uses it: text in single quotes is literal, `\'` is a quote.
fn quoted_lines(text: &str) -> Values {
    let mut values = Values::new();
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("export ") {
        let (name, after) = line.split_once('=').expect("an assignment");
        let mut value = String::new();
        rest = after;
        while !rest.starts_with('\n') {
            if let Some(after) = rest.strip_prefix("\\'") {
                value.push('\'');
                rest = after;
            } else {
                let (inside, after) = rest.strip_prefix('\'').expect("a quote").split_once('\'').expect("its end");
                value.push_str(inside);
                rest = after;
            }
        }
        rest = &rest[1..];
        values.insert(name.to_owned(), value);
    }
    assert_end(rest, values.len());
    values
}

fn assert_end(rest: &str, keys: usize) {
    let end = if keys == 0 { String::new() } else { format!("# claviger: {keys} keys\n") };
    assert_eq!(rest, end);
}

/// The spellings of `dotenv` and `dotenv-expand`, by the first character of a value.
fn dotenv(text: &str) -> Values {
    let mut values = Values::new();
    let mut rest = text;
    while !rest.is_empty() && !rest.starts_with('#') {
        let (name, after) = rest.split_once('=').expect("an assignment");
        let quote = after.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
        let (value, after) = match quote {
            None => after.split_once('\n').map(|(value, after)| (value.to_owned(), after)),
            Some(quote) => after[1..].split_once(quote).map(|(value, after)| {
                let value = value.to_owned();
                let value = if quote == '"' { value.replace("\\n", "\n").replace("\\r", "\r") } else { value };
                (value, after.strip_prefix('\n').expect("the end of a line"))
            }),
        }
        .expect("a value");
        // In `dotenv` no value contains `\$`; in `dotenv-expand` every `$` is escaped.
        values.insert(name.to_owned(), value.replace("\\$", "$"));
        rest = after;
    }
    assert_end(rest, values.len());
    values
}

/// The files of a ustar archive.
fn archive(bytes: &[u8]) -> Values {
    let mut values = Values::new();
    let mut rest = bytes;
    while rest[0] != 0 {
        let (header, after) = rest.split_at(512);
        let text = |from: usize, to: usize| {
            let field = header[from..to].split(|byte| *byte == 0).next().expect("a field");
            String::from_utf8(field.to_vec()).expect("UTF-8")
        };
        let name = text(0, 100);
        assert!(!name.contains('/') && !name.starts_with('-') && ![".", ".."].contains(&name.as_str()));
        assert_eq!((text(100, 108).as_str(), header[156]), ("0000400", b'0'));
        let length = usize::from_str_radix(&text(124, 136), 8).expect("a length");
        values.insert(name, String::from_utf8(after[..length].to_vec()).expect("UTF-8"));
        rest = &after[length.next_multiple_of(512)..];
    }
    assert!(rest.len() == 1024 && rest.iter().all(|byte| *byte == 0));
    values
}

/// `dash` sources the file and prints each variable, with a final dot because command substitution removes
/// trailing newlines.
fn ask_a_shell(export: &[u8], values: &Values) {
    let mut script = export.to_vec();
    for name in values.keys() {
        script.extend(format!("printf '%s.' \"${name}\"\n").bytes());
    }
    let mut shell = Command::new("dash")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dash");
    shell.stdin.take().expect("its input").write_all(&script).expect("a script");
    let output = shell.wait_with_output().expect("its output");
    let expected: String = values.values().map(|value| format!("{value}.")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
}
