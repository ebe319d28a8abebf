//! Evidence that is true is believed, and every forged variant of it is refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::Hlc;
use crate::commit::{Header, Open};
use crate::id::{Class, CommitId};
use crate::seal::{DeviceKey, Seal};

const SPACE: SpaceId = SpaceId([1; 32]);

fn key(n: u8) -> DeviceKey {
    DeviceKey::from_seed([n; 32])
}

fn writer(n: u8, run: u8) -> WriterId {
    WriterId::new(key(n).id(), [run; 7], Class::Normal)
}

fn header(writer: WriterId, before: Option<&Header>, body: u8) -> Header {
    let seq = before.map_or(1, |before| before.seq + 1);
    let open = Open { device_key: key(1).public(), closes: vec![], reissues: None };
    Header {
        space: SPACE,
        writer,
        seq,
        prev: before.map_or(CommitId::ZERO, Header::id),
        hlc: Hlc(seq),
        base: 0,
        body_hash: [body; 32],
        open: (seq == 1).then_some(open),
    }
}

/// So many headers, whose bodies are these from number `fork` on.
fn history(writer: WriterId, len: u64, fork: u64, body: u8) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for seq in 1..=len {
        headers.push(header(writer, headers.last(), if seq < fork { 0 } else { body }));
    }
    headers
}

fn seal(key: &DeviceKey, last: &Header) -> Seal {
    Seal::sign(key, SPACE, last.writer, last.seq, last.id())
}

fn strand(headers: Vec<Header>) -> Strand {
    let seal = seal(&key(1), headers.last().expect("histories are not empty"));
    Strand { headers, seal }
}

/// One history of six, the other of four, that part at number three.
fn strands() -> (Strand, Strand) {
    (strand(history(writer(1, 1), 6, 3, 1)), strand(history(writer(1, 1), 4, 3, 2)))
}

fn fork() -> Fork {
    let (one, other) = strands();
    Fork::find(key(1).public(), &one, &other).expect("they differ")
}

fn taken_back() -> TakenBack {
    let mut headers = vec![header(writer(1, 2), None, 7)];
    let open = headers[0].open.as_mut().expect("the first one opens");
    open.reissues = Some((writer(1, 1), 5, CommitId([9; 32])));
    headers.push(header(writer(1, 2), Some(&headers[0]), 8));
    TakenBack::find(key(1).public(), strand(headers)).expect("it names what it takes back")
}

fn evidence() -> [Evidence; 2] {
    [Evidence::Fork(fork()), Evidence::TakenBack(taken_back())]
}

#[track_caller]
fn refused(evidence: impl Into<Evidence>) {
    let evidence = evidence.into();
    assert!(evidence.check(SPACE).is_err(), "{evidence:?}");
}

impl From<Fork> for Evidence {
    fn from(fork: Fork) -> Evidence {
        Evidence::Fork(fork)
    }
}

impl From<TakenBack> for Evidence {
    fn from(taken_back: TakenBack) -> Evidence {
        Evidence::TakenBack(taken_back)
    }
}

#[test]
fn fork_is_proven_at_the_first_commit_that_differs() {
    let proof = Proof { writer: writer(1, 1), seq: 3 };
    assert_eq!(Evidence::Fork(fork()).check(SPACE), Ok(proof));
    let (one, other) = strands();
    assert_eq!(Fork::find(key(1).public(), &other, &one), Some(fork()), "whoever comes first");
    let late = one.since(4).expect("it has a fourth");
    let found = Fork::find(key(1).public(), &late, &other).expect("the fourth differs too");
    assert_eq!(Evidence::Fork(found).check(SPACE), Ok(Proof { seq: 4, ..proof }));
}

#[test]
fn histories_that_agree_where_both_are_known_prove_nothing() {
    let (one, other) = strands();
    assert_eq!(Fork::find(key(1).public(), &one, &one), None);
    let start = strand(one.headers[..2].to_vec());
    assert_eq!(Fork::find(key(1).public(), &start, &other), None, "they part later");
    let late = one.since(5).expect("it has a fifth");
    assert_eq!(Fork::find(key(1).public(), &late, &other), None, "the other ends at the fourth");
    assert_eq!((one.since(0), one.since(7), one.id(0), one.id(7)), (None, None, None, None));
}

#[test]
fn suffix_that_its_author_wrote_again_is_proven_against_from_its_first_commit() {
    let proof = Proof { writer: writer(1, 1), seq: 5 };
    assert_eq!(Evidence::TakenBack(taken_back()).check(SPACE), Ok(proof));
    assert_eq!(TakenBack::find(key(1).public(), strands().0), None, "it names nothing");
}

#[test]
fn evidence_comes_back_and_has_one_spelling() {
    for evidence in evidence() {
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence.clone()));
        assert_eq!(evidence.device(), key(1).id());
    }
    let Fork { public, one, other } = fork();
    let turned = Evidence::Fork(Fork { public, one: other, other: one });
    assert_eq!(Evidence::decode(&turned.encode()), Err(Error::encoding(1, crate::error::Problem::Order)));
}

#[test]
fn forged_forks_are_refused() {
    let changes: [fn(&mut Fork); 11] = [
        |fork| fork.public = key(2).public(),
        |fork| fork.other = fork.one.clone(),
        |fork| fork.one = strand(fork.one.headers[..1].to_vec()).since(3).expect("it begins there"),
        |fork| fork.one.headers.clear(),
        |fork| drop(fork.one.headers.remove(1)),
        |fork| fork.one.headers[1].body_hash = [3; 32],
        |fork| fork.one.headers[0].space = SpaceId([2; 32]),
        |fork| fork.one.seal.seq -= 1,
        |fork| fork.one.seal.tip = fork.other.seal.tip,
        |fork| fork.one.seal = seal(&key(2), fork.one.headers.last().expect("it has one")),
        |fork| fork.one.seal.signature[0] ^= 1,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut forged = fork();
        change(&mut forged);
        // The third is one strand cut short and sealed again: the device itself vouches for that.
        let is_true = at == 2;
        assert_eq!(Evidence::Fork(forged.clone()).check(SPACE).is_ok(), is_true, "{at}: {forged:?}");
    }
    assert!(Evidence::Fork(fork()).check(SpaceId([2; 32])).is_err(), "made for another space");
}

#[test]
fn two_dots_or_two_writers_are_no_fork() {
    let (one, other) = strands();
    let at = |strand: &Strand, seq| strand.since(seq).expect("it has one");
    let public = key(1).public();
    refused(Fork { public, one: at(&one, 3), other: at(&other, 4) });
    let stranger = strand(history(writer(1, 2), 4, 3, 2));
    refused(Fork { public, one: at(&one, 3), other: at(&stranger, 3) });
    // Signed by the device, but in the name of another one's writer.
    let framed = strand(history(writer(2, 1), 4, 3, 2));
    refused(Fork { public, one: at(&framed, 3), other: at(&strand(history(writer(2, 1), 4, 3, 1)), 3) });
}

#[test]
fn key_that_anybody_can_make_proves_nothing_against_a_home() {
    let home = WriterId::home([1; 8]);
    let (one, other) = (strand(history(home, 4, 3, 1)), strand(history(home, 4, 3, 2)));
    refused(Fork::find(key(1).public(), &one, &other).expect("they differ"));
}

#[test]
fn forged_reissues_are_refused() {
    let with = |change: fn(&mut Option<(WriterId, u64, CommitId)>)| {
        let mut headers = vec![header(writer(1, 2), None, 7)];
        change(&mut headers[0].open.as_mut().expect("the first one opens").reissues);
        TakenBack { public: key(1).public(), strand: strand(headers) }
    };
    refused(with(|_| ()));
    refused(with(|reissues| *reissues = Some((writer(2, 1), 5, CommitId::ZERO))));
    refused(with(|reissues| *reissues = Some((writer(1, 2), 5, CommitId::ZERO))));
    refused(with(|reissues| *reissues = Some((writer(1, 1), 0, CommitId::ZERO))));
    refused(with(|reissues| *reissues = Some((WriterId::home([1; 8]), 5, CommitId::ZERO))));
    let TakenBack { public, strand } = taken_back();
    refused(TakenBack { public, strand: strand.since(2).expect("it has a second") });
    let mut other = taken_back();
    other.strand.headers[0].open.as_mut().expect("it opens").reissues =
        Some((writer(1, 1), 4, CommitId([9; 32])));
    refused(other);
}

#[test]
fn strands_over_the_limit_are_refused_before_their_headers_are_read() {
    let long = history(writer(1, 1), 257, 300, 0);
    let whole = strand(long);
    assert!(whole.check(SPACE, &key(1).public()).is_err());
    assert_eq!(
        Strand::decode(&whole.encode()),
        Err(Error::TooLarge { what: "list of headers", len: 257, max: 256 })
    );
    let most = whole.since(2).expect("it has a second");
    assert_eq!(most.check(SPACE, &key(1).public()), Ok(()));
    assert!(most.encode().len() <= STRAND_LEN_MAX, "{}", most.encode().len());
    assert!(matches!(Evidence::decode(&vec![0; EVIDENCE_LEN_MAX + 1]), Err(Error::TooLarge { .. })));
    assert!(matches!(Strand::decode(&vec![0; STRAND_LEN_MAX + 1]), Err(Error::TooLarge { .. })));
}

#[test]
fn longest_headers_fit_into_a_strand() {
    let mut first = header(writer(1, 2), None, 7);
    let open = first.open.as_mut().expect("the first one opens");
    let closed = |n: u8| (writer(1, n), u64::MAX, CommitId([9; 32]));
    open.closes = (0..crate::commit::CLOSES_MAX as u8).map(closed).collect();
    open.reissues = Some((writer(1, 1), u64::MAX, CommitId([9; 32])));
    let mut headers = vec![first];
    for _ in 1..256 {
        let mut next = header(writer(1, 2), headers.last(), 0);
        (next.hlc, next.base) = (Hlc(u64::MAX), u64::MAX);
        headers.push(next);
    }
    let len = strand(headers).encode().len();
    assert!(len + 256 * 8 <= STRAND_LEN_MAX, "{len}: sequence numbers may take 8 bytes more");
}

#[test]
fn smallest_proof_of_each_writer_is_kept() {
    let public = key(1).public();
    let (one, other) = strands();
    let late = Fork::find(public, &one.since(4).expect("it has a fourth"), &other).expect("it differs");
    let (late, early): (Evidence, Evidence) = (late.into(), fork().into());
    let check = |order: [&Evidence; 2]| {
        let mut proofs = Proofs::new();
        for evidence in order {
            let proof = evidence.check(SPACE).expect("it is true");
            proofs.insert(proof, Arc::new(evidence.clone())).expect("there is room");
        }
        proofs
    };
    let proofs = check([&late, &early]);
    assert_eq!(proofs, check([&early, &late]), "whichever was known first");
    assert_eq!((proofs.against(&writer(1, 1)), proofs.len()), (Some(3), 1));
    assert_eq!(Proofs::decode(SPACE, &proofs.encode()), Ok(proofs.clone()));
    assert!(Proofs::decode(SpaceId([2; 32]), &proofs.encode()).is_err(), "a disk is not believed");
    let mut none = proofs;
    assert!(none.retain(|_| false));
    assert_eq!((none.is_empty(), none), (true, Proofs::new()));
}

#[test]
fn proofs_are_bounded() {
    let mut proofs = Proofs::new();
    let mut run = 0_u32;
    let refusal = loop {
        run += 1;
        let bytes = run.to_be_bytes();
        let writer =
            WriterId::new(key(1).id(), [7, 7, 7, bytes[0], bytes[1], bytes[2], bytes[3]], Class::Bulk);
        let (one, other) = (strand(history(writer, 100, 1, 1)), strand(history(writer, 100, 1, 2)));
        let fork = Fork::find(key(1).public(), &one, &other).expect("they differ");
        let proof = Proof { writer, seq: 1 };
        if let Err(refusal) = proofs.insert(proof, Arc::new(fork.into())) {
            break refusal;
        }
    };
    assert!(matches!(refusal, Error::TooLarge { what: "list of proofs", .. }));
    assert!(proofs.len() > 20, "{}", proofs.len());
    let bytes = proofs.encode();
    assert!(bytes.len() <= PROOFS_LEN_MAX, "{}", bytes.len());
    assert_eq!(Proofs::decode(SPACE, &bytes), Ok(proofs));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn evidence_with_any_byte_changed_is_refused(which in 0..2_usize, at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = evidence()[which].encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let outcome = Evidence::decode(&bytes).and_then(|forged| {
            assert_eq!(forged.encode(), bytes, "what decodes has one spelling");
            forged.check(SPACE)
        });
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn evidence_cut_short_is_refused(which in 0..2_usize, len: prop::sample::Index) {
        let bytes = evidence()[which].encode();
        prop_assert!(Evidence::decode(&bytes[..len.index(bytes.len())]).is_err());
    }

    #[test]
    fn headers_under_a_stranger_key_prove_nothing(signer in 2..9_u8, which in any::<bool>()) {
        let mut forged = fork();
        let strand = if which { &mut forged.one } else { &mut forged.other };
        strand.seal = seal(&key(signer), strand.headers.last().expect("it has one"));
        prop_assert!(Evidence::Fork(forged.clone()).check(SPACE).is_err());
        forged.public = key(signer).public();
        prop_assert!(Evidence::Fork(forged).check(SPACE).is_err());
    }
}
