//! Commits made by hand: everything about them is in order but for the one thing that a lie is about.

use btree::{Kind, Salt};
use crdt::{
    BlobRef, Body, Class, Commit, CommitId, DeviceId, DeviceKey, Dot, Header, Hlc, Mutation, Op, Open,
    Payload, Seal, Time, WriterId, derive, key, system,
};
use sync::Frame;
use sync::frame::Commits;

use super::{Liar, Lie, Occasion, Twins, nonsense};

/// Writers of which it says two things.
const FORKS_MAX: usize = 64;

/// A day in 2099.
const FAR: u64 = 4_080_000_000_000;

impl Liar {
    /// The commits of a lie with a seal of the liar's; none: it is about something else.
    pub(super) fn forge(&mut self, lie: Lie, occasion: &Occasion<'_>) -> Option<Frame> {
        let (mut header, mut body) = (self.header(occasion), self.body());
        let mut blobs = Vec::new();
        match lie {
            Lie::ForeignWriter | Lie::ForeignKey => {
                let other = occasion.others[self.random.below(occasion.others.len() as u64) as usize];
                header.writer = WriterId::new(DeviceId::of(&other), self.run(), Class::Normal);
                if lie == Lie::ForeignWriter {
                    open(&mut header).device_key = other;
                }
            }
            Lie::Stranger => {
                // Nobody else has a key from such a seed.
                let stranger = DeviceKey::from_seed([0x80 | self.random.next() as u8; 32]);
                header.writer = WriterId::new(stranger.id(), self.run(), Class::Normal);
                open(&mut header).device_key = stranger.public();
                return Some(unit(vec![commit(header, body)], blobs, &stranger));
            }
            Lie::HomeWriter => header.writer = WriterId::home(self.random.next().to_be_bytes()),
            Lie::MissingDeps => body.deps.push(self.nowhere(occasion)),
            Lie::SupersedesNothing => {
                let count = 1 + self.random.below(50);
                body.mutations[0].supersedes = (0..count).map(|_| self.nowhere(occasion)).collect();
            }
            Lie::NamesStrangers => {
                let stranger = WriterId::new(DeviceId([0xee; 16]), self.run(), Class::Bulk);
                body.mutations[0].supersedes = vec![Dot::new(stranger, 1 + self.random.below(9))];
            }
            Lie::FutureBase => header.base = u64::MAX - self.random.below(2),
            Lie::Gap => {
                header.seq = 2 + self.random.below(u64::MAX - 2);
                (header.prev, header.open) = (CommitId([7; 32]), None);
            }
            Lie::WithheldValue => body.mutations[0].op = Op::Put(self.value(occasion, 2000).1),
            Lie::WrongLength => {
                let (bytes, payload) = self.value(occasion, 1999);
                body.mutations[0].op = Op::Put(payload);
                blobs.push(bytes);
            }
            Lie::OtherSpaceCommit => header.space = crdt::SpaceId([9; 32]),
            Lie::Poison => header.hlc = Hlc::from_time(Time(FAR + self.random.below(1000))),
            Lie::TimeFalls | Lie::HomeOnly => {}
            Lie::Nonsense => body.mutations[0] = self.nonsense()?,
            Lie::Equivocation if self.forked.len() < FORKS_MAX => {
                return Some(self.twin(occasion, header, body));
            }
            _ => return None,
        }
        let commits = match lie {
            Lie::TimeFalls => self.falling(header, body),
            Lie::HomeOnly => vec![home_only(header, body)],
            Lie::ForeignKey => vec![unchecked(header, body_bytes(&self.own(occasion)))],
            _ => vec![commit(header, body)],
        };
        if matches!(lie, Lie::Poison | Lie::NamesStrangers | Lie::Nonsense) {
            self.valid.extend(commits.iter().cloned());
        }
        Some(unit(commits, blobs, &self.key))
    }

    /// The first commit of a fresh writer of the liar's, as it should be.
    fn header(&mut self, occasion: &Occasion<'_>) -> Header {
        Header {
            space: self.space,
            writer: WriterId::new(self.key.id(), self.run(), Class::Normal),
            seq: 1,
            prev: CommitId::ZERO,
            hlc: Hlc::from_time(occasion.now),
            base: occasion.replica.base().version,
            body_hash: [0; 32],
            open: Some(Open { device_key: self.key.public(), closes: Vec::new(), reissues: None }),
        }
    }

    /// One put on a key that others write too.
    fn body(&mut self) -> Body {
        let value = self.random.next().to_be_bytes().to_vec();
        let mutation = Mutation {
            coll: self.coll,
            key: key::plain(format!("key-{:02}", self.random.below(12)).as_bytes()),
            op: Op::Put(Payload::Inline(value)),
            supersedes: Vec::new(),
        };
        Body { deps: Vec::new(), mutations: vec![mutation] }
    }

    /// A put that its collection has no use for.
    fn nonsense(&mut self) -> Option<Mutation> {
        let kinds = self.kept.iter().map(|(coll, policy)| (*coll, nonsense(*policy)));
        let all: Vec<_> = kinds.flat_map(|(coll, all)| all.into_iter().map(move |one| (coll, one))).collect();
        let (coll, (key, payload)) = all.get(self.random.below(all.len().max(1) as u64) as usize)?.clone();
        Some(Mutation { coll, key, op: Op::Put(Payload::Inline(payload)), supersedes: Vec::new() })
    }

    fn own(&mut self, occasion: &Occasion<'_>) -> Commit {
        let (header, body) = (self.header(occasion), self.body());
        commit(header, body)
    }

    pub(super) fn run(&mut self) -> [u8; 7] {
        self.random.next().to_be_bytes()[1..].try_into().expect("seven of eight")
    }

    /// A dot of a member's that the member never wrote.
    pub(super) fn nowhere(&mut self, occasion: &Occasion<'_>) -> Dot {
        let other = occasion.others[self.random.below(occasion.others.len() as u64) as usize];
        let writer = WriterId::new(DeviceId::of(&other), self.run(), Class::Critical);
        Dot::new(writer, 1 + self.random.below(1 << 40))
    }

    /// A value beside a commit, said to have this length; it has 2,000 bytes.
    fn value(&mut self, occasion: &Occasion<'_>, len: u64) -> (Vec<u8>, Payload) {
        let bytes: Vec<u8> = (0..250).flat_map(|_| self.random.next().to_be_bytes()).collect();
        let hash = Salt(occasion.replica.genesis().salt).hash(Kind::Chunk, &bytes);
        (bytes, Payload::Blob(BlobRef { kind: BlobRef::CHUNK, hash: hash.0, len }))
    }

    /// Two commits of one writer, the second an hour before the first.
    fn falling(&mut self, header: Header, body: Body) -> Vec<Commit> {
        let first = commit(header, body);
        let hlc = Hlc(first.header().hlc.0 - (3_600_000 << 16));
        let header = Header { seq: 2, prev: first.id(), hlc, open: None, ..first.header().clone() };
        let second = commit(header, self.body());
        vec![first, second]
    }

    /// One of two commits that have one dot: whom it is for decides which.
    fn twin(&mut self, occasion: &Occasion<'_>, header: Header, body: Body) -> Frame {
        let mut twins = match self.twins.take() {
            Some(twins) => twins,
            None => self.twins(header, body),
        };
        let which = occasion.peer % 2;
        twins.is_told[which] = true;
        let told = twins.units[which].clone();
        if twins.is_told == [true; 2] {
            // The next time it makes new ones: these may have met before anybody held both.
            self.forked.push(twins.writer);
        } else {
            self.twins = Some(twins);
        }
        told
    }

    fn twins(&mut self, header: Header, body: Body) -> Twins {
        let writer = header.writer;
        let commits = [commit(header.clone(), body), commit(header, self.body())];
        self.valid.extend(commits.iter().cloned());
        let units = commits.map(|commit| unit(vec![commit], Vec::new(), &self.key));
        Twins { writer, units, is_told: [false; 2] }
    }
}

/// The same commit with another value in it.
pub(super) fn changed(true_one: &Commit) -> Option<Commit> {
    let mut body = true_one.body().clone();
    let put = body.mutations.iter_mut().find(|mutation| matches!(mutation.op, Op::Put(_)))?;
    put.op = Op::Put(Payload::Inline(b"changed".to_vec()));
    Commit::new(true_one.header().clone(), body).ok()
}

/// Commits of one writer, in order, the last one sealed.
pub(super) fn unit(commits: Vec<Commit>, blobs: Vec<Vec<u8>>, key: &DeviceKey) -> Frame {
    let last = commits.last().expect("there is one");
    let seals = vec![Seal::sign(key, last.header().space, last.dot().writer, last.dot().seq, last.id())];
    let commits = commits.into_iter().map(Into::into).collect();
    Frame::Commits(Commits { commits, blobs, seals, strands: Vec::new() })
}

fn open(header: &mut Header) -> &mut Open {
    header.open.as_mut().expect("it is a first commit")
}

fn commit(header: Header, body: Body) -> Commit {
    Commit::new(header, body).expect("a commit that is valid by itself")
}

/// A commit that writes to the list of members.
fn home_only(header: Header, body: Body) -> Commit {
    let coll = body.mutations[0].coll;
    let honest = commit(header, body);
    let mut bytes = body_bytes(&honest).to_vec();
    let at = bytes.windows(16).position(|part| part == coll.as_bytes()).expect("it names its collection");
    bytes[at..at + 16].copy_from_slice(system::acl().as_bytes());
    unchecked(honest.header().clone(), &bytes)
}

fn body_bytes(commit: &Commit) -> &[u8] {
    // An array of two, the header, the body.
    &commit.encoded()[1 + commit.header().encode().len()..]
}

/// A commit that decodes, whatever the rules say of it.
fn unchecked(mut header: Header, body: &[u8]) -> Commit {
    header.body_hash = derive("body", body);
    let bytes = [&[0x82], &header.encode()[..], body].concat();
    Commit::decode(&bytes).expect("it decodes, and no more")
}
