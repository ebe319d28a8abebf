//! A reader of general CBOR that somebody else wrote sees the same values in our bytes, and writes the same
//! bytes for them.

use ciborium::Value;
use crdt::{
    BlobRef, Commit, CommitId, Dot, Evidence, Handle, Header, Mutation, Op, Open, Payload, Strand, WriterId,
};

use crate::vectors::{commits, evidence, genesis, handles, ring_record, ticket};

fn uint(value: u64) -> Value {
    Value::Integer(value.into())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn list<T>(items: &[T], value: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(value).collect())
}

fn dot(dot: &Dot) -> Value {
    Value::Array(vec![bytes(dot.writer.as_bytes()), uint(dot.seq)])
}

fn named((writer, seq, id): &(WriterId, u64, CommitId)) -> Value {
    Value::Array(vec![bytes(writer.as_bytes()), uint(*seq), bytes(id.as_bytes())])
}

fn blob(blob: &BlobRef) -> Value {
    Value::Array(vec![uint(u64::from(blob.kind)), bytes(&blob.hash), uint(blob.len)])
}

fn open(open: &Open) -> Value {
    let fields = [bytes(&open.device_key), list(&open.closes, named)];
    Value::Array(fields.into_iter().chain(open.reissues.as_ref().map(named)).collect())
}

fn header(header: &Header) -> Value {
    let fields = [
        uint(1),
        bytes(header.space.as_bytes()),
        bytes(header.writer.as_bytes()),
        uint(header.seq),
        bytes(header.prev.as_bytes()),
        uint(header.hlc.0),
        uint(header.base),
        bytes(&header.body_hash),
    ];
    Value::Array(fields.into_iter().chain(header.open.as_ref().map(open)).collect())
}

fn mutation(mutation: &Mutation) -> Value {
    let (op, payload) = match &mutation.op {
        Op::Put(Payload::Inline(value)) => (0, bytes(value)),
        Op::Put(Payload::Blob(named)) => (0, blob(named)),
        Op::Delete => (1, bytes(&[])),
    };
    let supersedes = list(&mutation.supersedes, dot);
    Value::Array(vec![bytes(mutation.coll.as_bytes()), bytes(&mutation.key), uint(op), payload, supersedes])
}

fn commit(commit: &Commit) -> Value {
    let body = commit.body();
    let body = vec![list(&body.deps, dot), list(&body.mutations, mutation), list(&body.blobs(), blob)];
    Value::Array(vec![header(commit.header()), Value::Array(body)])
}

fn handle(handle: &Handle) -> Value {
    let fields = [
        uint(1),
        bytes(handle.space.as_bytes()),
        uint(handle.version),
        bytes(&handle.prev),
        bytes(&handle.data_root),
        bytes(&handle.vv_root),
        uint(handle.fold_version),
        uint(handle.gc_epoch),
        uint(handle.ring_n),
        uint(handle.hlc.0),
    ];
    let signed = Value::Array(fields.into_iter().chain(handle.batch.map(|batch| bytes(&batch))).collect());
    Value::Array(vec![signed, bytes(&handle.signature)])
}

#[track_caller]
fn check(ours: &[u8], expected: &Value) {
    let read: Value = ciborium::from_reader(ours).expect("the second reader reads it");
    assert_eq!(&read, expected);
    let mut theirs = Vec::new();
    ciborium::into_writer(expected, &mut theirs).expect("a vector takes everything");
    assert_eq!(theirs, ours);
}

#[test]
fn commits_and_headers_read_the_same() {
    for (_, golden) in commits() {
        check(golden.encoded(), &commit(&golden));
        check(&golden.header().encode(), &header(golden.header()));
    }
}

/// Strands, headers and seals stand in byte strings of their own, each bytes that something else has frozen.
fn strand(strand: &Strand) -> Value {
    let headers = list(&strand.headers, |header| bytes(&header.encode()));
    Value::Array(vec![headers, bytes(&strand.seal.encode())])
}

#[test]
fn evidence_reads_the_same() {
    for (_, golden) in evidence() {
        let (kind, public, strands) = match &golden {
            Evidence::Fork(fork) => (1, fork.public, vec![&fork.one, &fork.other]),
            Evidence::TakenBack(taken_back) => (2, taken_back.public, vec![&taken_back.strand]),
        };
        strands.iter().for_each(|part| check(&part.encode(), &strand(part)));
        let strands = strands.iter().map(|strand| bytes(&strand.encode()));
        let fields = [uint(kind), bytes(&public)].into_iter().chain(strands);
        check(&golden.encode(), &Value::Array(fields.collect()));
    }
}

#[test]
fn handles_read_the_same() {
    handles().iter().for_each(|golden| check(&golden.encode(), &handle(golden)));
}

#[test]
fn genesis_ring_and_ticket_read_the_same() {
    let first = genesis();
    let keys = [bytes(&first.salt), bytes(&first.nonce), bytes(&first.home_key), bytes(&first.recovery_key)];
    let fields = [vec![uint(1)], keys.to_vec(), vec![bytes(first.owner.as_bytes()), bytes(&first.params)]];
    let first_value = Value::Array(fields.concat());
    check(&first.encode(), &first_value);

    let record = ring_record();
    let keys = list(&record.keys, |key| bytes(key));
    let fields = vec![bytes(record.space.as_bytes()), uint(record.n), bytes(&record.prev), keys];
    let signed = Value::Array([fields, vec![uint(record.from_version)]].concat());
    let record_value = Value::Array(vec![signed, bytes(&record.signature)]);
    check(&record.encode(), &record_value);

    let ticket = ticket();
    let addresses = list(&ticket.addresses, |address| bytes(address.as_bytes()));
    let who = vec![uint(1), first_value, Value::Array(vec![record_value]), addresses];
    let terms = vec![uint(1), uint(ticket.uses), uint(ticket.not_after.0), bytes(&ticket.secret)];
    check(&ticket.encode(), &Value::Array([who, terms].concat()));
}
