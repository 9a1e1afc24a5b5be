//! The supported functions, with the types of their arguments and results.

use super::InvalidExpression;
use super::kind::Kind;

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
    Calendar(CalendarComponent),
}

/// A component of a timestamp, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalendarComponent {
    Year,
    /// From 0.
    Month,
    /// The day of the month, from 1.
    Date,
    /// The day of the month, from 0.
    DayOfMonth,
    /// From 0 for Sunday.
    DayOfWeek,
    Hours,
    Minutes,
}

/// Resolves a call to a function and the type of its result. A receiver counts as the first argument.
///
/// # Errors
/// The function does not exist, or does not accept these arguments.
pub(super) fn resolve(
    name: &str,
    has_receiver: bool,
    arguments: &[Kind],
) -> Result<(Function, Kind), InvalidExpression> {
    use Kind::{Bool, Int, String, Strings, Timestamp};
    // `size`, `string` and `int` accept several types; `fits` checks these below.
    let (function, parameters, kind): (_, &[Kind], _) = match (name, has_receiver) {
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
        (name, true) => match calendar_component(name) {
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
        _ => {
            arguments.len() == parameters.len()
                && arguments.iter().zip(parameters).all(|(kind, parameter)| kind.fits(*parameter))
        }
    };
    if fits { Ok((function, kind)) } else { Err(InvalidExpression::new(format!("calls {name} with wrong arguments"))) }
}

fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int | Kind::String | Kind::Timestamp | Kind::Dyn)
}

fn calendar_component(name: &str) -> Option<CalendarComponent> {
    Some(match name {
        "getFullYear" => CalendarComponent::Year,
        "getMonth" => CalendarComponent::Month,
        "getDate" => CalendarComponent::Date,
        "getDayOfMonth" => CalendarComponent::DayOfMonth,
        "getDayOfWeek" => CalendarComponent::DayOfWeek,
        "getHours" => CalendarComponent::Hours,
        "getMinutes" => CalendarComponent::Minutes,
        _ => return None,
    })
}
