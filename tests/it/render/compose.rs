//! A model of how docker compose reads a dotenv file, by the rules of its library compose-go, which cannot be
//! installed in the rig. Rendered values never contain an expansion, so an expansion is an error here.

use super::bundles::Variables;

pub fn read(file: &str) -> Variables {
    let mut variables = Variables::new();
    let mut rest = file;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return variables;
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (name, after) = rest.split_once('=').expect("a name");
        let (value, after) = value(after);
        variables.insert(name.to_owned(), value);
        rest = after;
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quote @ ('"' | '\'')) = text.chars().next() else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        let line = line.split(" #").next().unwrap_or_default().trim();
        assert!(!line.contains('$'), "an expansion outside quotes");
        return (line.to_owned(), after);
    };
    let body = &text[1..];
    // The value ends at the first unescaped quote.
    let end = body.match_indices(quote).map(|(end, _)| end).find(|end| !body[..*end].ends_with('\\')).expect("an end");
    let (inner, after) = (&body[..end], &body[end + 1..]);
    if quote == '\'' {
        return (inner.to_owned(), after);
    }
    assert!(!inner.contains('$'), "an expansion inside double quotes");
    let mut unescaped = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some('n')) => unescaped.push('\n'),
            ('\\', Some('r')) => unescaped.push('\r'),
            ('\\', Some(other)) => panic!("an escape that only some readers know: {other:?}"),
            (character, _) => unescaped.push(character),
        }
    }
    (unescaped, after)
}
