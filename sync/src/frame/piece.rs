//! A unit of commits that no frame holds, in pieces.

use crdt::{Decoder, Encoder, Problem};

use super::commits::Commits;
use super::{Payload, UNIT_LEN_MAX, refuse};
use crate::Error;

/// Bytes of one piece: few enough for something else to go between two of them.
pub const PIECE_LEN_MAX: usize = 1 << 20;

/// Frame 19: the next bytes of the payload of a Commits frame that is over the limit of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// So many bytes follow in other pieces.
    pub rest: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Payload for Piece {
    const NUMBER: u8 = 19;
    const LEN_MAX: usize = PIECE_LEN_MAX + 16;

    fn encode(&self, out: &mut Encoder) {
        out.array(2).uint(self.rest).bytes(&self.bytes);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Piece, crdt::Error> {
        input.array_of(2)?;
        let rest = input.uint()?;
        let bytes = input.bytes_up_to(PIECE_LEN_MAX, "piece")?.to_vec();
        // Every one but the last is full, so that nobody sends a unit byte by byte.
        let is_full = bytes.len() == PIECE_LEN_MAX || rest == 0 && !bytes.is_empty();
        if is_full { Ok(Piece { rest, bytes }) } else { Err(refuse(input, Problem::Length)) }
    }
}

/// The pieces of a unit.
pub fn pieces_of(unit: &Commits) -> Vec<Piece> {
    let mut out = Encoder::new();
    unit.encode(&mut out);
    let payload = out.finish();
    let mut rest = payload.len();
    let pieces = payload.chunks(PIECE_LEN_MAX).map(|bytes| {
        rest -= bytes.len();
        Piece { rest: rest as u64, bytes: bytes.to_vec() }
    });
    pieces.collect()
}

/// Pieces that came, until they are a unit. It holds what was sent, and nothing that was only announced.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// So many bytes are to come.
    rest: u64,
}

impl Pieces {
    /// Takes the next piece; the unit, once it is whole.
    pub fn take(&mut self, piece: Piece) -> Result<Option<Commits>, Error> {
        let len = piece.bytes.len() as u64 + piece.rest;
        if self.bytes.is_empty() && len > UNIT_LEN_MAX as u64 {
            return Err(Error::TooLarge { frame: Piece::NUMBER, len, max: UNIT_LEN_MAX });
        }
        if !self.bytes.is_empty() && len != self.rest {
            return Err(Error::Unexpected { frame: Piece::NUMBER, state: "within another unit" });
        }
        self.bytes.extend_from_slice(&piece.bytes);
        self.rest = piece.rest;
        if self.rest > 0 {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.bytes);
        let malformed = |source| Error::Malformed { frame: Piece::NUMBER, source };
        let mut input = Decoder::new(&payload);
        let unit = Commits::decode(&mut input).map_err(malformed)?;
        input.finish().map_err(malformed)?;
        Ok(Some(unit))
    }

    /// Whether a unit has begun and is not whole.
    pub fn is_within(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Bytes kept.
    pub fn held_len(&self) -> usize {
        self.bytes.len()
    }
}
