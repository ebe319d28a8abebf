//! Bytes as they arrive, cut into frames; a length is believed only once it is within its limit.

use super::{Frame, HEADER_LEN};
use crate::Error;

/// Gathers bytes until they make a frame.
///
/// It never holds more than one read beyond the largest frame, and never allocates by a length the peer
/// announced.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Nothing read yet.
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Takes bytes from the peer. Pop every frame before feeding more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is here. After an error the reader gives nothing but that error.
    pub fn pop(&mut self) -> Result<Option<Frame>, Error> {
        let rest = &self.bytes[self.start..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let number = header[HEADER_LEN - 1];
        let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let max = Frame::len_max(number).ok_or(Error::UnknownFrame { frame: number })?;
        if len > max {
            return Err(Error::TooLarge { frame: number, len: len as u64, max });
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let frame = Frame::decode(number, payload)?;
        self.start += HEADER_LEN + len;
        Ok(Some(frame))
    }

    /// The number of the frame that has begun, as soon as its header is here.
    pub fn next_number(&self) -> Option<u8> {
        self.bytes[self.start..].get(HEADER_LEN - 1).copied()
    }

    /// Bytes kept until they make a frame.
    pub fn held_len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether a frame has begun and not ended.
    pub fn is_within_frame(&self) -> bool {
        self.start < self.bytes.len()
    }
}
