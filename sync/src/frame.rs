//! Every message of a session: its number, its bytes, and the limit on each.
//!
//! A frame is `u32 length | u8 number | payload`, the length counting the payload alone. The payload is one
//! array of the CBOR subset of `crdt::codec`; whatever decodes encodes back to the same bytes.
//!
//! All frames of one space travel on one stream, so no frame names a stream or session.

mod close;
mod commits;
mod fork;
mod greet;
mod nodes;
mod piece;
mod propose;
mod reader;

pub use close::{Beat, Bye, ByeCode, Join, Joined};
pub use commits::{Ack, Commits, DETAIL_LEN_MAX, Nack, NackCode};
pub use fork::{ForkFrame, Shown};
pub use greet::{
    Cover, CoverRow, FEATURE_FORKS, FEATURE_PIECES, FEATURE_PROPOSALS, FEATURE_STRANDS, Hello, Mode, Open,
    Yours,
};
pub use nodes::{BlobData, BlobWant, Data, HandleFrame, Missing, Want};
pub use piece::{PIECE_LEN_MAX, Piece, Pieces, pieces_of};
pub use propose::{Decided, Outcome, Propose, Refused};
pub use reader::FrameReader;

use crdt::{Decoder, Encoder, Problem};

use crate::Error;

/// The version of the protocol; a peer with another one is refused at Hello.
pub const PROTO: u64 = 1;

/// Largest frame, header included: what a receiver must be ready to hold for a peer it has not yet believed.
pub const FRAME_LEN_MAX: usize = 4 << 20;

/// Largest unit of commits, which travels in pieces where no frame holds it: the largest commit, and room for its seal.
pub const UNIT_LEN_MAX: usize = crdt::commit::COMMIT_LEN_MAX + (128 << 10);

/// Length and number, ahead of each payload.
pub const HEADER_LEN: usize = 5;

/// Rows of one Open, Cover or Ack list: a page of about 1 MiB; longer lists go on in the next frame.
pub const ROWS_MAX: usize = 16_384;

/// Commits of one Commits frame: what leaves is sealed at least this often, and an Ack answers each.
pub const COMMITS_MAX: usize = 256;

/// Largest blob: larger values need manifests and chunks, which this version does not make.
pub const BLOB_LEN_MAX: usize = 1 << 20;

/// Blobs up to this length ride in the Commits frame while they fit; others go ahead of it as BlobData.
pub const BLOB_INLINE_MAX: usize = 64 << 10;

/// All blobs of one unit of commits together: what a receiver gathers before it can check any of them.
///
/// One commit must not name more than this, since a commit and its blobs are one unit.
pub const BLOBS_LEN_MAX: usize = 32 << 20;

/// Blobs of one Commits frame: a value of up to 1 KiB is no blob, so more would not fit.
pub const BLOBS_MAX: usize = 4096;

/// Hashes of one Want or Missing.
pub const HASHES_MAX: usize = 512;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented on the type it holds")]
pub enum Frame {
    Hello(Hello),
    Open(Open),
    Cover(Cover),
    Commits(Commits),
    Ack(Ack),
    Nack(Nack),
    Handle(HandleFrame),
    Want(Want),
    Data(Data),
    Missing(Missing),
    BlobWant(BlobWant),
    BlobData(BlobData),
    Fork(ForkFrame),
    Beat(Beat),
    Propose(Propose),
    Result(Decided),
    Bye(Bye),
    Join(Join),
    Joined(Joined),
    Piece(Piece),
}

/// The payload of one kind of frame.
pub(crate) trait Payload: Sized {
    /// The frame's number on the wire.
    const NUMBER: u8;
    /// Longest payload a receiver reads.
    const LEN_MAX: usize;
    /// Writes the payload.
    fn encode(&self, out: &mut Encoder);
    /// Reads a payload; the caller checks that nothing follows it.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, crdt::Error>;
}

/// Everything that must name each kind of frame once.
macro_rules! frames {
    ($($variant:ident($kind:ty)),* $(,)?) => {
        impl Frame {
            /// The frame's number on the wire.
            pub fn number(&self) -> u8 {
                match self { $(Frame::$variant(_) => <$kind>::NUMBER,)* }
            }

            /// The longest payload of frames with this number; `None` for numbers that are not spoken.
            pub fn len_max(number: u8) -> Option<usize> {
                match number { $(<$kind>::NUMBER => Some(<$kind>::LEN_MAX),)* _ => None }
            }

            fn encode_payload(&self, out: &mut Encoder) {
                match self { $(Frame::$variant(frame) => frame.encode(out),)* }
            }

            fn decode_payload(number: u8, input: &mut Decoder<'_>) -> Option<Result<Frame, crdt::Error>> {
                match number {
                    $(<$kind>::NUMBER => Some(<$kind>::decode(input).map(Frame::$variant)),)*
                    _ => None,
                }
            }

            /// The frame's name, for people.
            pub fn name(&self) -> &'static str {
                match self { $(Frame::$variant(_) => stringify!($variant),)* }
            }
        }
    };
}

frames! {
    Hello(Hello), Open(Open), Cover(Cover), Commits(Commits), Ack(Ack), Nack(Nack), Handle(HandleFrame),
    Want(Want), Data(Data), Missing(Missing), BlobWant(BlobWant), BlobData(BlobData), Fork(ForkFrame), Beat(Beat),
    Propose(Propose), Result(Decided), Bye(Bye), Join(Join), Joined(Joined),
    Piece(Piece),
}

impl Frame {
    /// The bytes of the frame, header included.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(&[0; HEADER_LEN]);
        self.encode_payload(&mut out);
        let mut bytes = out.finish();
        let len = bytes.len() - HEADER_LEN;
        let max = Frame::len_max(self.number()).expect("a frame that exists has a number that is spoken");
        assert!(len <= max, "a {} of {len} bytes is over its limit of {max}", self.name());
        let len = u32::try_from(len).expect("every limit is below 4 GiB");
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        bytes[4] = self.number();
        bytes
    }

    /// The frame with this number and payload.
    pub fn decode(number: u8, payload: &[u8]) -> Result<Frame, Error> {
        let max = Frame::len_max(number).ok_or(Error::UnknownFrame { frame: number })?;
        if payload.len() > max {
            return Err(Error::TooLarge { frame: number, len: payload.len() as u64, max });
        }
        let malformed = |source| match source {
            crdt::Error::UnknownVersion { what: "protocol", found, .. } => Error::Version { proto: found },
            source => Error::Malformed { frame: number, source },
        };
        let mut input = Decoder::new(payload);
        let frame = Frame::decode_payload(number, &mut input)
            .ok_or(Error::UnknownFrame { frame: number })?
            .map_err(malformed)?;
        input.finish().map_err(malformed)?;
        Ok(frame)
    }
}

/// A value that has a spelling but no meaning here.
fn refuse(input: &Decoder<'_>, problem: Problem) -> crdt::Error {
    crdt::Error::Encoding { at: input.position(), problem }
}

/// Refuses a list that is not strictly ascending: equal lists have equal bytes, and no row comes twice.
fn ascending<T: Ord>(input: &Decoder<'_>, keys: impl Iterator<Item = T>) -> Result<(), crdt::Error> {
    let mut last = None;
    for key in keys {
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(refuse(input, Problem::Order));
        }
        last = Some(key);
    }
    Ok(())
}
