//! What moves the tails: Commits, Ack and Nack.

use std::sync::Arc;

use crdt::{Commit, Decoder, Encoder, Problem, Seal, Strand, WriterId};

use super::{
    BLOB_INLINE_MAX, BLOBS_MAX, COMMITS_MAX, FRAME_LEN_MAX, HEADER_LEN, Payload, ROWS_MAX, ascending, refuse,
};

/// Longest detail of a Nack: a sentence.
pub const DETAIL_LEN_MAX: usize = 512;

/// Frame 3: a unit of commits, causally ordered, every writer in it sealed at its last commit here, or by a strand that leads
/// from there to a sealed one.
///
/// Commits stand in their full encoding: leaving out body hashes and predecessors would save some 70 bytes of
/// each, and can come with another number of this frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commits {
    /// In the order in which they can be applied.
    pub commits: Vec<Arc<Commit>>,
    /// Blobs that fitted; larger ones came ahead as BlobData. The receiver hashes them to learn their names.
    pub blobs: Vec<Vec<u8>>,
    /// The seals that vouch for the commits.
    pub seals: Vec<Seal>,
    /// What vouches for a writer's last commit here where its author sealed a later one, which counts no more: only for
    /// who takes strands.
    pub strands: Vec<Strand>,
}

impl Payload for Commits {
    const NUMBER: u8 = 3;
    const LEN_MAX: usize = FRAME_LEN_MAX - HEADER_LEN;

    fn encode(&self, out: &mut Encoder) {
        let has_strands = !self.strands.is_empty();
        out.array(3 + usize::from(has_strands)).array(self.commits.len());
        for commit in &self.commits {
            out.bytes(commit.encoded());
        }
        out.array(self.blobs.len());
        for blob in &self.blobs {
            out.bytes(blob);
        }
        out.array(self.seals.len());
        for seal in &self.seals {
            out.bytes(&seal.encode());
        }
        if has_strands {
            out.array(self.strands.len());
            for strand in &self.strands {
                out.bytes(&strand.encode());
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Commits, crdt::Error> {
        let has_strands = match input.array_up_to(4, "unit")? {
            3 => false,
            4 => true,
            _ => return Err(refuse(input, Problem::Length)),
        };
        let count = input.array_up_to(COMMITS_MAX, "commits")?;
        if count == 0 {
            return Err(refuse(input, Problem::Length));
        }
        let commits =
            (0..count).map(|_| Commit::decode(input.bytes()?).map(Arc::new)).collect::<Result<_, _>>()?;
        let count = input.array_up_to(BLOBS_MAX, "blobs")?;
        let blobs = (0..count)
            .map(|_| input.bytes_up_to(BLOB_INLINE_MAX, "blob").map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        let count = input.array_up_to(COMMITS_MAX, "seals")?;
        let seals = (0..count).map(|_| Seal::decode(input.bytes()?)).collect::<Result<_, _>>()?;
        let strands = if has_strands { decode_strands(input)? } else { Vec::new() };
        Ok(Commits { commits, blobs, seals, strands })
    }
}

/// At least one: a unit without any is the shorter one.
fn decode_strands(input: &mut Decoder<'_>) -> Result<Vec<Strand>, crdt::Error> {
    let count = input.array_up_to(COMMITS_MAX, "strands")?;
    if count == 0 {
        return Err(refuse(input, Problem::Length));
    }
    (0..count).map(|_| Strand::decode(input.bytes()?)).collect()
}

/// Frame 4: what is durable here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Durable with blobs of up to 64 KiB.
    pub stored: Vec<(WriterId, u64)>,
    /// Durable with all blobs, where that is further than `stored` implies. In this version every blob
    /// travels with its commit, so `stored` implies it and this is empty.
    pub complete: Vec<(WriterId, u64)>,
    /// Covered by my base, for peers that do not keep Handles; empty for others, who know it from
    /// `base_version`.
    pub anchored: Vec<(WriterId, u64)>,
    /// The version of my base.
    pub base_version: u64,
}

impl Payload for Ack {
    const NUMBER: u8 = 4;
    const LEN_MAX: usize = 3 * ROWS_MAX * 40;

    fn encode(&self, out: &mut Encoder) {
        out.array(4);
        for rows in [&self.stored, &self.complete, &self.anchored] {
            out.array(rows.len());
            for (writer, seq) in rows {
                out.array(2).bytes(&writer.0).uint(*seq);
            }
        }
        out.uint(self.base_version);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Ack, crdt::Error> {
        input.array_of(4)?;
        Ok(Ack {
            stored: decode_rows(input)?,
            complete: decode_rows(input)?,
            anchored: decode_rows(input)?,
            base_version: input.uint()?,
        })
    }
}

fn decode_rows(input: &mut Decoder<'_>) -> Result<Vec<(WriterId, u64)>, crdt::Error> {
    let count = input.array_up_to(ROWS_MAX, "ack")?;
    let row = |input: &mut Decoder<'_>| {
        input.array_of(2)?;
        Ok::<_, crdt::Error>((WriterId(input.fixed()?), input.uint()?))
    };
    let rows = (0..count).map(|_| row(input)).collect::<Result<Vec<_>, _>>()?;
    ascending(input, rows.iter().map(|row| row.0))?;
    Ok(rows)
}

/// Why a commit is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NackCode {
    /// No seal vouches for it, or a wrong one.
    BadSeal,
    /// It breaks a rule that is the same everywhere.
    Invalid,
    /// Another commit has its dot.
    Fork,
    /// Its device may not write.
    NotAuthorised,
    /// Its writer was cut below it.
    Cut,
}

impl NackCode {
    const ALL: [NackCode; 5] =
        [NackCode::BadSeal, NackCode::Invalid, NackCode::Fork, NackCode::NotAuthorised, NackCode::Cut];
}

/// Frame 5: a commit that will never be taken, and with it those of its writer that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Whose commit.
    pub writer: WriterId,
    /// Which of its commits.
    pub seq: u64,
    /// Why.
    pub code: NackCode,
    /// For a person.
    pub detail: String,
}

impl Payload for Nack {
    const NUMBER: u8 = 5;
    const LEN_MAX: usize = DETAIL_LEN_MAX + 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(4)
            .bytes(&self.writer.0)
            .uint(self.seq)
            .uint(self.code as u64)
            .bytes(self.detail.as_bytes());
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Nack, crdt::Error> {
        input.array_of(4)?;
        let writer = WriterId(input.fixed()?);
        let seq = input.uint()?;
        let code = input.uint()?;
        let code = usize::try_from(code).ok().and_then(|code| NackCode::ALL.get(code));
        let code = *code.ok_or_else(|| refuse(input, Problem::Range))?;
        let start = input.position();
        let detail = input.text()?.to_owned();
        if detail.len() > DETAIL_LEN_MAX {
            return Err(crdt::Error::Encoding { at: start, problem: Problem::Length });
        }
        Ok(Nack { writer, seq, code, detail })
    }
}
