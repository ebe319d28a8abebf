//! Moments between text and microseconds since 1970, in the calendar everyone uses.

use crdt::key::{Moment, civil};

const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds of `2015-02-26`, `2015-02-26 21:42:53`, `2015-02-26T21:42:53.5Z` or `…+02:00`; UTC where it says nothing.
pub fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let midnight = days(date)?.checked_mul(DAY_MICROS)?;
    if rest.is_empty() {
        return Some(midnight);
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = split_offset(clock)?;
    midnight.checked_add(clock_micros(clock)?)?.checked_sub(offset)
}

/// The RFC 3339 text of a moment, with a fraction only where there is one; none for a year that has not four digits.
pub fn format(micros: i64) -> Option<String> {
    let (year, ..) = civil(micros.div_euclid(DAY_MICROS));
    (0..=9999).contains(&year).then(|| Moment(micros).to_string())
}

fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Some((clock, 0)) };
    let (clock, offset) = clock.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let minutes = number(hours, 2, 23)? * 60 + number(minutes, 2, 59)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    Some((clock, sign * minutes * 60_000_000))
}

/// `21:42`, `21:42:53`, `21:42:53.123456`; finer than microseconds is refused, since it would sort wrongly.
fn clock_micros(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 2, 23)?;
    let minute = number(parts.next()?, 2, 59)?;
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(second) => match second.split_once('.') {
            None => (number(second, 2, 59)?, 0),
            Some((second, fraction)) => (number(second, 2, 59)?, fraction_micros(fraction)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn fraction_micros(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 6 {
        return None;
    }
    let scale = 10_i64.pow(6 - text.len() as u32);
    Some(number(text, text.len(), 999_999)? * scale)
}

fn number(text: &str, len: usize, max: i64) -> Option<i64> {
    if text.len() != len || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Only digits, and few of them: it is a number, and the bound decides.
    text.parse().ok().filter(|number| *number <= max)
}

/// Days since 1970 of `2015-02-26`.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4, 9999)?;
    let month = number(parts.next()?, 2, 12)?;
    let day = number(parts.next()?, 2, 31)?;
    if parts.next().is_some() || month == 0 || day == 0 {
        return None;
    }
    // Counted from 1 March, so that the leap day is the last of its year and 400 years are one era.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day that is not in its month comes out as another one.
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_in_every_common_spelling() {
        for (text, expected) in [
            ("1970-01-01", "1970-01-01T00:00:00Z"),
            ("2015-02-26 21:42:53", "2015-02-26T21:42:53Z"),
            ("2015-02-26T21:42:53.5Z", "2015-02-26T21:42:53.500000Z"),
            ("2016-02-29T00:30+02:00", "2016-02-28T22:30:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(parse(text).and_then(format).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2015",
            "2015-02-30",
            "2015-13-01",
            "2015-02-26x",
            "2015-02-26T24:00:00Z",
            "2015-02-26T21:42:53.1234567Z",
            "2015-02-26T1:2:3",
            "2015-02-26T21:42:53+2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn order_is_kept_over_days_and_signs() {
        let moments: Vec<i64> = ["1969-12-31", "1970-01-01", "1999-12-31", "2000-02-29", "2000-03-01"]
            .iter()
            .map(|text| parse(text).expect("a date"))
            .collect();
        assert!(moments.is_sorted_by(|before, after| before < after));
    }
}
