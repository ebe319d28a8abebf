//! The one true encoding: a subset of deterministic CBOR with arrays, unsigned integers and byte strings.
//!
//! Nothing else exists in it, and every number has one form, so equal values have equal bytes and whatever
//! decodes encodes back to what it was.

use crate::error::{Error, Problem};

const UINT: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;

/// Writes items one after another.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// Nothing written yet.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Nothing written yet, with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Encoder {
        Encoder { out: Vec::with_capacity(len) }
    }

    /// Begins an array of `count` items, which are the next ones written.
    pub fn array(&mut self, count: usize) -> &mut Encoder {
        self.head(ARRAY, count as u64);
        self
    }

    /// Writes an integer in its shortest form.
    pub fn uint(&mut self, value: u64) -> &mut Encoder {
        self.head(UINT, value);
        self
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Encoder {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes items that are encoded already.
    pub fn raw(&mut self, items: &[u8]) -> &mut Encoder {
        self.out.extend_from_slice(items);
        self
    }

    /// What has been written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn head(&mut self, kind: u8, value: u64) {
        let kind = kind << 5;
        match value {
            0..24 => self.out.push(kind | value as u8),
            24..0x100 => self.out.extend_from_slice(&[kind | 24, value as u8]),
            0x100..0x1_0000 => self.long_head(kind | 25, &(value as u16).to_be_bytes()),
            0x1_0000..0x1_0000_0000 => self.long_head(kind | 26, &(value as u32).to_be_bytes()),
            _ => self.long_head(kind | 27, &value.to_be_bytes()),
        }
    }

    fn long_head(&mut self, first: u8, rest: &[u8]) {
        self.out.push(first);
        self.out.extend_from_slice(rest);
    }
}

/// What the next item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unsigned integer.
    Uint,
    /// A byte string.
    Bytes,
    /// An array.
    Array,
}

/// Reads items one after another and refuses every spelling an [`Encoder`] would not write.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, at: 0 }
    }

    /// The offset of the next item.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes of the items read since `start`, an earlier [`Decoder::position`].
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// Whether nothing is left.
    pub fn is_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Refuses bytes after the last item.
    pub fn finish(self) -> Result<(), Error> {
        if self.is_end() { Ok(()) } else { Err(Error::encoding(self.at, Problem::LeftOver)) }
    }

    /// What the next item is, without reading it.
    pub fn peek(&self) -> Result<Kind, Error> {
        let first = *self.bytes.get(self.at).ok_or(Error::encoding(self.at, Problem::Truncated))?;
        match first >> 5 {
            UINT => Ok(Kind::Uint),
            BYTES => Ok(Kind::Bytes),
            ARRAY => Ok(Kind::Array),
            _ => Err(Error::encoding(self.at, Problem::Kind)),
        }
    }

    /// Begins an array and returns how many items follow. Never more than there are bytes left, but a caller
    /// that allocates by it has a tighter limit: [`Decoder::array_up_to`].
    pub fn array(&mut self) -> Result<usize, Error> {
        let start = self.at;
        let count = self.head(ARRAY)?;
        let left = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count <= left => Ok(count),
            _ => Err(Error::encoding(start, Problem::Truncated)),
        }
    }

    /// Begins an array of exactly `count` items.
    pub fn array_of(&mut self, count: usize) -> Result<(), Error> {
        let start = self.at;
        if self.array()? == count { Ok(()) } else { Err(Error::encoding(start, Problem::Length)) }
    }

    /// Begins an array of at most `max` items; `what` names it in the refusal.
    pub fn array_up_to(&mut self, max: usize, what: &'static str) -> Result<usize, Error> {
        let count = self.array()?;
        if count <= max {
            Ok(count)
        } else {
            Err(Error::TooLarge { what, len: count as u64, max: max as u64 })
        }
    }

    /// Reads an integer.
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.head(UINT)
    }

    /// Reads a byte string, borrowed.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let len = self.head(BYTES)?;
        let truncated = Error::encoding(start, Problem::Truncated);
        let Ok(len) = usize::try_from(len) else { return Err(truncated) };
        self.take(len).ok_or(truncated)
    }

    /// Reads a byte string of at most `max` bytes; `what` names it in the refusal.
    pub fn bytes_up_to(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let bytes = self.bytes()?;
        if bytes.len() <= max {
            Ok(bytes)
        } else {
            Err(Error::TooLarge { what, len: bytes.len() as u64, max: max as u64 })
        }
    }

    /// Reads a byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let start = self.at;
        self.bytes()?.try_into().map_err(|_| Error::encoding(start, Problem::Length))
    }

    /// Reads a byte string that is text.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::encoding(start, Problem::Utf8))
    }

    fn head(&mut self, kind: u8) -> Result<u64, Error> {
        let start = self.at;
        let truncated = Error::encoding(start, Problem::Truncated);
        let first = *self.bytes.get(start).ok_or(truncated.clone())?;
        if first >> 5 != kind {
            return Err(Error::encoding(start, Problem::Kind));
        }
        self.at += 1;
        let (len, least) = match first & 31 {
            small @ 0..24 => return Ok(u64::from(small)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(Error::encoding(start, Problem::Kind)),
        };
        let rest = self.take(len).ok_or(truncated)?;
        let value = rest.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(Error::encoding(start, Problem::NotShortest)) } else { Ok(value) }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }
}
