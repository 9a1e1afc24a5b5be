//! Parses a pattern into steps. Ambiguous syntax is refused: a pattern that means something else than its author
//! intends would grant or deny access wrongly.

use super::InvalidPattern;
use super::program::{CharClass, MAX_STEPS, Step};
use std::iter::Peekable;
use std::str::Chars;

/// Maximum number of alternatives in the braces of one pattern.
const MAX_ALTERNATIVES: usize = 64;

const UNCLOSED_CLASS: InvalidPattern = InvalidPattern("a class is not closed by ]");

/// Parses a whole pattern.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, InvalidPattern> {
    if text.is_empty() {
        return Err(InvalidPattern("a pattern must not be empty"));
    }
    // Every character gives at most one step, so the steps fit into a `StepSet`.
    if text.len() > MAX_STEPS {
        return Err(InvalidPattern("a pattern has at most 1024 bytes"));
    }
    let mut parser =
        Parser { rest: text.chars().peekable(), steps: Vec::with_capacity(text.len()), alternative_count: 0 };
    parser.parse_pattern()?;
    Ok(parser.steps)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    steps: Vec<Step>,
    alternative_count: usize,
}

impl Parser<'_> {
    fn parse_pattern(&mut self) -> Result<(), InvalidPattern> {
        let mut at_segment_start = true;
        while let Some(c) = self.rest.next() {
            match c {
                '*' if self.rest.next_if_eq(&'*').is_some() => {
                    self.parse_double_star(at_segment_start)?;
                    at_segment_start = true;
                    continue;
                }
                '{' => self.parse_braces()?,
                '}' => return Err(InvalidPattern("a } has no matching {")),
                c => self.parse_single_step(c)?,
            }
            at_segment_start = c == '/';
        }
        Ok(())
    }

    /// Parses the rest after `**`.
    fn parse_double_star(&mut self, at_segment_start: bool) -> Result<(), InvalidPattern> {
        match self.rest.next() {
            None if at_segment_start => self.steps.push(Step::AnyRest),
            Some('/') if at_segment_start => self.steps.extend([Step::AnySegments, Step::InsideSegments]),
            _ => return Err(InvalidPattern("** must be a whole segment")),
        }
        Ok(())
    }

    /// Parses a character or class that is allowed both inside and outside of braces.
    fn parse_single_step(&mut self, c: char) -> Result<(), InvalidPattern> {
        let step = match c {
            '*' => Step::AnyChars,
            '?' => Step::AnyChar,
            '[' => Step::Class(self.parse_class()?),
            ']' => return Err(InvalidPattern("a ] has no matching [")),
            c => Step::Char(literal_char(c)?),
        };
        self.steps.push(step);
        Ok(())
    }

    /// Parses the rest after `{`. An alternative may be empty.
    fn parse_braces(&mut self) -> Result<(), InvalidPattern> {
        let fork = self.steps.len();
        let mut starts = vec![fork + 1];
        let mut jumps = Vec::new();
        self.steps.push(Step::Fork(Box::default()));
        loop {
            match self.rest.next().ok_or(InvalidPattern("a { is not closed by }"))? {
                '}' => break,
                ',' => {
                    jumps.push(self.steps.len());
                    self.steps.push(Step::Jump(0));
                    starts.push(self.steps.len());
                }
                '{' => return Err(InvalidPattern("braces must not be nested")),
                '*' if self.rest.peek() == Some(&'*') => {
                    return Err(InvalidPattern("** must not be in braces"));
                }
                c => self.parse_single_step(c)?,
            }
        }
        if starts.len() < 2 {
            // The author of `{repo}` probably mistakes the pattern for a path template.
            return Err(InvalidPattern("braces need at least two alternatives"));
        }
        self.alternative_count += starts.len();
        if self.alternative_count > MAX_ALTERNATIVES {
            return Err(InvalidPattern("a pattern has at most 64 alternatives"));
        }
        let end = self.steps.len();
        self.steps[fork] = Step::Fork(starts.into());
        for jump in jumps {
            self.steps[jump] = Step::Jump(end);
        }
        Ok(())
    }

    /// Parses the rest after `[`.
    fn parse_class(&mut self) -> Result<CharClass, InvalidPattern> {
        if self.rest.peek() == Some(&'^') {
            return Err(InvalidPattern("a class is negated by !, not by ^"));
        }
        let negated = self.rest.next_if_eq(&'!').is_some();
        let mut ranges = Vec::new();
        loop {
            let low = match self.rest.next().ok_or(UNCLOSED_CLASS)? {
                ']' if ranges.is_empty() => return Err(InvalidPattern("a class must not be empty")),
                ']' => break,
                '-' if !ranges.is_empty() && self.rest.peek() != Some(&']') => {
                    return Err(InvalidPattern(
                        "a hyphen in a class must be first, last, or between the ends of a range",
                    ));
                }
                c => class_member(c)?,
            };
            // The hyphen of `a-z`; directly before `]` it stands for itself.
            let hyphen = self.rest.clone().next() == Some('-') && self.rest.clone().nth(1) != Some(']');
            let high = if hyphen { class_member(self.rest.by_ref().nth(1).ok_or(UNCLOSED_CLASS)?)? } else { low };
            if high < low {
                return Err(InvalidPattern("a range in a class is reversed"));
            }
            ranges.push((low, high));
        }
        Ok(CharClass { negated, ranges: ranges.into() })
    }
}

fn class_member(c: char) -> Result<char, InvalidPattern> {
    match c {
        '/' => Err(InvalidPattern("a class never matches /")),
        '[' => Err(InvalidPattern("a class must not contain [")),
        c => literal_char(c),
    }
}

fn literal_char(c: char) -> Result<char, InvalidPattern> {
    match c {
        '\\' => Err(InvalidPattern("a pattern has no escapes: \\ is refused")),
        c if c.is_control() => Err(InvalidPattern("a pattern must not contain control characters")),
        c => Ok(c),
    }
}
