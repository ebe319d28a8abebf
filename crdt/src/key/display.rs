//! Keys as people see them.

use std::fmt;

use data_encoding::HEXLOWER;

use super::moment::Moment;
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
        Element::Time(micros) => write!(f, "{}", Moment(*micros)),
        Element::Text(text) => write!(f, "{text:?}"),
        Element::Bytes(bytes) => write!(f, "0x{}", HEXLOWER.encode(bytes)),
    }
}
