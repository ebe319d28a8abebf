//! The one true encoding: a subset of deterministic CBOR with arrays, unsigned integers and byte strings.
//!
//! Nothing else exists in it, and every number has one form, so equal values have equal bytes and whatever
//! decodes encodes back to what it was.

use std::ops::RangeInclusive;

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
        let first = *self.bytes.get(self.at).ok_or_else(|| Error::encoding(self.at, Problem::Truncated))?;
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

    /// Begins an array whose first item is the number of its format, and returns how many items it has.
    ///
    /// Another number is refused before the count is looked at: a later format may have more items, and whoever
    /// meets it is to be told of its version and not of damage.
    pub fn format(
        &mut self,
        what: &'static str,
        known: u64,
        counts: RangeInclusive<usize>,
    ) -> Result<usize, Error> {
        let start = self.at;
        let count = self.array()?;
        let found = self.uint()?;
        if found != known {
            return Err(Error::UnknownVersion { what, found, known });
        }
        if counts.contains(&count) { Ok(count) } else { Err(Error::encoding(start, Problem::Length)) }
    }

    /// Reads an integer.
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.head(UINT)
    }

    /// Reads a byte string, borrowed.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let len = self.head(BYTES)?;
        let taken = usize::try_from(len).ok().and_then(|len| self.take(len));
        taken.ok_or_else(|| Error::encoding(start, Problem::Truncated))
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
        let truncated = || Error::encoding(start, Problem::Truncated);
        let first = *self.bytes.get(start).ok_or_else(truncated)?;
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
        let rest = self.take(len).ok_or_else(truncated)?;
        let value = rest.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(Error::encoding(start, Problem::NotShortest)) } else { Ok(value) }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Value {
        Uint(u64),
        Bytes(Vec<u8>),
        Array(Vec<Value>),
    }

    fn read(from: &mut Decoder) -> Result<Value, Error> {
        Ok(match from.peek()? {
            Kind::Uint => Value::Uint(from.uint()?),
            Kind::Bytes => Value::Bytes(from.bytes()?.to_vec()),
            Kind::Array => {
                let count = from.array()?;
                Value::Array((0..count).map(|_| read(from)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn write(out: &mut Encoder, value: &Value) {
        match value {
            Value::Uint(value) => drop(out.uint(*value)),
            Value::Bytes(bytes) => drop(out.bytes(bytes)),
            Value::Array(values) => {
                out.array(values.len());
                values.iter().for_each(|value| write(out, value));
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Value, Error> {
        let mut from = Decoder::new(bytes);
        let value = read(&mut from)?;
        from.finish()?;
        Ok(value)
    }

    fn encode(value: &Value) -> Vec<u8> {
        let mut out = Encoder::new();
        write(&mut out, value);
        out.finish()
    }

    #[track_caller]
    fn check(hex: &str, expected: Result<Value, (usize, Problem)>) {
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("tests write hex");
        assert_eq!(decode(&bytes), expected.map_err(|(at, problem)| Error::encoding(at, problem)));
    }

    #[test]
    fn numbers_have_their_shortest_form() {
        let ends = [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65_535, "19ffff"),
            (65_536, "1a00010000"),
            (u64::from(u32::MAX), "1affffffff"),
            (u64::from(u32::MAX) + 1, "1b0000000100000000"),
            (u64::MAX, "1bffffffffffffffff"),
        ];
        for (value, hex) in ends {
            assert_eq!(encode(&Value::Uint(value)), HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("hex"));
            check(hex, Ok(Value::Uint(value)));
        }
    }

    #[test]
    fn longer_forms_of_a_number_are_refused() {
        for hex in ["1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff", "580141", "980100"] {
            check(hex, Err((0, Problem::NotShortest)));
        }
    }

    #[test]
    fn everything_else_of_cbor_is_refused() {
        let others = ["20", "6161", "a0", "c000", "f4", "f6", "f93c00", "fb3ff0000000000000", "ff"];
        for hex in others.into_iter().chain(["1c", "1f", "5f", "9f"]) {
            check(hex, Err((0, Problem::Kind)));
        }
    }

    #[test]
    fn lengths_past_the_end_are_refused_before_anything_is_allocated() {
        let cut = ["", "18", "1901", "42ff", "5bffffffffffffffff", "9bffffffffffffffff", "9a00ffffff00"];
        for hex in cut {
            check(hex, Err((0, Problem::Truncated)));
        }
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        check("0000", Err((1, Problem::LeftOver)));
    }

    #[test]
    fn limits_are_named_in_the_refusal() {
        let bytes = [0x83, 0, 0, 0];
        let refused = Decoder::new(&bytes).array_up_to(2, "list of things");
        assert_eq!(refused, Err(Error::TooLarge { what: "list of things", len: 3, max: 2 }));
        assert_eq!(Decoder::new(&bytes).array_of(2), Err(Error::encoding(0, Problem::Length)));
        assert_eq!(Decoder::new(&[0x41, 0xff]).text(), Err(Error::encoding(0, Problem::Utf8)));
        assert_eq!(Decoder::new(&[0x41, 0xff]).fixed::<2>(), Err(Error::encoding(0, Problem::Length)));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            (0u64..300).prop_map(Value::Uint),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 30, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in values()) {
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(value in values(), at: prop::sample::Index, byte: u8) {
            let mut bytes = encode(&value);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(value) = decode(&bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }

        #[test]
        fn random_bytes_decode_to_what_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(value) = decode(&bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
