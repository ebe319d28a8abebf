//! How a session begins: Hello, Open and Cover.

use crdt::{CommitId, Decoder, DeviceId, Encoder, Handle, Problem, SpaceId, Time, WriterId};

use super::{FRAME_LEN_MAX, PROTO, Payload, ROWS_MAX, ascending, refuse};
use crate::TailRow;

/// The bit of `features` of who speaks frame 15. Others would end the session at it.
pub const FEATURE_FORKS: u64 = 1;

/// The bit of who takes frame 13 and answers it.
pub const FEATURE_PROPOSALS: u64 = 2;

/// It takes units of commits in pieces.
pub const FEATURE_PIECES: u64 = 4;

/// It takes strands where seals stand.
pub const FEATURE_STRANDS: u64 = 8;

/// Frame 0, the first on each stream: who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The protocol spoken, [`super::PROTO`]: a Hello with another one does not decode.
    pub proto: u64,
    /// The device that speaks; the connection is authenticated for it.
    pub device: DeviceId,
    /// Random per start of a daemon: only an equal instance is oneself, two copies of a device may talk.
    pub instance: [u8; 16],
    /// A bit for each ability that not every peer has, such as [`FEATURE_FORKS`]; unknown bits are ignored.
    pub features: u64,
    /// The largest frame the speaker takes: never less than [`FRAME_LEN_MAX`], so that nothing sent is too large.
    pub frame_max: u64,
    /// The speaker's clock, for people to compare.
    pub wall: Time,
}

impl Payload for Hello {
    const NUMBER: u8 = 0;
    const LEN_MAX: usize = 128;

    fn encode(&self, out: &mut Encoder) {
        out.array(6).uint(self.proto).bytes(&self.device.0).bytes(&self.instance);
        out.uint(self.features).uint(self.frame_max).uint(self.wall.0);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Hello, crdt::Error> {
        input.format("protocol", PROTO, 6..=6)?;
        let hello = Hello {
            proto: PROTO,
            device: DeviceId(input.fixed()?),
            instance: input.fixed()?,
            features: input.uint()?,
            frame_max: input.uint()?,
            wall: Time(input.uint()?),
        };
        if hello.frame_max < FRAME_LEN_MAX as u64 {
            return Err(refuse(input, Problem::Range));
        }
        Ok(hello)
    }
}

/// How much of a space the speaker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Full,
    /// The Handle and the tail; nodes on demand.
    Sparse,
    /// Its own commits only, and it pulls nothing.
    Tail,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::Full, Mode::Sparse, Mode::Tail];
}

/// Frame 1: my base and every writer above it.
///
/// A tail of more than [`ROWS_MAX`] writers goes on in further Opens; all but the last say `more`. A later
/// Open replaces an earlier one, and is answered by a Cover like the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The space this stream is about.
    pub space: SpaceId,
    /// The adopted base.
    pub handle: Handle,
    /// The newest ring the speaker has.
    pub ring_n: u64,
    /// How much the speaker keeps.
    pub mode: Mode,
    /// Writers above the base, ascending.
    pub tail: Vec<TailRow>,
    /// The tail goes on in the next Open.
    pub more: bool,
}

impl Payload for Open {
    const NUMBER: u8 = 1;
    const LEN_MAX: usize = ROWS_MAX * 80 + 4096;

    fn encode(&self, out: &mut Encoder) {
        out.array(6)
            .bytes(&self.space.0)
            .bytes(&self.handle.encode())
            .uint(self.ring_n)
            .uint(self.mode as u64);
        out.array(self.tail.len());
        for (writer, seq, tip) in &self.tail {
            out.array(3).bytes(&writer.0).uint(*seq).bytes(&tip.0);
        }
        out.uint(u64::from(self.more));
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Open, crdt::Error> {
        input.array_of(6)?;
        let space = SpaceId(input.fixed()?);
        let handle = Handle::decode(input.bytes()?)?;
        let ring_n = input.uint()?;
        let mode = decode_mode(input)?;
        let count = input.array_up_to(ROWS_MAX, "tail")?;
        let tail = (0..count).map(|_| decode_tail_row(input)).collect::<Result<Vec<_>, _>>()?;
        ascending(input, tail.iter().map(|row| row.0))?;
        Ok(Open { space, handle, ring_n, mode, tail, more: decode_bool(input)? })
    }
}

fn decode_mode(input: &mut Decoder<'_>) -> Result<Mode, crdt::Error> {
    let byte = input.uint()?;
    let mode = usize::try_from(byte).ok().and_then(|byte| Mode::ALL.get(byte));
    mode.copied().ok_or_else(|| refuse(input, Problem::Range))
}

fn decode_tail_row(input: &mut Decoder<'_>) -> Result<TailRow, crdt::Error> {
    input.array_of(3)?;
    Ok((WriterId(input.fixed()?), input.uint()?, CommitId(input.fixed()?)))
}

fn decode_bool(input: &mut Decoder<'_>) -> Result<bool, crdt::Error> {
    match input.uint()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(refuse(input, Problem::Range)),
    }
}

/// What became of a listed tip on the answering side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yours {
    /// It is on my chain.
    Same,
    /// My commit at that place is another one.
    Fork,
    /// I do not have that place, or no longer know the id there.
    Unknown,
}

impl Yours {
    const ALL: [Yours; 3] = [Yours::Same, Yours::Fork, Yours::Unknown];
}

/// How far the answering side has one writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverRow {
    /// The writer, as listed in an Open or sent in Commits.
    pub writer: WriterId,
    /// How far I have it.
    pub seq: u64,
    /// My commit there, when I know its id.
    pub tip: Option<CommitId>,
    /// Whether your tip is on my chain.
    pub yours: Yours,
}

/// Frame 2: per writer you listed, how far I have it.
///
/// It answers an Open, in pages like it; and it answers Commits that were not ready, for the writers in them:
/// what was sent above these rows was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// One row for each writer, ascending.
    pub rows: Vec<CoverRow>,
    /// The answer goes on in the next Cover.
    pub more: bool,
}

impl Payload for Cover {
    const NUMBER: u8 = 2;
    const LEN_MAX: usize = ROWS_MAX * 80 + 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(2).array(self.rows.len());
        for row in &self.rows {
            out.array(4).bytes(&row.writer.0).uint(row.seq);
            out.bytes(row.tip.as_ref().map_or(&[], |tip| &tip.0[..])).uint(row.yours as u64);
        }
        out.uint(u64::from(self.more));
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Cover, crdt::Error> {
        input.array_of(2)?;
        let count = input.array_up_to(ROWS_MAX, "cover")?;
        let rows = (0..count).map(|_| decode_cover_row(input)).collect::<Result<Vec<_>, _>>()?;
        ascending(input, rows.iter().map(|row| row.writer))?;
        Ok(Cover { rows, more: decode_bool(input)? })
    }
}

fn decode_cover_row(input: &mut Decoder<'_>) -> Result<CoverRow, crdt::Error> {
    input.array_of(4)?;
    let writer = WriterId(input.fixed()?);
    let seq = input.uint()?;
    let tip = match input.bytes()? {
        [] => None,
        tip => Some(CommitId(tip.try_into().map_err(|_| refuse(input, Problem::Length))?)),
    };
    let yours = input.uint()?;
    let yours = usize::try_from(yours).ok().and_then(|yours| Yours::ALL.get(yours));
    Ok(CoverRow { writer, seq, tip, yours: *yours.ok_or_else(|| refuse(input, Problem::Range))? })
}
