//! The statement that finds events in SQLite, through a full-text index that is used as a bitmap index.
//!
//! A trigger (migration `0006_audit_words`) writes the filterable columns of each event as words into `audit_index`: a letter
//! for the column and the value in hexadecimal (`r617070` for repo `app`), and the time as five words, its year, month, day,
//! hour and minute (`a2026`, `a202601`, ... `a202601010930`). A range of times is then a set of words.
//!
//! Repo `app`, from 2026-01-01 09:58 to 11:00, 100 events before row 7 becomes:
//! ```sql
//! SELECT audit_events.rowid, time, hash, event
//! FROM audit_index CROSS JOIN audit_events ON audit_events.rowid = audit_index.rowid
//! WHERE audit_index MATCH ('r' || hex('app') || ' AND ' || '(a202601010958 OR a202601010959 OR a2026010110)')
//!   AND audit_index.rowid < 7
//!   AND repo = 'app' AND time >= '2026-01-01T09:58:00.000000Z' AND time < '2026-01-01T11:00:00.000000Z'
//! ORDER BY audit_index.rowid DESC LIMIT 100
//! ```
//! The index finds candidates, newest first, by intersecting lists of rows. The conditions on the columns decide.

use super::filter::{Cursor, Filter, written};
use crate::database::Query;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

/// The earliest time of any event.
const EARLIEST: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);
/// The end of the range if a filter has none.
const LATEST: DateTime = date(2100, 1, 1).at(0, 0, 0, 0);

/// Finds the events after a place, newest first. The columns of each candidate are compared too, so that wrong
/// candidates are excluded even if the index is damaged.
pub fn query<'a>(filter: &'a Filter, after: Option<&Cursor>, limit: i64) -> Query<'a> {
    let parts: [(&'static str, &'static str, Option<&str>); 6] = [
        ("'k' || hex(", " AND ticket_id = ", filter.ticket_id.as_deref()),
        ("'r' || hex(", " AND repo = ", filter.repo.as_ref().map(Repo::as_str)),
        ("'s' || hex(", " AND subject = ", filter.subject.as_deref()),
        ("'t' || hex(", " AND type = ", filter.kind.map(EventType::as_str)),
        ("'o' || hex(", " AND outcome = ", filter.outcome.map(Outcome::as_str)),
        ("'b' || hex(", " AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
    ];
    let asked = || parts.into_iter().filter_map(|(word, column, value)| Some((word, column, value?)));
    let mut query = Query::new("SELECT audit_events.rowid, time, hash, event FROM ");
    let mut join =
        "audit_index CROSS JOIN audit_events ON audit_events.rowid = audit_index.rowid WHERE audit_index MATCH (";
    for (word, _, value) in asked() {
        query = query.then(join).then(word).value(value).then(")");
        join = " || ' AND ' || ";
    }
    let by_time = filter.since.is_some() || filter.until.is_some();
    if by_time {
        query = query.then(join).value(format!("({})", times(filter.since, filter.until).join(" OR ")));
    }
    let by_word = by_time || asked().next().is_some();
    let (rest, row) =
        if by_word { (") AND ", "audit_index.rowid") } else { ("audit_events WHERE ", "audit_events.rowid") };
    query = query.then(rest).then(row).then(" < ").value(after.map_or(i64::MAX, |after| after.row));
    for (_, column, value) in asked() {
        query = query.then(column).value(value);
    }
    if let Some(since) = filter.since {
        query = query.then(" AND time >= ").value(written(since));
    }
    if let Some(until) = filter.until {
        query = query.then(" AND time < ").value(written(until));
    }
    query.then(" ORDER BY ").then(row).then(" DESC LIMIT ").value(limit)
}

/// Words such that every event of this time range has one of them: the minutes, hours, days, months and years in
/// the range. Some events in the first and last minute are outside of the range.
fn times(since: Option<Timestamp>, until: Option<Timestamp>) -> Vec<String> {
    let civil = |time: Timestamp| time.to_zoned(TimeZone::UTC).datetime().clamp(EARLIEST, LATEST);
    let mut from = since.map_or(EARLIEST, civil);
    from = from.with().second(0).subsec_nanosecond(0).build().unwrap_or(from);
    let end = until.map_or(LATEST, civil);
    let mut words = Vec::new();
    // At least one word, also for an empty range: a search without words finds nothing.
    while words.is_empty() || from < end {
        let (format, span) = longest_unit(from, end);
        words.push(from.strftime(format).to_string());
        from = from.saturating_add(span);
    }
    words
}

/// The longest unit that begins here and fits into the rest; at least a minute.
fn longest_unit(from: DateTime, end: DateTime) -> (&'static str, Span) {
    let fits = |span: Span| from.checked_add(span).is_ok_and(|next| next <= end);
    if from.minute() > 0 || !fits(1.hour()) {
        ("a%Y%m%d%H%M", 1.minute())
    } else if from.hour() > 0 || !fits(1.day()) {
        ("a%Y%m%d%H", 1.hour())
    } else if from.day() > 1 || !fits(1.month()) {
        ("a%Y%m%d", 1.day())
    } else if from.month() > 1 || !fits(1.year()) {
        ("a%Y%m", 1.month())
    } else {
        ("a%Y", 1.year())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The words of a time, as the migration derives them from its text.
    fn words_of(text: &str) -> [String; 5] {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        [4, 6, 8, 10, 12].map(|digit| format!("a{}", &digits[..digit]))
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_time_has_one_of_its_words_and_little_else_has(
            (since, until, inside) in (0..3_900_000_000_i64, 1..200_000_000_i64, 0.0..1.0_f64)
                .prop_map(|(since, long, inside)| {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any number will do")]
                    let inside = since + (long as f64 * inside) as i64;
                    (since, since + long, inside)
                }),
            anything in 0..4_200_000_000_i64,
        ) {
            let found = |words: &[String], at: i64| words_of(&written(time(at))).iter().filter(|word| words.contains(word)).count();
            let both = times(Some(time(since)), Some(time(until)));
            prop_assert!(both.len() < 380, "{}", both.len());
            prop_assert_eq!(found(&both, inside), 1);
            let is_near = anything >= since / 60 * 60 && anything < (until + 59) / 60 * 60;
            prop_assert_eq!(found(&both, anything), usize::from(is_near));
            prop_assert_eq!(found(&times(Some(time(since)), None), inside), 1);
            prop_assert_eq!(found(&times(None, Some(time(until))), inside), 1);
        }
    }

    #[test]
    fn whole_years_months_days_and_hours_are_a_word_each() {
        let at = |text: &str| Some(text.parse().expect("a time"));
        let words = times(at("2025-11-29T22:58:07Z"), at("2027-02-02T01:00:01Z"));
        let expected = "a202511292258 a202511292259 a2025112923 a20251130 a202512 a2026 a202701 a20270201 \
            a2027020200 a202702020100";
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn no_time_is_no_reason_to_look_at_everything() {
        let at = Some(time(7200));
        assert_eq!(times(at, at), ["a197001010200"]);
        assert_eq!(times(at, Some(time(0))), ["a197001010200"]);
    }
}
