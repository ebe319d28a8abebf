//! What is hashed and signed: commits, seals, Handles, the ring, tickets, keys and rows.

use crdt::{
    Commit, CommitId, Descriptor, Evidence, Genesis, Handle, Header, Hlc, Payload, Proofs, Proposal, Ring,
    RingRecord, Seal, SpaceId, Strand, Ticket, WriterId, derive,
};

use crate::same;

/// A commit, a header by itself, and a body behind a header that names it: random bytes never match a hash.
pub(crate) fn commit(bytes: &[u8]) {
    check(bytes);
    same(bytes, Header::decode(bytes), Header::encode);
    let header = Header {
        space: SpaceId([1; 32]),
        writer: WriterId([2; 24]),
        seq: 2,
        prev: CommitId([3; 32]),
        hlc: Hlc(4),
        base: 5,
        body_hash: derive("body", bytes),
        open: None,
    };
    check(&[&[0x82], header.encode().as_slice(), bytes].concat());
}

fn check(bytes: &[u8]) {
    if let Some(commit) = same(bytes, Commit::decode(bytes), Commit::encode) {
        if commit.check().is_ok() {
            let again = Commit::new(commit.header().clone(), commit.body().clone()).expect("it was checked");
            assert!(again.encoded() == bytes, "made again it has other bytes");
        }
        crdt::effects(&commit).for_each(drop);
    }
}

/// A seal.
pub(crate) fn seal(bytes: &[u8]) {
    if let Some(seal) = same(bytes, Seal::decode(bytes), Seal::encode) {
        drop(seal.verify(&[7; 32]));
    }
}

/// Whatever a home signs: a Handle, a ring record, a genesis with a ring.
pub(crate) fn handle(bytes: &[u8]) {
    same(bytes, Handle::decode(bytes), Handle::encode);
    let record = same(bytes, RingRecord::decode(bytes), RingRecord::encode);
    let genesis = same(bytes, Genesis::decode(bytes), Genesis::encode);
    let genesis = genesis.unwrap_or_else(|| Genesis {
        salt: [1; 32],
        nonce: [2; 32],
        home_key: [3; 32],
        recovery_key: [4; 32],
        owner: crdt::DeviceId([5; 16]),
        params: Vec::new(),
    });
    drop(Ring::new(&genesis, record.into_iter().collect()));
}

/// What proves a fork, or a suffix taken back.
pub(crate) fn evidence(bytes: &[u8]) {
    if let Some(evidence) = same(bytes, Evidence::decode(bytes), Evidence::encode) {
        drop(evidence.check(SpaceId([1; 32])));
    }
    same(bytes, Strand::decode(bytes), Strand::encode);
    same(bytes, Proofs::decode(SpaceId([1; 32]), bytes), Proofs::encode);
}

/// A strong transaction on its way to the home.
pub(crate) fn proposal(bytes: &[u8]) {
    if let Some(proposal) = same(bytes, Proposal::decode(bytes), Proposal::encode) {
        let _ = proposal.is_by(&[7; 32]);
    }
}

/// A ticket as bytes and as text.
pub(crate) fn ticket(bytes: &[u8]) {
    same(bytes, Ticket::decode(bytes), Ticket::encode);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(ticket) = text.parse::<Ticket>()
    {
        assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket), "its own text is another ticket");
    }
}

/// The encoding of a key.
pub(crate) fn key(bytes: &[u8]) {
    let elements = same(bytes, crdt::key::decode(bytes), |elements| {
        crdt::key::encode(elements).expect("what decodes is within every limit")
    });
    assert_eq!(elements.is_some(), crdt::key::check(bytes).is_ok(), "two readers of a key disagree");
    drop(crdt::key::plain_name(bytes));
    let _ = crdt::split_physical(bytes);
}

/// What the trees hold: payloads, tips, descriptors, and the rows of members and tickets.
pub(crate) fn row(bytes: &[u8]) {
    same(bytes, Payload::decode(bytes), Payload::encode);
    same(bytes, Descriptor::decode(bytes), Descriptor::encode);
    same(bytes, replica::Grant::decode(bytes), replica::Grant::encode);
    if let Ok(row) = home::decoders::row(bytes) {
        // A row of three is from before tickets had a time.
        let today = if bytes[0] == 0x83 { [&[0x84], &bytes[1..], &[0]].concat() } else { bytes.to_vec() };
        assert!(row == today, "a ticket's row has two spellings");
    }
    same(bytes, home::decoders::claim(bytes), Vec::clone);
    same(bytes, home::decoders::recorded(bytes), Vec::clone);
    same(bytes, home::decoders::addresses(bytes), Vec::clone);
    same(bytes, replica::Cut::decode(bytes), replica::Cut::encode);
    same(bytes, replica::Removed::decode(bytes), replica::Removed::encode);
    same(bytes, replica::PruneFloor::decode(bytes), replica::PruneFloor::encode);
    same(bytes, replica::decoders::inbox_item(bytes), Vec::clone);
    let key = crdt::vector::Row::key(&WriterId([9; 24]));
    if let Ok((writer, tip)) = crdt::vector::Row::decode(&key, Hlc(1), bytes) {
        assert!(crdt::vector::Row::new(&writer, &tip).payload == bytes, "a tip has two spellings");
    }
}
