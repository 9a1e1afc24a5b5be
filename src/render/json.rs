//! One compact JSON object of strings, sorted by key, without a final newline. It can hold every name and value.
//! An empty bundle is `{}`.

use super::port::Emit;
use crate::model::bundle::Bundle;

#[expect(clippy::disallowed_methods, reason = "the value is rendered")]
pub(super) fn write(bundle: &Bundle, emit: Emit<'_>) {
    emit(b"{");
    for (index, (name, entry)) in bundle.entries.iter().enumerate() {
        if index > 0 {
            emit(b",");
        }
        write_string(name, emit);
        emit(b":");
        write_string(entry.value.expose_secret(), emit);
    }
    emit(b"}");
}

/// Writes a JSON string. `serde_json` is not used, because it would copy the value to other buffers.
fn write_string(text: &str, emit: Emit<'_>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    emit(b"\"");
    let mut rest = text.as_bytes();
    while let Some(length) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        let (unescaped, rest_with_escape) = rest.split_at(length);
        emit(unescaped);
        match rest_with_escape[0] {
            b'"' => emit(br#"\""#),
            b'\\' => emit(br"\\"),
            b'\n' => emit(br"\n"),
            b'\r' => emit(br"\r"),
            b'\t' => emit(br"\t"),
            control => {
                emit(br"\u00");
                emit(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
        rest = &rest_with_escape[1..];
    }
    emit(rest);
    emit(b"\"");
}
