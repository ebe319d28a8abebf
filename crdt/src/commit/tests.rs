//! Which commits are refused, each for one reason.

use proptest::prelude::*;

use super::*;
use crate::error::{Invalid, Problem};
use crate::id::{Class, DeviceId};
use crate::key;
use crate::rule::{Descriptor, Policy, Rule, system};
use crate::vector::Tip;

const DEVICE_KEY: [u8; 32] = [7; 32];

fn writer(class: Class) -> WriterId {
    WriterId::new(DeviceId::of(&DEVICE_KEY), [1; 7], class)
}

fn stranger(class: Class) -> WriterId {
    WriterId::new(DeviceId([9; 16]), [2; 7], class)
}

fn coll(policy: Policy) -> CollId {
    Descriptor::new("things", policy).expect("a name").id()
}

fn put(name: &str) -> Mutation {
    let op = Op::Put(Payload::Inline(b"value".to_vec()));
    Mutation { coll: coll(Policy::Lww), key: key::plain(name.as_bytes()), op, supersedes: Vec::new() }
}

fn blob(byte: u8) -> BlobRef {
    BlobRef { kind: BlobRef::CHUNK, hash: [byte; 32], len: 5000 }
}

/// A valid second commit with one of everything.
fn parts() -> (Header, Body) {
    let header = Header {
        space: SpaceId([1; 32]),
        writer: writer(Class::Normal),
        seq: 2,
        prev: CommitId([3; 32]),
        hlc: Hlc(1000),
        base: 4,
        body_hash: [0; 32],
        open: None,
    };
    let delete =
        Mutation { op: Op::Delete, supersedes: vec![Dot::new(stranger(Class::Bulk), 5)], ..put("b") };
    let large = Mutation { op: Op::Put(Payload::Blob(blob(1))), ..put("c") };
    let deps = vec![Dot::new(stranger(Class::Critical), 1), Dot::new(stranger(Class::Normal), 2)];
    (header, Body { deps, mutations: vec![put("a"), delete, large] })
}

fn first() -> (Header, Body) {
    let (mut header, body) = parts();
    header.seq = 1;
    header.prev = CommitId::ZERO;
    header.open = Some(Open { device_key: DEVICE_KEY, closes: Vec::new(), reissues: None });
    (header, body)
}

/// Such a commit is never made, and where it comes from elsewhere it decodes and is refused all the same.
#[track_caller]
fn check_invalid((header, body): (Header, Body), reason: Invalid) {
    let expected = Err(Error::Invalid(reason));
    assert_eq!(Commit::new(header.clone(), body.clone()).map(|_| ()), expected);
    let foreign = Commit::assemble(header, body);
    let decoded = Commit::decode(foreign.encoded()).expect("it is canonical");
    assert_eq!(decoded.check(), expected);
}

#[track_caller]
fn check_header(change: impl FnOnce(&mut Header), reason: Invalid) {
    let (mut header, body) = parts();
    change(&mut header);
    check_invalid((header, body), reason);
}

#[track_caller]
fn check_mutation(change: impl FnOnce(&mut Mutation), reason: Invalid) {
    let (header, mut body) = parts();
    change(&mut body.mutations[0]);
    body.mutations.sort_by(|a, b| (a.coll, &a.key).cmp(&(b.coll, &b.key)));
    check_invalid((header, body), reason);
}

#[track_caller]
fn check_dep(dep: Dot, reason: Invalid) {
    let (header, mut body) = parts();
    body.deps = vec![dep];
    check_invalid((header, body), reason);
}

#[track_caller]
fn check_too_large(change: impl FnOnce(&mut Header, &mut Body), expected: &str) {
    let (mut header, mut body) = first();
    change(&mut header, &mut body);
    let refused = |error: Error| matches!(error, Error::TooLarge { what, .. } if what == expected);
    assert!(Commit::new(header.clone(), body.clone()).is_err_and(refused));
    let foreign = Commit::assemble(header, body);
    assert!(Commit::decode(foreign.encoded()).is_err_and(refused));
}

#[track_caller]
fn check_bytes(foreign: Commit, problem: Problem) {
    let refused = Commit::decode(foreign.encoded()).expect_err("it is not canonical");
    assert!(matches!(refused, Error::Encoding { problem: found, .. } if found == problem), "{refused}");
}

#[test]
fn valid_commits_come_back_as_they_went() {
    for (header, body) in [parts(), first()] {
        let commit = Commit::new(header, body).expect("it is valid");
        let decoded = Commit::decode(commit.encoded()).expect("it decodes");
        assert_eq!(decoded, commit);
        assert_eq!(decoded.check(), Ok(()));
        assert_eq!(decoded.header().id(), commit.id());
        assert_eq!(Header::decode(&commit.header().encode()).as_ref(), Ok(commit.header()));
    }
}

#[test]
fn new_commit_is_sorted_and_names_each_dot_once() {
    let (header, body) = parts();
    let tidy = Commit::new(header.clone(), body.clone()).expect("it is valid");
    let mut untidy = body;
    untidy.mutations.reverse();
    untidy.deps.reverse();
    untidy.deps.push(untidy.deps[0]);
    assert_eq!(Commit::new(header, untidy), Ok(tidy));
}

#[test]
fn commit_needs_its_dependencies_and_what_it_supersedes() {
    let (header, body) = parts();
    let commit = Commit::new(header, body).expect("it is valid");
    let needs: Vec<u64> = commit.needs().map(|dot| dot.seq).collect();
    assert_eq!(needs, [1, 2, 5]);
    assert_eq!(commit.body().blobs(), [blob(1)]);
}

#[test]
fn sequence_numbers_start_at_one() {
    check_header(|header| header.seq = 0, Invalid::SeqZero);
}

#[test]
fn writer_has_a_class() {
    check_header(|header| header.writer.0[23] = 3, Invalid::Class);
}

#[test]
fn open_stands_at_the_first_commit_only() {
    let (mut header, body) = first();
    header.open = None;
    check_invalid((header, body), Invalid::Open);
    let open = first().0.open;
    check_header(|header| header.open = open, Invalid::Open);
}

#[test]
fn key_in_open_is_the_key_of_the_device() {
    let (mut header, body) = first();
    header.open.as_mut().expect("it opens").device_key = [8; 32];
    check_invalid((header, body), Invalid::DeviceKey);
}

#[test]
fn only_the_first_commit_has_no_predecessor() {
    check_header(|header| header.prev = CommitId::ZERO, Invalid::Prev);
    let (mut header, body) = first();
    header.prev = CommitId([1; 32]);
    check_invalid((header, body), Invalid::Prev);
}

#[test]
fn dependency_is_on_another_device_of_the_same_or_a_more_urgent_class() {
    check_dep(Dot::new(writer(Class::Normal), 1), Invalid::DepOwn);
    check_dep(Dot::new(WriterId::home([1; 8]), 1), Invalid::DepHome);
    check_dep(Dot::new(stranger(Class::Bulk), 1), Invalid::DepClass);
    check_dep(Dot::new(stranger(Class::Normal), 0), Invalid::DotZero);
    let mut unknown = stranger(Class::Normal);
    unknown.0[23] = 9;
    check_dep(Dot::new(unknown, 1), Invalid::DepClass);
}

#[test]
fn only_the_home_writes_where_only_the_home_may() {
    check_mutation(|mutation| mutation.coll = system::acl(), Invalid::HomeOnly);
    let (mut header, mut body) = first();
    header.writer = WriterId::home([1; 8]);
    body.mutations[0].coll = system::acl();
    assert!(Commit::new(header, body).is_ok());
}

#[test]
fn collection_has_a_known_rule() {
    for byte in [3, 7, 8, 255] {
        assert!(!Rule::from_byte(byte).is_known());
        check_mutation(|mutation| mutation.coll.0[0] = byte, Invalid::Rule);
    }
}

#[test]
fn key_is_canonical() {
    check_mutation(|mutation| mutation.key = b"plain".to_vec(), Invalid::Key);
    check_mutation(|mutation| mutation.key = Vec::new(), Invalid::Key);
}

#[test]
fn superseded_dot_is_one_that_can_have_been_written() {
    let supersede = |dot| move |mutation: &mut Mutation| mutation.supersedes = vec![dot];
    let own = writer(Class::Normal);
    check_mutation(supersede(Dot::new(own, 2)), Invalid::SupersedesFuture);
    check_mutation(supersede(Dot::new(own, 3)), Invalid::SupersedesFuture);
    check_mutation(supersede(Dot::new(own, 0)), Invalid::DotZero);
    let mut unknown = own;
    unknown.0[23] = 9;
    check_mutation(supersede(Dot::new(unknown, 1)), Invalid::Class);
}

#[test]
fn limits_hold_both_ways() {
    let dots = |count: usize| (1..=count as u64).map(|seq| Dot::new(stranger(Class::Normal), seq)).collect();
    let named = |seq| (stranger(Class::Normal), seq, CommitId([1; 32]));
    check_too_large(|_, body| body.deps = dots(DEPS_MAX + 1), "list of dependencies");
    check_too_large(
        |_, body| body.mutations[0].supersedes = dots(SUPERSEDES_MAX + 1),
        "list of superseded dots",
    );
    check_too_large(|_, body| body.mutations[2].key = key::plain(&[b'x'; 1022]), "key");
    let payload = Op::Put(Payload::Inline(vec![0; PAYLOAD_INLINE_MAX + 1]));
    check_too_large(|_, body| body.mutations[0].op = payload, "payload");
    let closes = (0..=CLOSES_MAX as u64).map(named).collect();
    let close = |header: &mut Header| header.open.as_mut().expect("it opens").closes = closes;
    check_too_large(|header, _| close(header), "list of closed writers");
    let many = |i: u32| Mutation { key: key::plain(&i.to_be_bytes()), op: Op::Delete, ..put("") };
    let mut mutations: Vec<Mutation> = (0..=MUTATIONS_MAX as u32).map(many).collect();
    mutations.sort_by(|a, b| a.key.cmp(&b.key));
    check_too_large(|_, body| body.mutations = mutations, "list of mutations");
}

#[test]
fn largest_commit_is_sixteen_mebibytes() {
    let full = |i: u32| {
        let op = Op::Put(Payload::Inline(vec![0; PAYLOAD_INLINE_MAX]));
        Mutation { key: key::plain(format!("{i:06}").as_bytes()), op, ..put("") }
    };
    let (header, mut body) = parts();
    body.mutations = (0..16_000).map(full).collect();
    let refused = Commit::new(header, body).expect_err("it is too large");
    assert!(matches!(refused, Error::TooLarge { what: "commit", max: 16_777_216, .. }));
}

#[test]
fn key_written_twice_is_refused() {
    let (header, mut body) = parts();
    body.mutations.push(put("a"));
    let refused = Commit::new(header.clone(), body.clone()).expect_err("a key is there twice");
    assert!(matches!(refused, Error::Encoding { problem: Problem::Order, .. }));
    body.mutations.sort_by(|a, b| a.key.cmp(&b.key));
    check_bytes(Commit::assemble(header, body), Problem::Order);
}

#[test]
fn lists_out_of_order_are_refused() {
    let (header, mut body) = parts();
    body.mutations.swap(0, 1);
    check_bytes(Commit::assemble(header.clone(), body), Problem::Order);
    let (_, mut body) = parts();
    body.deps.swap(0, 1);
    check_bytes(Commit::assemble(header.clone(), body), Problem::Order);
    let (_, mut body) = parts();
    body.mutations[0].supersedes = vec![body.deps[0]; 2];
    check_bytes(Commit::assemble(header, body), Problem::Order);
}

#[test]
fn blob_of_an_unknown_kind_is_refused() {
    let (header, mut body) = parts();
    body.mutations[2].op = Op::Put(Payload::Blob(BlobRef { kind: 1, ..blob(1) }));
    assert!(Commit::new(header.clone(), body.clone()).is_err());
    check_bytes(Commit::assemble(header, body), Problem::Range);
}

#[test]
fn body_of_another_commit_is_refused() {
    let (header, body) = parts();
    let commit = Commit::new(header, body).expect("it is valid");
    let mut bytes = commit.encode();
    let at = bytes.windows(5).position(|window| window == b"value").expect("the payload is in it");
    bytes[at] ^= 1;
    let refused = Commit::decode(&bytes).expect_err("the body is not that of the header");
    assert!(matches!(refused, Error::Encoding { problem: Problem::BodyHash, .. }));
}

#[test]
fn commit_of_another_format_is_named_as_such() {
    let mut bytes = Commit::assemble(parts().0, parts().1).encode();
    assert_eq!(bytes[..3], [0x82, 0x88, 1]);
    bytes[2] = 2;
    assert_eq!(Commit::decode(&bytes), Err(Error::UnknownVersion { what: "commit", found: 2, known: 1 }));
}

#[test]
fn next_commit_continues_its_writers_chain() {
    let (header, body) = parts();
    let commit = Commit::new(header, body).expect("it is valid");
    let tip = Tip { seq: 1, id: CommitId([3; 32]), hlc: Hlc(999), base: 4 };
    let writer = commit.header().writer;
    assert_eq!(commit.follows(&tip), Ok(()));
    assert_eq!(commit.follows(&Tip { seq: 2, ..tip }), Err(Error::Gap { writer, tip: 2, found: 2 }));
    assert_eq!(commit.follows(&Tip { seq: 0, ..tip }), Err(Error::Gap { writer, tip: 0, found: 2 }));
    assert_eq!(commit.follows(&Tip { id: CommitId([4; 32]), ..tip }), Err(Error::Fork { writer, seq: 1 }));
    assert_eq!(commit.follows(&Tip { hlc: Hlc(1000), ..tip }), Err(Invalid::TimeFalls.into()));
    assert_eq!(commit.follows(&Tip { base: 5, ..tip }), Err(Invalid::BaseFalls.into()));
}

#[test]
fn first_commit_follows_the_start() {
    let (mut header, body) = first();
    header.hlc = Hlc(0);
    header.base = 0;
    let commit = Commit::new(header, body).expect("it is valid");
    assert_eq!(commit.follows(&Tip::START), Ok(()));
    assert_eq!(commit.tip(), Tip { seq: 1, id: commit.id(), hlc: Hlc(0), base: 0 });
}

proptest! {
    #[test]
    fn damaged_commit_decodes_to_what_it_is_or_not_at_all(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let (header, body) = first();
        let mut bytes = Commit::new(header, body).expect("it is valid").encode();
        prop_assert!(Commit::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(commit) = Commit::decode(&bytes) {
            let again = Commit::assemble(commit.header().clone(), commit.body().clone());
            prop_assert_eq!(again.encoded(), bytes.as_slice());
            prop_assert_eq!(again.id(), commit.id());
        }
    }
}
