//! Parses an expression with the `cel` crate's parser, without expanding macros.

use super::{InvalidExpression, scan};
use cel::{Env, IdedExpr, ParseErrors};
use std::thread;

/// Nesting of brackets that fits the current stack. A level takes about 200 KiB without optimisation.
const MAX_NESTING_WITHOUT_STACK: usize = 3;

/// Stack size for deeper nesting.
const STACK_BYTES: usize = 16 << 20;

/// The parser's limit; `scan` is stricter, but does not count `?:`.
const MAX_DEPTH: u16 = 32;

/// Parses an expression.
///
/// # Errors
/// The text is not CEL, too long or too deeply nested.
pub(super) fn parse(source: &str) -> Result<IdedExpr, InvalidExpression> {
    let conditionals = source.matches('?').count();
    if scan::nesting(source)? + conditionals <= MAX_NESTING_WITHOUT_STACK {
        return read(source);
    }
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || read(source));
        reader.ok().and_then(|reader| reader.join().ok())
    })
    .unwrap_or_else(|| Err(InvalidExpression::new("could not be read")))
}

fn read(source: &str) -> Result<IdedExpr, InvalidExpression> {
    let parser = Env::default().with_optional_support(false).parser().max_recursion_depth(MAX_DEPTH);
    parser.parse(source).map_err(|errors| described(&errors))
}

/// The crate's own message repeats the text.
fn described(errors: &ParseErrors) -> InvalidExpression {
    match errors.errors.first().map(|error| error.pos) {
        Some((line @ 1.., column @ 1..)) => {
            InvalidExpression::new(format!("is not CEL at line {line}, character {column}"))
        }
        _ => InvalidExpression::new("is not CEL"),
    }
}
