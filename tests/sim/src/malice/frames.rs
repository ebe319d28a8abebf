//! How a lie sounds: frames that are changed, left out, made up, or said where they have no place.

use std::collections::BTreeMap;

use btree::{Fresh, Hash, Kind, Node, Nodes, Salt, Value, empty_root};
use crdt::{Class, CommitId, DeviceId, Header, RingRecord, Seal, Strand, WriterId};
use disk::{MemoryDisk, Random};
use replica::Replica;
use sync::frame::{
    Ack, Beat, BlobData, Commits, Cover, Data, HASHES_MAX, HEADER_LEN, HandleFrame, Hello, Join, Missing,
    Nack, NackCode, Open, ROWS_MAX, Want, Yours,
};
use sync::{Frame, Offer, Store};

use super::forge::{changed, unit};
use super::{Liar, Lie, Occasion};

/// More questions about writers than anyone keeps.
const ASKED: usize = 5_000;

impl Liar {
    /// What is sent instead of a frame; none: it gives no occasion after all.
    pub(super) fn bend(
        &mut self,
        lie: Lie,
        occasion: &Occasion<'_>,
        frame: &Frame,
        bytes: &[u8],
    ) -> Option<Vec<Vec<u8>>> {
        if let Some(frames) = self.noise(lie, bytes) {
            return Some(frames);
        }
        let bent = match frame.clone() {
            Frame::Hello(hello) => bend_hello(lie, hello),
            Frame::Open(open) => return self.bend_open(lie, open),
            Frame::Cover(cover) => bend_cover(lie, cover),
            Frame::Commits(commits) => self.bend_commits(lie, commits),
            Frame::Ack(ack) => bend_ack(lie, ack, occasion),
            Frame::Handle(handle) => bend_handle(lie, handle),
            Frame::Data(data) => bend_data(lie, data, occasion),
            _ => None,
        };
        if let Some(bent) = bent {
            return Some(vec![bent.encode()]);
        }
        let added = self.forge(lie, occasion).or_else(|| self.offer(lie, occasion));
        let added = added.or_else(|| self.say(lie, occasion)).or_else(|| self.accuse(lie, occasion))?;
        Some(vec![bytes.to_vec(), added.encode()])
    }

    /// Bytes that are no frame, or too many frames.
    fn noise(&mut self, lie: Lie, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let wants =
            |random: &mut Random| Frame::Want(Want { nodes: nowhere(random, HASHES_MAX), version: 1 });
        Some(match lie {
            Lie::EndlessLength => vec![bytes.to_vec(), vec![0xff, 0xff, 0xff, 0xff, 3]],
            Lie::UnknownFrame => vec![bytes.to_vec(), vec![0, 0, 0, 0, 200]],
            Lie::Garbage => {
                let mut garbage = vec![0, 0, 0, 40, 4, 0xff];
                garbage.extend((0..39).map(|_| self.random.next() as u8));
                vec![bytes.to_vec(), garbage]
            }
            Lie::Trailing => {
                let mut longer = [bytes, &[0]].concat();
                let len = (longer.len() - HEADER_LEN) as u32;
                longer[..4].copy_from_slice(&len.to_be_bytes());
                vec![longer]
            }
            Lie::EarlyFrame => {
                let beat = Frame::Beat(Beat { base_version: 1, digest: [0; 32] });
                vec![beat.encode(), bytes.to_vec()]
            }
            // Back to back, so that nothing is answered in between.
            Lie::WantsFlood => vec![(0..3).flat_map(|_| wants(&mut self.random).encode()).collect()],
            Lie::AsksFlood => vec![bytes.to_vec(), self.questions(ASKED)],
            Lie::ValueFlood => {
                let empty = Frame::BlobData(BlobData { hash: None, offset: 0, bytes: Vec::new() }).encode();
                vec![empty.repeat(32_800)]
            }
            Lie::Replay if !self.said.is_empty() => {
                let again = self.random.below(self.said.len() as u64) as usize;
                vec![bytes.to_vec(), self.said[again].clone()]
            }
            _ => return None,
        })
    }

    fn bend_open(&mut self, lie: Lie, mut open: Open) -> Option<Vec<Vec<u8>>> {
        match lie {
            Lie::OtherSpace => open.space = crdt::SpaceId([9; 32]),
            Lie::OtherHandle => open.handle.signature[0] ^= 1,
            Lie::FalseTips if !open.tail.is_empty() => {
                open.tail.iter_mut().for_each(|(.., tip)| *tip = CommitId([8; 32]));
            }
            Lie::BoundlessBase => open.handle.version = u64::MAX,
            Lie::VastTail => {
                let page = |n: u64| {
                    open.tail =
                        (0..ROWS_MAX as u64).map(|row| (writer(n, row), 1, CommitId([8; 32]))).collect();
                    open.more = true;
                    Frame::Open(open.clone()).encode()
                };
                return Some((0..17).map(page).collect());
            }
            _ => return None,
        }
        Some(vec![Frame::Open(open).encode()])
    }

    fn bend_commits(&mut self, lie: Lie, mut commits: Commits) -> Option<Frame> {
        let own = self.key.id();
        match lie {
            Lie::NoSeals => commits.seals.clear(),
            Lie::ForgedSeals => {
                let seals = commits.seals.iter_mut().filter(|seal| seal.writer.device() != own);
                let forged = seals.map(|seal| {
                    *seal = Seal::sign(&self.key, seal.space, seal.writer, seal.seq, seal.tip);
                });
                forged.last()?;
            }
            Lie::ReplayedSeals if !self.seals.is_empty() => commits.seals.clone_from(&self.seals),
            Lie::FalseStrand => {
                let at = commits.seals.iter().position(|seal| seal.writer.device() != own)?;
                let writer = commits.seals.remove(at).writer;
                let last = commits.commits.iter().rfind(|commit| commit.dot().writer == writer)?;
                let last = last.header().clone();
                let next = Header { seq: last.seq + 1, prev: last.id(), open: None, ..last.clone() };
                let seal = Seal::sign(&self.key, self.space, writer, next.seq, next.id());
                commits.strands.push(Strand { headers: vec![last, next], seal });
            }
            Lie::Reversed if commits.commits.len() > 1 => commits.commits.reverse(),
            Lie::Headless if commits.commits.len() > 1 => drop(commits.commits.remove(0)),
            Lie::ChangedCommit => {
                let foreign =
                    commits.commits.iter_mut().find(|commit| commit.dot().writer.device() != own)?;
                *foreign = changed(foreign)?.into();
            }
            Lie::TakenPlace => {
                let foreign = commits.commits.iter().find(|commit| commit.dot().writer.device() != own)?;
                return Some(unit(vec![changed(foreign)?], Vec::new(), &self.key));
            }
            _ => return None,
        }
        Some(Frame::Commits(commits))
    }

    /// Handles that the liar has no right to make, and those of yesterday.
    fn offer(&mut self, lie: Lie, occasion: &Occasion<'_>) -> Option<Frame> {
        let mut handle = occasion.replica.base().clone();
        handle.version += 1_000;
        handle.data_root = [3; 32];
        let mut ring = Vec::new();
        match lie {
            Lie::UnsignedHandle => handle.signature = [self.random.next() as u8; 64],
            Lie::OwnHandle => handle = handle.sign(&self.key),
            Lie::OwnRing => {
                let last = occasion.replica.ring();
                let prev = last.records().last().map_or([0; 32], RingRecord::hash);
                let keys = vec![self.key.public()];
                let (n, from_version) = (last.n() + 1, handle.version);
                let record =
                    RingRecord { space: self.space, n, prev, keys, from_version, signature: [0; 64] };
                ring.push(record.sign(&self.key));
                handle.ring_n = n;
                handle = handle.sign(&self.key);
            }
            Lie::OldHandle => {
                let count = self.handles.len() as u64;
                let again = (count > 0).then(|| self.random.below(count) as usize)?;
                return Some(Frame::Handle(self.handles[again].clone()));
            }
            _ => return None,
        }
        let offer = Offer { handle, ring, vector_changes: None, home_commits: Vec::new() };
        Some(Frame::Handle(HandleFrame(offer)))
    }

    /// Frames that say what is not so, or come where nobody asked.
    fn say(&mut self, lie: Lie, occasion: &Occasion<'_>) -> Option<Frame> {
        let random = &mut self.random;
        Some(match lie {
            Lie::FalseNack => {
                let tail = occasion.replica.tail();
                let (writer, ..) = *tail.get(random.below(tail.len().max(1) as u64) as usize)?;
                Frame::Nack(Nack { writer, seq: 1, code: NackCode::Cut, detail: "x".repeat(512) })
            }
            Lie::UnaskedNode => {
                let (kind, hash) = nowhere(random, 1)[0];
                Frame::Data(Data { nodes: vec![(kind, hash, vec![0; 100])] })
            }
            Lie::WantsNothing => Frame::Want(Want { nodes: nowhere(random, 20), version: u64::MAX }),
            Lie::FalseBeat => {
                let digest = [random.next() as u8; 32];
                Frame::Beat(Beat { base_version: occasion.replica.base().version, digest })
            }
            Lie::SecondHello => {
                let (proto, device, instance) = (sync::frame::PROTO, self.key.id(), [9; 16]);
                let (features, frame_max, wall) = (0, sync::frame::FRAME_LEN_MAX as u64, occasion.now);
                Frame::Hello(Hello { proto, device, instance, features, frame_max, wall })
            }
            Lie::JoinInside => {
                Frame::Join(Join { space: self.space, device_key: self.key.public(), proof: [0; 32] })
            }
            Lie::FalseAck => {
                let stored = occasion.replica.tail().iter().map(|(writer, seq, _)| (*writer, *seq)).collect();
                let base_version = occasion.replica.base().version;
                Frame::Ack(Ack { stored, complete: Vec::new(), anchored: Vec::new(), base_version })
            }
            _ => return None,
        })
    }
}

fn bend_hello(lie: Lie, mut hello: Hello) -> Option<Frame> {
    match lie {
        Lie::Impostor => hello.device = DeviceId([0xee; 16]),
        Lie::OtherProtocol => hello.proto += 1,
        Lie::Narrow => hello.frame_max -= 1,
        _ => return None,
    }
    Some(Frame::Hello(hello))
}

fn bend_cover(lie: Lie, mut cover: Cover) -> Option<Frame> {
    if cover.rows.is_empty() {
        return None;
    }
    for row in &mut cover.rows {
        match lie {
            Lie::BoundlessCover => (row.seq, row.tip) = (u64::MAX, None),
            Lie::FalseFork => row.yours = Yours::Fork,
            Lie::Rewind => (row.seq, row.tip, row.yours) = (0, None, Yours::Unknown),
            Lie::FalseCover => row.tip = Some(CommitId([8; 32])),
            _ => return None,
        }
    }
    Some(Frame::Cover(cover))
}

fn bend_ack(lie: Lie, mut ack: Ack, occasion: &Occasion<'_>) -> Option<Frame> {
    if lie != Lie::BoundlessAck {
        return None;
    }
    ack.base_version = u64::MAX;
    ack.stored = occasion.replica.tail().iter().map(|(writer, ..)| (*writer, u64::MAX)).collect();
    Some(Frame::Ack(ack))
}

fn bend_handle(lie: Lie, HandleFrame(mut offer): HandleFrame) -> Option<Frame> {
    let changes = offer.vector_changes.as_mut().filter(|changes| !changes.is_empty());
    match lie {
        Lie::FalseChanges => changes?.iter_mut().for_each(|(_, tip)| tip.id = CommitId([8; 32])),
        Lie::OmittedChanges => drop(changes?.pop()),
        Lie::OmittedHomeCommits if !offer.home_commits.is_empty() => offer.home_commits.clear(),
        Lie::ChangedHomeCommits => {
            let commit = offer.home_commits.first_mut()?;
            *commit = changed(commit)?.into();
        }
        Lie::OtherRoots => offer.handle.data_root = [3; 32],
        _ => return None,
    }
    Some(Frame::Handle(HandleFrame(offer)))
}

fn bend_data(lie: Lie, mut data: Data, occasion: &Occasion<'_>) -> Option<Frame> {
    match lie {
        Lie::WrongNode => {
            let (.., bytes) = data.nodes.first_mut()?;
            *bytes.last_mut()? ^= 1;
            Some(Frame::Data(data))
        }
        Lie::OmittedKey => {
            let of_trees = data.nodes.iter_mut().filter(|(kind, ..)| kind.is_tree());
            let (node, thinner) = of_trees.rev().find_map(|node| {
                let thinner = without_a_key(node.0, &node.2, occasion.replica)?;
                Some((node, thinner))
            })?;
            node.2 = thinner;
            Some(Frame::Data(data))
        }
        Lie::OmittedNodes if data.nodes.len() > 1 => {
            data.nodes.truncate(data.nodes.len() / 2);
            Some(Frame::Data(data))
        }
        Lie::FalseMissing => {
            let nodes = data.nodes.iter().map(|(kind, hash, _)| (*kind, *hash)).collect();
            Some(Frame::Missing(Missing { nodes, newest_version: occasion.replica.base().version }))
        }
        _ => None,
    }
}

/// The node of the same tree, had one of the keys below it never been written.
fn without_a_key(kind: Kind, bytes: &[u8], replica: &Replica<MemoryDisk>) -> Option<Vec<u8>> {
    let mut entries = BTreeMap::new();
    gather(kind, bytes, replica, &mut entries)?;
    let omitted = entries.keys().nth(entries.len() / 2)?.clone();
    entries.remove(&omitted);
    let nodes = Nodes::new(MemoryDisk::new(0), Salt(replica.genesis().salt));
    let mut fresh = Fresh::new(nodes.salt());
    let root = btree::apply(&nodes, &mut fresh, kind, &empty_root(kind), entries).ok()?;
    fresh.raw(&root).map(<[u8]>::to_vec)
}

/// All entries below a node, as far as the liar has them.
fn gather(
    kind: Kind,
    bytes: &[u8],
    replica: &Replica<MemoryDisk>,
    entries: &mut BTreeMap<Vec<u8>, Option<Value>>,
) -> Option<()> {
    let node = Node::decode(kind, bytes).ok()?;
    if node.is_leaf() {
        entries.extend((0..node.len()).map(|row| (node.key(row), Some(node.value(row)))));
        return Some(());
    }
    (0..node.len()).try_for_each(|row| {
        let child = replica.node(kind, &node.child(row).hash)?;
        gather(kind, &child, replica, entries)
    })
}

/// Names of nodes that do not exist.
fn nowhere(random: &mut Random, count: usize) -> Vec<(Kind, Hash)> {
    let hash = |random: &mut Random| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&random.next().to_be_bytes());
        Hash(hash)
    };
    (0..count).map(|_| (Kind::Data, hash(random))).collect()
}

/// A writer that does not exist, in order of page and row.
fn writer(page: u64, row: u64) -> WriterId {
    let mut run = [0; 7];
    run.copy_from_slice(&(page << 32 | row).to_be_bytes()[1..]);
    WriterId::new(DeviceId([0xee; 16]), run, Class::Normal)
}
