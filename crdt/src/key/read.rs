//! Strict reading of keys: one element after another, borrowed, every other spelling refused.

use super::{
    BIG_NEGATIVE, BIG_POSITIVE, BYTES, ELEMENTS_MAX, END, ESCAPE, Element, FALSE, FLOAT, KEY_LEN_MAX, NULL,
    SHORT_LEN_MAX, SIGN, TEXT, TIME, TRUE, ZERO,
};
use crate::error::KeyProblem;

/// An element as it stands in the key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    Null,
    Bool(bool),
    /// The magnitude, complemented if it is negative.
    Int {
        negative: bool,
        stored: &'a [u8],
    },
    Float(f64),
    Time(i64),
    /// With its escapes.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Whether the bytes are a key, without building its elements.
pub fn check(key: &[u8]) -> Result<(), KeyProblem> {
    each(key, |_| ())
}

/// Shows `visit` the elements of a key, up to the first that is refused.
pub(super) fn each<'a>(key: &'a [u8], mut visit: impl FnMut(Raw<'a>)) -> Result<(), KeyProblem> {
    if key.len() > KEY_LEN_MAX {
        return Err(KeyProblem::TooLong);
    }
    let (mut at, mut count) = (0, 0);
    while key[at..] != [END] {
        let (element, len) = read(&key[at..]).ok_or(KeyProblem::Spelling { at })?;
        visit(element);
        at += len;
        count += 1;
    }
    if (1..=ELEMENTS_MAX).contains(&count) { Ok(()) } else { Err(KeyProblem::Count) }
}

/// The first element of `rest` and its length there.
fn read(rest: &[u8]) -> Option<(Raw<'_>, usize)> {
    let (tag, body) = rest.split_first()?;
    match *tag {
        NULL => Some((Raw::Null, 1)),
        FALSE => Some((Raw::Bool(false), 1)),
        TRUE => Some((Raw::Bool(true), 1)),
        BIG_NEGATIVE => read_big(body, true),
        BIG_POSITIVE => read_big(body, false),
        FLOAT => Some((Raw::Float(float(word(body)?)?), 9)),
        TIME => Some((Raw::Time((word(body)? ^ SIGN).cast_signed()), 9)),
        TEXT => read_escaped(body).and_then(|(raw, len)| is_text(raw).then_some((Raw::Text(raw), len))),
        BYTES => read_escaped(body).map(|(raw, len)| (Raw::Bytes(raw), len)),
        tag if tag.abs_diff(ZERO) as usize <= SHORT_LEN_MAX => read_short(tag, body),
        _ => None,
    }
}

fn word(body: &[u8]) -> Option<u64> {
    body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Refuses NaN, and zero with a sign.
fn float(stored: u64) -> Option<f64> {
    let bits = if stored & SIGN == 0 { !stored } else { stored ^ SIGN };
    let float = f64::from_bits(bits);
    (!float.is_nan() && bits != SIGN).then_some(float)
}

fn read_short(tag: u8, body: &[u8]) -> Option<(Raw<'_>, usize)> {
    read_int(body, tag < ZERO, tag.abs_diff(ZERO) as usize, 1)
}

fn read_big(body: &[u8], negative: bool) -> Option<(Raw<'_>, usize)> {
    let (len, body) = body.split_first()?;
    let len = usize::from(if negative { !len } else { *len });
    if len > SHORT_LEN_MAX { read_int(body, negative, len, 2) } else { None }
}

fn read_int(body: &[u8], negative: bool, len: usize, head_len: usize) -> Option<(Raw<'_>, usize)> {
    let stored = body.get(..len)?;
    let zero = if negative { 0xff } else { 0 };
    if stored.first() == Some(&zero) {
        return None;
    }
    Some((Raw::Int { negative, stored }, head_len + len))
}

/// Up to the zero that no escape follows.
fn read_escaped(body: &[u8]) -> Option<(&[u8], usize)> {
    let mut at = 0;
    loop {
        at += body[at..].iter().position(|byte| *byte == END)?;
        if body.get(at + 1) != Some(&ESCAPE) {
            return Some((&body[..at], at + 2));
        }
        at += 2;
    }
}

/// No character has a zero inside, so each run between escapes is text by itself.
fn is_text(escaped: &[u8]) -> bool {
    runs(escaped).all(|run| std::str::from_utf8(run).is_ok())
}

/// What stands between the escapes: each zero is followed by an escape byte that is not part of it.
fn runs(escaped: &[u8]) -> impl Iterator<Item = &[u8]> {
    escaped.split(|byte| *byte == END).enumerate().map(|(i, run)| if i == 0 { run } else { &run[1..] })
}

fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    for (i, run) in runs(escaped).enumerate() {
        if i > 0 {
            bytes.push(END);
        }
        bytes.extend_from_slice(run);
    }
    bytes
}

impl Raw<'_> {
    pub(super) fn to_element(self) -> Element {
        match self {
            Raw::Null => Element::Null,
            Raw::Bool(bool) => Element::Bool(bool),
            Raw::Int { negative, stored } => int(negative, stored),
            Raw::Float(float) => Element::Float(float),
            Raw::Time(micros) => Element::Time(micros),
            Raw::Text(escaped) => {
                Element::Text(String::from_utf8(unescape(escaped)).expect("reading refused what is not text"))
            }
            Raw::Bytes(escaped) => Element::Bytes(unescape(escaped)),
        }
    }
}

fn int(negative: bool, stored: &[u8]) -> Element {
    let flip = if negative { 0xff } else { 0 };
    let magnitude: Vec<u8> = stored.iter().map(|byte| byte ^ flip).collect();
    small_int(negative, &magnitude).map_or(Element::BigInt { negative, magnitude }, Element::Int)
}

fn small_int(negative: bool, magnitude: &[u8]) -> Option<i64> {
    if magnitude.len() > SHORT_LEN_MAX {
        return None;
    }
    let value = magnitude.iter().fold(0, |value: i128, byte| value << 8 | i128::from(*byte));
    i64::try_from(if negative { -value } else { value }).ok()
}
