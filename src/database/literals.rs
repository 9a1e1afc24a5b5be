//! SQL literals in place of parameters, for connections through a pooler.
//!
//! With parameters, a statement is prepared in one round trip and executed in the next. In transaction mode a pooler may send
//! the second one to another server connection, where the name of the prepared statement is unknown or names another client's
//! statement. PostgreSQL's simple query protocol has no parameters, so values become literals. No value can end its literal
//! early, whatever the server's settings are: a quoted text contains neither quotes nor backslashes, and all other texts and
//! bytes are base64.

use super::param::Param;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Replaces each placeholder (`$1`, `$2`, ...) by the literal of its parameter. `sql` is fixed text without other dollar signs.
pub fn substitute_placeholders(sql: &str, params: &[Param<'_>]) -> String {
    let mut text = String::with_capacity(sql.len() + params.iter().map(estimate_length).sum::<usize>());
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = part[..digits].parse::<usize>().unwrap_or_default();
        match number.checked_sub(1).and_then(|index| params.get(index)) {
            Some(param) => write_literal(&mut text, param),
            // Does not occur. The server would refuse the statement.
            None => text.extend(["$", &part[..digits]]),
        }
        text.push_str(&part[digits..]);
    }
    text
}

/// Formats the rows of a VALUES list: `(value, value), (value, value)`.
pub fn row_list(columns: usize, params: &[Param<'_>]) -> String {
    let mut text = String::with_capacity(params.iter().map(estimate_length).sum());
    for (index, param) in params.iter().enumerate() {
        text.push_str(match (index, index % columns) {
            (0, _) => "(",
            (_, 0) => "), (",
            _ => ", ",
        });
        write_literal(&mut text, param);
    }
    text.push(')');
    text
}

/// The approximate length of a literal in bytes.
fn estimate_length(param: &Param<'_>) -> usize {
    const OVERHEAD: usize = 48;
    match param {
        Param::Text(text) => text.len() + OVERHEAD,
        Param::Shared(text) => text.len() + OVERHEAD,
        Param::Bytes(bytes) => bytes.len() / 3 * 4 + OVERHEAD,
        Param::Texts(texts) => texts.iter().map(|text| text.len() + OVERHEAD).sum(),
        Param::Blobs(blobs) => blobs.iter().map(|blob| blob.len() / 3 * 4 + OVERHEAD).sum(),
        Param::Numbers(numbers) => numbers.len() * 20 + OVERHEAD,
        Param::Number(_) | Param::NoText | Param::NoBytes => OVERHEAD,
    }
}

fn write_literal(text: &mut String, param: &Param<'_>) {
    match param {
        Param::Text(value) => write_text(text, value),
        Param::Shared(value) => write_text(text, value),
        Param::NoText => text.push_str("NULL::text"),
        Param::Number(number) => write_number(text, *number),
        Param::Bytes(bytes) => write_bytes(text, bytes),
        Param::NoBytes => text.push_str("NULL::bytea"),
        Param::Texts(texts) => write_array(text, texts.iter(), "text", |text, value| write_text(text, value)),
        Param::Numbers(numbers) => {
            write_array(text, numbers.iter(), "bigint", |text, number| write_number(text, *number));
        }
        Param::Blobs(blobs) => write_array(text, blobs.iter(), "bytea", |text, blob| write_bytes(text, blob)),
    }
}

fn write_array<T>(
    text: &mut String,
    values: impl Iterator<Item = T>,
    element_type: &str,
    write_element: impl Fn(&mut String, T),
) {
    text.push_str("ARRAY[");
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_element(text, value);
    }
    text.extend(["]::", element_type, "[]"]);
}

fn write_text(text: &mut String, value: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\'' && byte != b'\\';
    if value.bytes().all(is_plain) {
        text.extend(["'", value, "'::text"]);
    } else {
        text.push_str("convert_from(decode('");
        STANDARD.encode_string(value, text);
        text.push_str("','base64'),'UTF8')");
    }
}

fn write_bytes(text: &mut String, bytes: &[u8]) {
    text.push_str("decode('");
    STANDARD.encode_string(bytes, text);
    text.push_str("','base64')");
}

fn write_number(text: &mut String, number: i64) {
    // In quotes, because PostgreSQL parses -9223372036854775808 as the negation of a number that is out of range. Writing to a
    // String does not fail.
    let _ = write!(text, "'{number}'::bigint");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_type_of_value_has_a_literal() {
        for (param, literal) in [
            (Param::from("site:main {\"a\": 1}"), "'site:main {\"a\": 1}'::text"),
            (Param::from("it's"), "convert_from(decode('aXQncw==','base64'),'UTF8')"),
            (Param::from("\\"), "convert_from(decode('XA==','base64'),'UTF8')"),
            (Param::from("ä"), "convert_from(decode('w6Q=','base64'),'UTF8')"),
            (Param::from(i64::MIN), "'-9223372036854775808'::bigint"),
            (Param::from(&b"\0'"[..]), "decode('ACc=','base64')"),
            (Param::NoText, "NULL::text"),
            (Param::NoBytes, "NULL::bytea"),
            (Param::Texts(&["a", "'"]), "ARRAY['a'::text,convert_from(decode('Jw==','base64'),'UTF8')]::text[]"),
            (Param::Numbers(&[1, -1]), "ARRAY['1'::bigint,'-1'::bigint]::bigint[]"),
            (Param::Blobs(&[]), "ARRAY[]::bytea[]"),
        ] {
            assert_eq!(substitute_placeholders("$1", &[param]), literal);
        }
    }

    #[test]
    fn each_placeholder_is_replaced_by_the_parameter_with_its_number() {
        let params: Vec<Param> = (0..12_i64).map(Param::from).collect();
        assert_eq!(substitute_placeholders("a $1, $12::x $2", &params), "a '0'::bigint, '11'::bigint::x '1'::bigint");
        assert_eq!(substitute_placeholders("$13 $0 $", &params), "$13 $0 $");
        assert_eq!(row_list(2, &params[..4]), "('0'::bigint, '1'::bigint), ('2'::bigint, '3'::bigint)");
    }

    proptest! {
        /// The only quotes in a literal are those of its fixed form, and it contains no backslash.
        #[test]
        fn no_value_can_end_its_literal(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            for param in [Param::from(text), Param::from(&bytes[..])] {
                let literal = substitute_placeholders("$1", &[param]);
                prop_assert!(!literal.contains('\\'));
                let parts: Vec<&str> = literal.split('\'').collect();
                prop_assert!(matches!(parts[..], ["", _, "::text"])
                    || matches!(parts[..], ["decode(", _, ",", "base64", ")"])
                    || matches!(parts[..], ["convert_from(decode(", _, ",", "base64", "),", "UTF8", ")"]));
            }
        }
    }
}
