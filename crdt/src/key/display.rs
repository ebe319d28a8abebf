//! Keys as people see them.

use std::fmt;

use data_encoding::HEXLOWER;

use super::{Element, decode};

/// A key to be shown: a plain one as its text, a tuple in parentheses, bytes that are no key as hex.
#[derive(Clone, Copy, Debug)]
pub struct Display<'a>(&'a [u8]);

/// Shows a key to people. Control characters are escaped, so that a key cannot speak to a terminal.
pub fn display(key: &[u8]) -> Display<'_> {
    Display(key)
}

impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match decode(self.0).as_deref() {
            Ok([Element::Text(text)]) => write_escaped(f, text),
            Ok([element]) => write_element(f, element),
            Ok(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    f.write_str(if i == 0 { "(" } else { ", " })?;
                    write_element(f, element)?;
                }
                f.write_str(")")
            }
            Err(_) => write!(f, "0x{}", HEXLOWER.encode(self.0)),
        }
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for char in text.chars() {
        if char.is_control() { write!(f, "{}", char.escape_default())? } else { write!(f, "{char}")? }
    }
    Ok(())
}

fn write_element(f: &mut fmt::Formatter<'_>, element: &Element) -> fmt::Result {
    match element {
        Element::Null => f.write_str("null"),
        Element::Bool(bool) => write!(f, "{bool}"),
        Element::Int(int) => write!(f, "{int}"),
        Element::BigInt { negative, magnitude } => {
            write!(f, "{}0x{}", if *negative { "-" } else { "" }, HEXLOWER.encode(magnitude))
        }
        Element::Float(float) => write!(f, "{float:?}"),
        Element::Time(micros) => write_time(f, *micros),
        Element::Text(text) => write!(f, "{text:?}"),
        Element::Bytes(bytes) => write!(f, "0x{}", HEXLOWER.encode(bytes)),
    }
}

const DAY_SECONDS: i64 = 86_400;

fn write_time(f: &mut fmt::Formatter<'_>, micros: i64) -> fmt::Result {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if fraction != 0 {
        write!(f, ".{fraction:06}")?;
    }
    f.write_str("Z")
}

/// Year, month and day of a day since 1970, in the calendar that goes on for ever both ways.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 1 March 0000, so that the leap day is the last of its year and 400 years are one era.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
