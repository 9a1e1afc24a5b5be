//! The supported functions, with the types of their arguments and results.

use super::InvalidExpression;
use super::kind::Kind;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Substring,
    Split,
    LowerAscii,
    String,
    Int,
    Timestamp,
    Calendar(Calendar),
}

/// A component of a timestamp, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calendar {
    Year,
    /// From 0.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// Counted from 0 for Sunday.
    DayOfWeek,
    Hours,
    Minutes,
}

/// Finds the function of a call, and the type of its result. A receiver counts as the first argument.
///
/// # Errors
/// The function does not exist, or does not accept these arguments.
pub(super) fn find(name: &str, has_receiver: bool, arguments: &[Kind]) -> Result<(Function, Kind), InvalidExpression> {
    use Kind::{Bool, Int, String, Strings, Timestamp};
    let (function, wanted, kind): (_, &[Kind], _) = match (name, has_receiver) {
        ("size", _) => (Function::Size, &[], Int),
        ("startsWith", true) => (Function::StartsWith, &[String, String], Bool),
        ("endsWith", true) => (Function::EndsWith, &[String, String], Bool),
        ("contains", true) => (Function::Contains, &[String, String], Bool),
        ("substring", true) if arguments.len() == 3 => (Function::Substring, &[String, Int, Int], String),
        ("substring", true) => (Function::Substring, &[String, Int], String),
        ("split", true) => (Function::Split, &[String, String], Strings),
        ("lowerAscii", true) => (Function::LowerAscii, &[String], String),
        ("string", false) => (Function::String, &[], String),
        ("int", false) => (Function::Int, &[], Int),
        ("timestamp", false) => (Function::Timestamp, &[String], Timestamp),
        ("matches", _) => {
            return Err(InvalidExpression::new(
                "calls matches; there are no regular expressions: use startsWith, endsWith, contains, or patterns",
            ));
        }
        (name, true) => match calendar(name) {
            Some(part) => (Function::Calendar(part), &[Timestamp], Int),
            None => return Err(InvalidExpression::new("calls a method that does not exist")),
        },
        (_, false) => return Err(InvalidExpression::new("calls a function that does not exist")),
    };
    let fits = match function {
        Function::Size => {
            arguments.len() == 1
                && arguments.iter().all(|kind| kind.fits(String) || kind.fits(Kind::List) || kind.fits(Kind::Map))
        }
        Function::String => arguments.len() == 1 && arguments.iter().all(|kind| is_scalar(*kind)),
        Function::Int => arguments.len() == 1 && arguments.iter().all(|kind| kind.fits(Int) || kind.fits(String)),
        _ => arguments.len() == wanted.len() && arguments.iter().zip(wanted).all(|(kind, wanted)| kind.fits(*wanted)),
    };
    if fits { Ok((function, kind)) } else { Err(InvalidExpression::new(format!("calls {name} with wrong arguments"))) }
}

fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int | Kind::String | Kind::Timestamp | Kind::Dyn)
}

fn calendar(name: &str) -> Option<Calendar> {
    Some(match name {
        "getFullYear" => Calendar::Year,
        "getMonth" => Calendar::Month,
        "getDate" => Calendar::Date,
        "getDayOfMonth" => Calendar::DayOfMonth,
        "getDayOfWeek" => Calendar::DayOfWeek,
        "getHours" => Calendar::Hours,
        "getMinutes" => Calendar::Minutes,
        _ => return None,
    })
}
