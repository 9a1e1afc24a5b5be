//! How each dotenv reader treats difficult values: the table of docs/COMPATIBILITY.md, produced by the readers
//! themselves.

use super::bundles::{Variables, bundle};
use super::compose;
use super::readers::{Reader, dotenv_expand, next_env, node_dotenv, node_env_file, python_dotenv};
use claviger::model::format::Format;
use claviger::render::render;
use std::path::Path;

const BEGIN: &str = "<!-- dotenv readers: written by tests/it/render/matrix.rs -->\n";
const END: &str = "<!-- end of dotenv readers -->\n";

const DIFFICULT_VALUES: [&str; 18] = [
    "it's",
    "say \"x\"",
    "it's \"x\"",
    "a # b",
    "a#b",
    "`id`",
    " a ",
    "{\"a\": 1}\n",
    "a\nb",
    "a\r\nb",
    "5 $",
    "pa$$word",
    "postgres://u:a$bc@h/db",
    "$2b$10$N9qo8uLO",
    "a${x}",
    "a\\$b",
    "C:\\temp\\new",
    "C:\\temp\\",
];

/// The value in single quotes if possible, else in double quotes, else unquoted.
fn by_hand(value: &str) -> String {
    if value.contains(['\n', '\r']) && !value.contains('"') {
        format!("\"{}\"", value.replace('\n', "\\n").replace('\r', "\\r"))
    } else if !value.contains('\'') && !value.ends_with('\\') {
        format!("'{value}'")
    } else if !value.contains(['"', '\\']) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

fn code(text: &str) -> String {
    let text = text.replace('\n', "⏎").replace('\r', "␍");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// The rendered spelling of a value in a format, if there is one; all readers of the format return the value.
fn spelled(value: &str, format: Format, readers: &mut [&mut Reader]) -> String {
    let variables = Variables::from([("A".to_owned(), value.to_owned())]);
    let Ok(rendered) = render(&bundle(&variables), &format.into()) else { return "`422`".into() };
    for reader in readers {
        assert_eq!(reader.read(&rendered.bytes), variables, "{} as {format:?}", reader.name());
    }
    let text = std::str::from_utf8(&rendered.bytes).unwrap();
    code(text.strip_prefix("A=").unwrap().strip_suffix("\n# claviger: 1 keys\n").unwrap())
}

fn version(name: &str) -> &'static str {
    let install = include_str!("../../../rig/install");
    let line = install.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap().split(' ').next().unwrap()
}

fn table() -> String {
    let (mut npm, mut node, mut python) = (node_dotenv(), node_env_file(), python_dotenv());
    let (mut next, mut expand) = (next_env(), dotenv_expand());
    let mut text = format!(
        "npm `dotenv` {}, `dotenv-expand` {} behind it, `@next/env` {}, `python-dotenv` {}.\n\n\
         | value | by hand | npm `dotenv` | `node --env-file` | `python-dotenv` | docker compose | `@next/env` | \
         `dotenv-expand` | `?format=dotenv` | `?format=dotenv-expand` |\n|---|---|---|---|---|---|---|---|---|---|\n",
        version("node_dotenv_version"),
        version("dotenv_expand_version"),
        version("next_env_version"),
        version("python_dotenv_version"),
    );
    for value in DIFFICULT_VALUES {
        let by_hand = by_hand(value);
        let line = format!("A={by_hand}\n");
        let mut cells = vec![code(value), code(&by_hand)];
        let mut read = [&mut npm, &mut node, &mut python].map(|reader| reader.read(line.as_bytes())).to_vec();
        read.push(compose::read(&line));
        read.extend([&mut next, &mut expand].map(|reader| reader.read(line.as_bytes())));
        cells.extend(read.into_iter().map(|variables| match variables.get("A") {
            Some(read) if read == value => "=".to_owned(),
            Some(read) if read.is_empty() => "empty".to_owned(),
            Some(read) => code(read),
            None => "nothing".to_owned(),
        }));
        let all = &mut [&mut npm, &mut node, &mut python, &mut next, &mut expand];
        cells.push(spelled(value, Format::Dotenv, all));
        cells.push(spelled(value, Format::DotenvExpand, &mut [&mut next, &mut expand]));
        for part in ["| ", &cells.join(" | "), " |\n"] {
            text.push_str(part);
        }
    }
    text
}

#[test]
fn the_table_of_dotenv_readers_is_what_they_read() {
    let document = include_str!("../../../docs/COMPATIBILITY.md");
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (there, behind) = rest.split_once(END).unwrap();
    let now = table();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("COMPATIBILITY.md");
    if there != now {
        std::fs::write(&file, [before, BEGIN, &now, END, behind].concat()).unwrap();
    }
    assert!(there == now, "docs/COMPATIBILITY.md is stale: cp {} docs/", file.display());
}
