//! One frame of each kind, the same in every run.

use std::sync::Arc;

use btree::{Hash, Kind};
use crdt::{
    CommitId, DeviceKey, Dot, Genesis, Handle, Hlc, Op, Payload, Proposal, Read, RingRecord, Seal, SpaceId,
    Strand, Time, Tip, Wish, WriterId,
};
use sync::frame::{
    Ack, Beat, BlobData, BlobWant, Bye, Commits, Cover, CoverRow, Data, Decided, ForkFrame, HandleFrame,
    Hello, Join, Joined, Missing, Mode, Nack, Open, Outcome, Piece, Propose, Refused, Want, Yours,
};
use sync::{ByeCode, Frame, NackCode, Offer, Store};

use crate::model::{Model, SPACE, device, writer_of};

pub(crate) fn genesis() -> Genesis {
    Genesis {
        salt: [3; 32],
        nonce: [4; 32],
        home_key: device(2).public(),
        recovery_key: [5; 32],
        owner: device(2).id(),
        params: Vec::new(),
    }
}

pub(crate) fn handle(space: SpaceId, key: &DeviceKey) -> Handle {
    let handle = Handle {
        space,
        version: 300,
        prev: [1; 32],
        data_root: [2; 32],
        vv_root: [3; 32],
        fold_version: 1,
        gc_epoch: 0,
        ring_n: 0,
        hlc: Hlc(0x0001_0000_0000_0000),
        batch: None,
        signature: [0; 64],
    };
    handle.sign(key)
}

fn record() -> RingRecord {
    let record = RingRecord {
        space: SPACE,
        n: 1,
        prev: [6; 32],
        keys: vec![device(3).public()],
        from_version: 400,
        signature: [0; 64],
    };
    record.sign(&device(2))
}

pub(crate) fn commits() -> Commits {
    let mut model = Model::new(1);
    model.write("one");
    model.write("two");
    model.flush();
    let outgoing = model.next_commits(&Default::default(), 1 << 20).expect("a model that works");
    let seals = vec![Seal::sign(&device(1), SPACE, writer_of(1), 2, outgoing.commits[1].id())];
    Commits { commits: outgoing.commits, blobs: vec![vec![8; 5]], seals, strands: Vec::new() }
}

/// The first of two commits that were sealed together.
fn commits_with_a_strand() -> Commits {
    let Commits { commits, seals, .. } = commits();
    let headers = commits.iter().map(|commit| commit.header().clone()).collect();
    let strands = vec![Strand { headers, seal: seals[0].clone() }];
    Commits { commits: commits[..1].to_vec(), blobs: Vec::new(), seals: Vec::new(), strands }
}

fn greetings(handle: &Handle) -> Vec<Frame> {
    let (writer, tip) = (writer_of(1), CommitId([0xcc; 32]));
    vec![
        Frame::Hello(Hello {
            proto: 1,
            device: device(1).id(),
            instance: [0xaa; 16],
            features: 0,
            frame_max: 4 << 20,
            wall: Time(1_700_000_000_000),
        }),
        Frame::Open(Open {
            space: SPACE,
            handle: handle.clone(),
            ring_n: 0,
            mode: Mode::Full,
            tail: vec![(writer, 812, tip)],
            more: true,
        }),
        Frame::Cover(Cover {
            rows: vec![
                CoverRow { writer: WriterId([1; 24]), seq: 0, tip: None, yours: Yours::Unknown },
                CoverRow { writer: WriterId([2; 24]), seq: 70_000, tip: Some(tip), yours: Yours::Same },
            ],
            more: false,
        }),
    ]
}

fn streams(handle: &Handle) -> Vec<Frame> {
    let writer = writer_of(1);
    let tip = Tip { seq: 2, id: CommitId([0xdd; 32]), hlc: Hlc(5), base: 1 };
    let home_commits: Vec<Arc<crdt::Commit>> = commits().commits[..1].to_vec();
    vec![
        Frame::Commits(commits()),
        Frame::Commits(commits_with_a_strand()),
        Frame::Ack(Ack {
            stored: vec![(writer, 2)],
            complete: Vec::new(),
            anchored: vec![(writer, 1)],
            base_version: 300,
        }),
        Frame::Nack(Nack { writer, seq: 3, code: NackCode::Cut, detail: "cut at 2".into() }),
        Frame::Handle(HandleFrame(Offer {
            handle: handle.clone(),
            ring: vec![record()],
            vector_changes: Some(vec![(writer, tip)]),
            home_commits,
        })),
        Frame::Handle(HandleFrame(Offer {
            handle: handle.clone(),
            ring: Vec::new(),
            vector_changes: None,
            home_commits: Vec::new(),
        })),
    ]
}

fn fetches() -> Vec<Frame> {
    let nodes = vec![(Kind::Data, Hash([0x11; 32])), (Kind::Vector, Hash([0x22; 32]))];
    vec![
        Frame::Want(Want { nodes: nodes.clone(), version: 300 }),
        Frame::Data(Data { nodes: vec![(Kind::Data, Hash([0x11; 32]), vec![1, 2, 3])] }),
        Frame::Missing(Missing { nodes, newest_version: 301 }),
        Frame::BlobWant(BlobWant { hash: Hash([0x33; 32]), offset: 65_536, len: 1_000 }),
        Frame::BlobData(BlobData { hash: None, offset: 0, bytes: vec![9; 4] }),
        Frame::BlobData(BlobData { hash: Some(Hash([0x33; 32])), offset: 65_536, bytes: vec![7] }),
    ]
}

/// What two copies of one writer show of it, and what follows from that.
pub(crate) fn forks() -> Vec<Frame> {
    let mut one = Model::new(1);
    one.write("one");
    let mut other = one.clone();
    one.write("two");
    other.write("another two");
    one.flush();
    other.flush();
    let writer = writer_of(1);
    let shown = one.strand(&writer, 1).expect("it is all here");
    let theirs = other.strand(&writer, 1).expect("it is all here");
    let fork = crdt::Fork::find(shown.public, &shown.strand, &theirs.strand).expect("they differ");
    vec![
        Frame::Fork(ForkFrame::Ask { writer, seq: 70_000 }),
        Frame::Fork(ForkFrame::Shown { writer, seq: 1, shown: Some(Box::new(shown)) }),
        Frame::Fork(ForkFrame::Shown { writer, seq: 9, shown: None }),
        Frame::Fork(ForkFrame::Proof(Arc::new(crdt::Evidence::Fork(fork)))),
    ]
}

fn proposal() -> Proposal {
    let (coll, key) = (crdt::system::acl(), b"k".to_vec());
    let point = Read::Point { coll, key: key.clone(), digest: [0x77; 32] };
    let (from, to) = (b"a".to_vec(), b"b".to_vec());
    let range = Read::Range { coll, from, to, limit: Some(9), is_descending: false, digest: [0x88; 32] };
    let put = Wish { coll, key: key.clone(), op: Op::Put(Payload::Inline(b"v".to_vec())) };
    let proposal = Proposal {
        id: [0x66; 16],
        space: SPACE,
        base: 300,
        deps: vec![Dot::new(writer_of(1), 2)],
        reads: vec![point, range],
        writes: vec![put, Wish { coll, key, op: Op::Delete }],
        signature: [0; 64],
    };
    proposal.sign(&device(1))
}

/// One of each kind, two where a field has two spellings.
pub(crate) fn all() -> Vec<Frame> {
    let handle = handle(SPACE, &device(2));
    let mut frames = greetings(&handle);
    frames.extend(streams(&handle));
    frames.extend(fetches());
    frames.extend(forks());
    frames.push(Frame::Beat(Beat { base_version: 300, digest: [0x44; 32] }));
    frames.push(Frame::Propose(Propose(proposal())));
    for outcome in [Outcome::Committed(301), Outcome::Refused(Refused::NotHome)] {
        frames.push(Frame::Result(Decided { id: [0x66; 16], outcome }));
    }
    frames.push(Frame::Bye(Bye { code: ByeCode::Busy, retry_after_ms: 60_000 }));
    frames.push(Frame::Join(Join { space: SPACE, device_key: device(1).public(), proof: [0x55; 32] }));
    frames.push(Frame::Joined(Joined { genesis: genesis(), ring: Vec::new(), handle }));
    frames.push(Frame::Piece(Piece { rest: 0, bytes: vec![0x77; 3] }));
    frames
}
