//! Parses an expression with the parser of the `cel` crate, without expanding macros.

use super::{InvalidExpression, scan};
use cel::{Env, IdedExpr, ParseErrors};
use std::thread;

/// Maximum nesting that is parsed on the caller's stack. A level takes about 200 KiB in a debug build.
const MAX_NESTING_ON_CALLER_STACK: usize = 3;

/// Stack size of the thread that parses deeper nesting.
const STACK_BYTES: usize = 16 << 20;

/// Maximum depth of the parser. `scan` has a lower limit for nested brackets, but none for nested `?:`.
const MAX_DEPTH: u16 = 32;

/// Parses an expression.
///
/// # Errors
/// The text is not CEL, too long or too deeply nested.
pub(super) fn parse(source: &str) -> Result<IdedExpr, InvalidExpression> {
    let conditionals = source.matches('?').count();
    if scan::max_nesting(source)? + conditionals <= MAX_NESTING_ON_CALLER_STACK {
        return parse_text(source);
    }
    thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || parse_text(source));
        parser.ok().and_then(|parser| parser.join().ok())
    })
    .unwrap_or_else(|| Err(InvalidExpression::new("could not be parsed")))
}

fn parse_text(source: &str) -> Result<IdedExpr, InvalidExpression> {
    let parser = Env::default().with_optional_support(false).parser().max_recursion_depth(MAX_DEPTH);
    parser.parse(source).map_err(|errors| parse_error(&errors))
}

/// The position of the first error. The crate's own message is not used, because it repeats the text.
fn parse_error(errors: &ParseErrors) -> InvalidExpression {
    match errors.errors.first().map(|error| error.pos) {
        Some((line @ 1.., column @ 1..)) => {
            InvalidExpression::new(format!("is not CEL at line {line}, character {column}"))
        }
        _ => InvalidExpression::new("is not CEL"),
    }
}
