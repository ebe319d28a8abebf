//! Commits, headers and bodies to bytes and back.

use super::{
    BlobRef, Body, CLOSES_MAX, Commit, DEPS_MAX, Header, MUTATIONS_MAX, Mutation, Op, Open,
    PAYLOAD_INLINE_MAX, Payload, SUPERSEDES_MAX,
};
use crate::clock::Hlc;
use crate::codec::{Decoder, Encoder, Kind};
use crate::error::{Error, Problem};
use crate::id::{CollId, CommitId, Dot, SpaceId, WriterId, derive};
use crate::key::KEY_LEN_MAX;

const FORMAT: u64 = 1;
const PUT: u64 = 0;
const DELETE: u64 = 1;

/// A header without `open`, and the heads of the arrays around it.
const HEADER_LEN: usize = 200;

impl Header {
    /// Its bytes: what is hashed into the id, and what a proof of a fork is made of.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(HEADER_LEN);
        encode_header(&mut out, self);
        out.finish()
    }

    /// Reads a header by itself.
    pub fn decode(bytes: &[u8]) -> Result<Header, Error> {
        let mut from = Decoder::new(bytes);
        let header = decode_header(&mut from)?;
        from.finish()?;
        Ok(header)
    }

    /// The id of the commit it belongs to.
    pub fn id(&self) -> CommitId {
        CommitId(derive("commit", &self.encode()))
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Commit, Error> {
    let mut from = Decoder::new(bytes);
    from.array_of(2)?;
    let header_at = from.position();
    let header = decode_header(&mut from)?;
    let header_bytes = from.since(header_at);
    let body_at = from.position();
    let body = decode_body(&mut from)?;
    let body_bytes = from.since(body_at);
    from.finish()?;
    if derive("body", body_bytes) != header.body_hash {
        return Err(Error::encoding(body_at, Problem::BodyHash));
    }
    let id = CommitId(derive("commit", header_bytes));
    Ok(Commit { header, body, id, bytes: bytes.into() })
}

/// The bytes and id of the commit with this header and body.
pub(super) fn join(header: &Header, body: &[u8]) -> (Vec<u8>, CommitId) {
    let mut out = Encoder::with_capacity(HEADER_LEN + body.len());
    out.array(2);
    let header_at = out.as_slice().len();
    encode_header(&mut out, header);
    let id = CommitId(derive("commit", &out.as_slice()[header_at..]));
    out.raw(body);
    (out.finish(), id)
}

fn encode_header(out: &mut Encoder, header: &Header) {
    out.array(if header.open.is_some() { 9 } else { 8 }).uint(FORMAT);
    out.bytes(&header.space.0).bytes(&header.writer.0).uint(header.seq).bytes(&header.prev.0);
    out.uint(header.hlc.0).uint(header.base).bytes(&header.body_hash);
    if let Some(open) = &header.open {
        encode_open(out, open);
    }
}

fn decode_header(from: &mut Decoder) -> Result<Header, Error> {
    let count = from.format("commit", FORMAT, 8..=9)?;
    Ok(Header {
        space: SpaceId(from.fixed()?),
        writer: WriterId(from.fixed()?),
        seq: from.uint()?,
        prev: CommitId(from.fixed()?),
        hlc: Hlc(from.uint()?),
        base: from.uint()?,
        body_hash: from.fixed()?,
        open: if count == 9 { Some(decode_open(from)?) } else { None },
    })
}

fn encode_open(out: &mut Encoder, open: &Open) {
    out.array(if open.reissues.is_some() { 3 } else { 2 }).bytes(&open.device_key);
    out.array(open.closes.len());
    for named in &open.closes {
        encode_named(out, named);
    }
    if let Some(named) = &open.reissues {
        encode_named(out, named);
    }
}

fn decode_open(from: &mut Decoder) -> Result<Open, Error> {
    let start = from.position();
    let count = from.array()?;
    if count != 2 && count != 3 {
        return Err(Error::encoding(start, Problem::Length));
    }
    let device_key = from.fixed()?;
    let closes_at = from.position();
    let closes_count = from.array_up_to(CLOSES_MAX, "list of closed writers")?;
    let mut closes = Vec::with_capacity(closes_count);
    for _ in 0..closes_count {
        closes.push(decode_named(from)?);
    }
    if !closes.is_sorted_by(|a, b| a < b) {
        return Err(Error::encoding(closes_at, Problem::Order));
    }
    let reissues = if count == 3 { Some(decode_named(from)?) } else { None };
    Ok(Open { device_key, closes, reissues })
}

fn encode_named(out: &mut Encoder, (writer, seq, id): &(WriterId, u64, CommitId)) {
    out.array(3).bytes(&writer.0).uint(*seq).bytes(&id.0);
}

fn decode_named(from: &mut Decoder) -> Result<(WriterId, u64, CommitId), Error> {
    from.array_of(3)?;
    Ok((WriterId(from.fixed()?), from.uint()?, CommitId(from.fixed()?)))
}

pub(super) fn encode_body(body: &Body) -> Vec<u8> {
    let mut out = Encoder::with_capacity(body_len(body));
    out.array(3);
    encode_dots(&mut out, &body.deps);
    out.array(body.mutations.len());
    for mutation in &body.mutations {
        encode_mutation(&mut out, mutation);
    }
    let blobs = body.blobs();
    out.array(blobs.len());
    for blob in &blobs {
        encode_blob(&mut out, blob);
    }
    out.finish()
}

/// About as long as the encoded body, so that its buffer grows at most once.
fn body_len(body: &Body) -> usize {
    const DOT: usize = 30;
    const MUTATION: usize = 32;
    const BLOB: usize = 90;
    let mutation_len = |mutation: &Mutation| {
        let payload = match &mutation.op {
            Op::Put(Payload::Inline(bytes)) => bytes.len(),
            Op::Put(Payload::Blob(_)) => BLOB,
            Op::Delete => 0,
        };
        MUTATION + mutation.key.len() + payload + DOT * mutation.supersedes.len()
    };
    8 + DOT * body.deps.len() + body.mutations.iter().map(mutation_len).sum::<usize>()
}

fn decode_body(from: &mut Decoder) -> Result<Body, Error> {
    from.array_of(3)?;
    let deps = decode_dots(from, DEPS_MAX, "list of dependencies")?;
    let mutations_at = from.position();
    let count = from.array_up_to(MUTATIONS_MAX, "list of mutations")?;
    // A mutation takes more memory than bytes, and the count is only a claim: room for many is made as they come.
    let mut mutations: Vec<Mutation> = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let mutation = decode_mutation(from)?;
        if mutations.last().is_some_and(|last| (last.coll, &last.key) >= (mutation.coll, &mutation.key)) {
            return Err(Error::encoding(mutations_at, Problem::Order));
        }
        mutations.push(mutation);
    }
    let body = Body { deps, mutations };
    check_blobs(from, &body)?;
    Ok(body)
}

/// The list follows from the mutations; another one would be a second spelling.
fn check_blobs(from: &mut Decoder, body: &Body) -> Result<(), Error> {
    let start = from.position();
    let expected = body.blobs();
    let count = from.array_up_to(MUTATIONS_MAX, "list of blobs")?;
    if count != expected.len() {
        return Err(Error::encoding(start, Problem::Blobs));
    }
    for blob in &expected {
        if decode_blob(from)? != *blob {
            return Err(Error::encoding(start, Problem::Blobs));
        }
    }
    Ok(())
}

fn encode_mutation(out: &mut Encoder, mutation: &Mutation) {
    out.array(5).bytes(&mutation.coll.0).bytes(&mutation.key);
    match &mutation.op {
        Op::Put(Payload::Inline(bytes)) => out.uint(PUT).bytes(bytes),
        Op::Put(Payload::Blob(blob)) => encode_blob(out.uint(PUT), blob),
        Op::Delete => out.uint(DELETE).bytes(&[]),
    };
    encode_dots(out, &mutation.supersedes);
}

fn decode_mutation(from: &mut Decoder) -> Result<Mutation, Error> {
    from.array_of(5)?;
    let coll = CollId(from.fixed()?);
    let key = from.bytes_up_to(KEY_LEN_MAX, "key")?.to_vec();
    let op = decode_op(from)?;
    let supersedes = decode_dots(from, SUPERSEDES_MAX, "list of superseded dots")?;
    Ok(Mutation { coll, key, op, supersedes })
}

fn decode_op(from: &mut Decoder) -> Result<Op, Error> {
    let start = from.position();
    match from.uint()? {
        PUT if from.peek()? == Kind::Array => Ok(Op::Put(Payload::Blob(decode_blob(from)?))),
        PUT => Ok(Op::Put(Payload::Inline(from.bytes_up_to(PAYLOAD_INLINE_MAX, "payload")?.to_vec()))),
        DELETE if from.bytes()?.is_empty() => Ok(Op::Delete),
        DELETE => Err(Error::encoding(start, Problem::Length)),
        _ => Err(Error::encoding(start, Problem::Range)),
    }
}

fn encode_blob<'a>(out: &'a mut Encoder, blob: &BlobRef) -> &'a mut Encoder {
    out.array(3).uint(u64::from(blob.kind)).bytes(&blob.hash).uint(blob.len)
}

fn decode_blob(from: &mut Decoder) -> Result<BlobRef, Error> {
    let start = from.position();
    from.array_of(3)?;
    let kind = match from.uint()? {
        3 => BlobRef::CHUNK,
        4 => BlobRef::MANIFEST,
        _ => return Err(Error::encoding(start, Problem::Range)),
    };
    Ok(BlobRef { kind, hash: from.fixed()?, len: from.uint()? })
}

fn encode_dots(out: &mut Encoder, dots: &[Dot]) {
    out.array(dots.len());
    for dot in dots {
        out.array(2).bytes(&dot.writer.0).uint(dot.seq);
    }
}

fn decode_dots(from: &mut Decoder, max: usize, what: &'static str) -> Result<Vec<Dot>, Error> {
    let start = from.position();
    let count = from.array_up_to(max, what)?;
    let mut dots = Vec::with_capacity(count);
    for _ in 0..count {
        from.array_of(2)?;
        dots.push(Dot { writer: WriterId(from.fixed()?), seq: from.uint()? });
    }
    if dots.is_sorted_by(|a, b| a < b) { Ok(dots) } else { Err(Error::encoding(start, Problem::Order)) }
}
