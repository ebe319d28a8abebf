//! The rules that every replica applies alike: no clock, no base, no local policy.

use super::{
    BlobRef, Body, CLOSES_MAX, COMMIT_LEN_MAX, DEPS_MAX, Header, MUTATIONS_MAX, Mutation, Op,
    PAYLOAD_INLINE_MAX, Payload, SUPERSEDES_MAX,
};
use crate::error::{Error, Invalid, Problem};
use crate::id::{CommitId, DeviceId, Dot, WriterId};
use crate::key::{self, KEY_LEN_MAX};
use crate::vector::Tip;

pub(super) fn check_len(len: usize) -> Result<(), Error> {
    limit("commit", len, COMMIT_LEN_MAX)
}

/// What decoding would refuse in a commit made here.
pub(super) fn check_limits(header: &Header, body: &Body) -> Result<(), Error> {
    if let Some(open) = &header.open {
        limit("list of closed writers", open.closes.len(), CLOSES_MAX)?;
        in_order(open.closes.is_sorted_by(|a, b| a < b))?;
    }
    limit("list of dependencies", body.deps.len(), DEPS_MAX)?;
    limit("list of mutations", body.mutations.len(), MUTATIONS_MAX)?;
    in_order(body.mutations.is_sorted_by(|a, b| (a.coll, &a.key) < (b.coll, &b.key)))?;
    body.mutations.iter().try_for_each(check_mutation_limits)
}

fn check_mutation_limits(mutation: &Mutation) -> Result<(), Error> {
    limit("key", mutation.key.len(), KEY_LEN_MAX)?;
    limit("list of superseded dots", mutation.supersedes.len(), SUPERSEDES_MAX)?;
    match &mutation.op {
        Op::Put(Payload::Inline(bytes)) => limit("payload", bytes.len(), PAYLOAD_INLINE_MAX),
        Op::Put(Payload::Blob(blob)) if !matches!(blob.kind, BlobRef::CHUNK | BlobRef::MANIFEST) => {
            Err(Error::encoding(0, Problem::Range))
        }
        _ => Ok(()),
    }
}

fn limit(what: &'static str, len: usize, max: usize) -> Result<(), Error> {
    if len <= max { Ok(()) } else { Err(Error::TooLarge { what, len: len as u64, max: max as u64 }) }
}

fn in_order(is: bool) -> Result<(), Error> {
    if is { Ok(()) } else { Err(Error::encoding(0, Problem::Order)) }
}

pub(super) fn check(header: &Header, body: &Body) -> Result<(), Invalid> {
    check_header(header)?;
    body.deps.iter().try_for_each(|dep| check_dep(&header.writer, dep))?;
    body.mutations.iter().try_for_each(|mutation| check_mutation(header, mutation))
}

fn check_header(header: &Header) -> Result<(), Invalid> {
    let writer = &header.writer;
    require(header.seq != 0, Invalid::SeqZero)?;
    require(is_writer(writer), Invalid::Class)?;
    let is_first = header.seq == 1;
    require((header.prev == CommitId::ZERO) == is_first, Invalid::Prev)?;
    require(header.open.is_some() == is_first, Invalid::Open)?;
    // A home's writer names no device: the seal by the ring stands for it.
    let is_own_key = |key| writer.is_home() || DeviceId::of(key) == writer.device();
    require(header.open.as_ref().is_none_or(|open| is_own_key(&open.device_key)), Invalid::DeviceKey)
}

/// Dependencies order what is sent, so an urgent commit must never wait for a less urgent one.
fn check_dep(writer: &WriterId, dep: &Dot) -> Result<(), Invalid> {
    require(dep.seq != 0, Invalid::DotZero)?;
    require(dep.writer != *writer, Invalid::DepOwn)?;
    require(!dep.writer.is_home(), Invalid::DepHome)?;
    let class = dep.writer.class().ok_or(Invalid::DepClass)?;
    require(writer.class().is_none_or(|own| class <= own), Invalid::DepClass)
}

fn check_mutation(header: &Header, mutation: &Mutation) -> Result<(), Invalid> {
    let rule = mutation.coll.rule();
    require(rule.is_known(), Invalid::Rule)?;
    require(!rule.home_only() || header.writer.is_home(), Invalid::HomeOnly)?;
    require(key::check(&mutation.key).is_ok(), Invalid::Key)?;
    mutation.supersedes.iter().try_for_each(|dot| check_superseded(header, dot))
}

fn check_superseded(header: &Header, dot: &Dot) -> Result<(), Invalid> {
    require(dot.seq != 0, Invalid::DotZero)?;
    require(is_writer(&dot.writer), Invalid::Class)?;
    require(dot.writer != header.writer || dot.seq < header.seq, Invalid::SupersedesFuture)
}

fn is_writer(writer: &WriterId) -> bool {
    writer.is_home() || writer.class().is_some()
}

fn require(holds: bool, otherwise: Invalid) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(otherwise) }
}

pub(super) fn follows(header: &Header, tip: &Tip) -> Result<(), Error> {
    let writer = header.writer;
    if tip.seq.checked_add(1) != Some(header.seq) {
        return Err(Error::Gap { writer, tip: tip.seq, found: header.seq });
    }
    if header.prev != tip.id {
        return Err(Error::Fork { writer, seq: tip.seq });
    }
    require(tip.seq == 0 || header.hlc > tip.hlc, Invalid::TimeFalls)?;
    require(header.base >= tip.base, Invalid::BaseFalls)?;
    Ok(())
}
