//! Keys: tuples whose encoding sorts as they do.
//!
//! Every key is 1 to 16 elements and a zero byte. An element says its type first, so types sort by tag, and
//! no key is the beginning of another. There is one spelling of each tuple, and every other is refused.

mod display;
mod moment;
mod read;

pub use display::{Display, display};
pub use moment::{Moment, civil};
pub use read::check;

use crate::error::KeyProblem;

/// Largest encoded key: some dozens of them must fit into a tree node.
pub const KEY_LEN_MAX: usize = 1024;

/// Most elements of a key.
pub const ELEMENTS_MAX: usize = 16;

/// Most bytes of an integer's magnitude: its length is one byte.
pub const MAGNITUDE_LEN_MAX: usize = 255;

const END: u8 = 0x00;
const NULL: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const BIG_NEGATIVE: u8 = 0x04;
/// An integer's tag is this plus or minus the bytes of its magnitude.
const ZERO: u8 = 0x0d;
const BIG_POSITIVE: u8 = 0x16;
const FLOAT: u8 = 0x20;
const TIME: u8 = 0x28;
const TEXT: u8 = 0x30;
const BYTES: u8 = 0x38;
/// Follows a zero that is part of text or bytes.
const ESCAPE: u8 = 0xff;

/// Longest magnitude whose length stands in the tag.
const SHORT_LEN_MAX: usize = 8;

const SIGN: u64 = 1 << 63;

/// One part of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// Sorts before everything else.
    Null,
    /// False before true.
    Bool(bool),
    /// An integer of the machine's size.
    Int(i64),
    /// An integer of another size. Reading gives this only where `Int` is too small.
    BigInt {
        /// Whether it is below zero.
        negative: bool,
        /// Big-endian; zeros in front count for nothing.
        magnitude: Vec<u8>,
    },
    /// A number with a fraction. It never equals an integer. No NaN; -0 is 0.
    Float(f64),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// Text, by its UTF-8 bytes, not normalised.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The key of a tuple.
pub fn encode(elements: &[Element]) -> Result<Vec<u8>, KeyProblem> {
    if elements.is_empty() {
        return Err(KeyProblem::Count);
    }
    let mut key = prefix_of_tuple(elements)?;
    key.push(END);
    if key.len() <= KEY_LEN_MAX { Ok(key) } else { Err(KeyProblem::TooLong) }
}

/// The tuple of a key. Refuses every other spelling of it, so that what decodes encodes to the same bytes.
pub fn decode(key: &[u8]) -> Result<Vec<Element>, KeyProblem> {
    let mut elements = Vec::new();
    read::each(key, |element| elements.push(element.to_element()))?;
    Ok(elements)
}

/// The key of a name that a person typed: one text, or bytes where it is not UTF-8.
pub fn plain(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    let tag = if std::str::from_utf8(name).is_ok() { TEXT } else { BYTES };
    push_escaped(&mut key, tag, name);
    key.push(END);
    key.push(END);
    key
}

/// The name that [`plain`] made a key of, if it is such a key.
pub fn plain_name(key: &[u8]) -> Option<Vec<u8>> {
    let mut elements = decode(key).ok()?.into_iter();
    match (elements.next()?, elements.next()) {
        (Element::Text(text), None) => Some(text.into_bytes()),
        (Element::Bytes(bytes), None) if std::str::from_utf8(&bytes).is_err() => Some(bytes),
        _ => None,
    }
}

/// The range, end excluded, of all keys whose tuples begin with these elements.
///
/// Not quite what begins with [`prefix_of_tuple`]: after a text the zero of an escape looks like its end, but
/// only an escape goes on with `ff`.
pub fn range_of_tuple(elements: &[Element]) -> Result<(Vec<u8>, Vec<u8>), KeyProblem> {
    let start = prefix_of_tuple(elements)?;
    let end = [start.as_slice(), &[ESCAPE]].concat();
    Ok((start, end))
}

/// What all keys begin with whose tuples begin with these elements; see [`range_of_tuple`] for no others.
pub fn prefix_of_tuple(elements: &[Element]) -> Result<Vec<u8>, KeyProblem> {
    if elements.len() > ELEMENTS_MAX {
        return Err(KeyProblem::Count);
    }
    let mut prefix = Vec::with_capacity(32);
    elements.iter().try_for_each(|element| push_element(&mut prefix, element))?;
    Ok(prefix)
}

/// What all keys begin with whose first element is a text that begins with this one.
pub fn prefix_of_text(text: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(text.len() + 1);
    push_escaped(&mut prefix, TEXT, text.as_bytes());
    prefix
}

/// The end of the range of byte strings that begin with `prefix`; none if it has no end.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

fn push_element(key: &mut Vec<u8>, element: &Element) -> Result<(), KeyProblem> {
    match element {
        Element::Null => key.push(NULL),
        Element::Bool(false) => key.push(FALSE),
        Element::Bool(true) => key.push(TRUE),
        Element::Int(int) => push_int(key, *int < 0, &int.unsigned_abs().to_be_bytes())?,
        Element::BigInt { negative, magnitude } => push_int(key, *negative, magnitude)?,
        Element::Float(float) => push_float(key, *float)?,
        Element::Time(micros) => {
            key.push(TIME);
            key.extend_from_slice(&(micros.cast_unsigned() ^ SIGN).to_be_bytes());
        }
        Element::Text(text) => push_terminated(key, TEXT, text.as_bytes()),
        Element::Bytes(bytes) => push_terminated(key, BYTES, bytes),
    }
    Ok(())
}

fn push_int(key: &mut Vec<u8>, negative: bool, magnitude: &[u8]) -> Result<(), KeyProblem> {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let shortest = &magnitude[zeros..];
    let len = shortest.len();
    if len > MAGNITUDE_LEN_MAX {
        return Err(KeyProblem::BigInt);
    }
    let len_byte = len as u8;
    match (negative, len > SHORT_LEN_MAX) {
        (false, false) => key.push(ZERO + len_byte),
        (true, false) => key.push(ZERO - len_byte),
        (false, true) => key.extend_from_slice(&[BIG_POSITIVE, len_byte]),
        (true, true) => key.extend_from_slice(&[BIG_NEGATIVE, !len_byte]),
    }
    let flip = if negative { 0xff } else { 0 };
    key.extend(shortest.iter().map(|byte| byte ^ flip));
    Ok(())
}

fn push_float(key: &mut Vec<u8>, float: f64) -> Result<(), KeyProblem> {
    if float.is_nan() {
        return Err(KeyProblem::Nan);
    }
    let bits = if float == 0.0 { 0 } else { float.to_bits() };
    key.push(FLOAT);
    key.extend_from_slice(&(if bits & SIGN == 0 { bits | SIGN } else { !bits }).to_be_bytes());
    Ok(())
}

fn push_terminated(key: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    push_escaped(key, tag, bytes);
    key.push(END);
}

fn push_escaped(key: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    key.push(tag);
    for (i, run) in bytes.split(|byte| *byte == END).enumerate() {
        if i > 0 {
            key.extend_from_slice(&[END, ESCAPE]);
        }
        key.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests;
