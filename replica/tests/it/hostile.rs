//! What a member or the home itself may do wrong: refused alike everywhere, never a panic, and never a fault of ours.

use std::collections::{BTreeMap, BTreeSet};

use btree::{Fresh, Hash, Kind, Nodes, Salt, Value, empty_root};
use crdt::{
    BlobRef, Body, Class, Commit, CommitId, Handle, Header, Hlc, Mutation, Op, Open, Payload, Seal, WriterId,
    system,
};
use disk::MemoryDisk;
use replica::{HomeWrite, Roots};
use sync::{Accepted, Adoption, ByeCode, Incoming, NackCode, Offer, Store, StoreError};

use crate::space::{
    Local, NOW, Space, coll, contents, deliver_handle, deliver_tail, get, key, next_handle, put, roots, set,
};

fn pair() -> (Space, Local, Local) {
    let space = Space::new(2);
    let (home, device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    (space, home, device)
}

/// A unit of one commit by the second device, which puts this value and brings these bytes.
fn unit(space: &Space, run: u8, blob: BlobRef, blobs: Vec<Vec<u8>>) -> Incoming {
    let device = &space.devices[1];
    let writer = WriterId::new(device.id(), [run; 7], Class::Normal);
    let header = Header {
        space: space.genesis.space(),
        writer,
        seq: 1,
        prev: CommitId::ZERO,
        hlc: Hlc::from_time(NOW),
        base: 1,
        body_hash: [0; 32],
        open: Some(Open { device_key: device.public(), closes: Vec::new(), reissues: None }),
    };
    let op = Op::Put(Payload::Blob(blob));
    let mutation = Mutation { coll: coll(), key: key("large"), op, supersedes: Vec::new() };
    let commit = Commit::new(header, Body { deps: Vec::new(), mutations: vec![mutation] }).unwrap();
    let seal = Seal::sign(device, space.genesis.space(), writer, 1, commit.id());
    Incoming { commits: vec![commit.into()], blobs, seals: vec![seal], ..Incoming::default() }
}

#[test]
fn a_value_is_a_chunk_of_its_exact_length_wherever_its_bytes_are() {
    let (space, mut held, mut packed) = pair();
    let mut bare = space.create(0, &MemoryDisk::new(3));
    let bytes = vec![b'x'; 5000];
    let chunk = Salt(space.genesis.salt).hash(Kind::Chunk, &bytes);
    let value = String::from_utf8(bytes.clone()).unwrap();
    set(&mut held, "held", &value);
    set(&mut packed, "packed", &value);
    packed.checkpoint(NOW).unwrap();
    let node = Hash(held.handle().data_root);
    let kinds =
        [(BlobRef::CHUNK, chunk, 5000), (BlobRef::CHUNK, chunk, 4999), (BlobRef::CHUNK, chunk, 1 << 40)];
    let others = [(BlobRef::MANIFEST, chunk, 5000), (BlobRef::CHUNK, node, 5000)];
    let expected = [
        Ok(Accepted::Stored),
        Err(NackCode::Invalid),
        Err(NackCode::Invalid),
        Err(NackCode::Invalid),
        Ok(Accepted::NotReady),
    ];
    for (name, replica, blobs) in [
        ("in the log", &mut held, Vec::new()),
        ("in a pack", &mut packed, Vec::new()),
        ("in the unit", &mut bare, vec![bytes.clone()]),
    ] {
        let answers: Vec<_> = (1..)
            .zip(kinds.into_iter().chain(others))
            .map(|(run, (kind, hash, len))| {
                let unit = unit(&space, run, BlobRef { kind, hash: hash.0, len }, blobs.clone());
                replica.accept(NOW, unit).map_err(|refusal| refusal.code)
            })
            .collect();
        assert_eq!(answers, expected, "{name}");
        replica.flush().unwrap();
        assert_eq!(contents(replica)["large"], value, "{name}");
    }
}

#[test]
fn a_false_tip_in_a_list_of_changes_leads_to_a_fetch_and_not_to_a_fork() {
    let (space, mut home, mut device) = pair();
    set(&mut device, "a", "1");
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    let mut offer = home.offer(1);
    for (_, tip) in offer.vector_changes.as_mut().expect("the base is near") {
        tip.id = CommitId([9; 32]);
    }
    assert!(matches!(device.adopt(NOW, offer), Ok(Adoption::Fetch(wanted)) if !wanted.is_empty()));
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle(), home.handle());
}

#[test]
fn a_changed_commit_of_the_home_leads_to_a_fetch_and_not_to_an_alarm() {
    let (space, mut home, mut device) = pair();
    let name = HomeWrite { coll: system::name(), key: key("n"), value: Some(vec![1; 16]) };
    home.home_commit(NOW, [3; 8], space.home.public(), vec![name]).unwrap();
    space.anchor(NOW, &mut home);
    let mut offer = home.offer(1);
    let mut body = offer.home_commits[0].body().clone();
    body.mutations[0].op = Op::Put(Payload::Inline(vec![2; 16]));
    offer.home_commits[0] = Commit::new(offer.home_commits[0].header().clone(), body).unwrap().into();
    let outcome = device.adopt(NOW, offer);
    assert!(matches!(&outcome, Ok(Adoption::Fetch(wanted)) if !wanted.is_empty()), "{outcome:?}");
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle(), home.handle());
}

#[test]
fn the_next_handle_on_another_base_is_two_handles_of_one_version() {
    let (space, mut home, mut device) = pair();
    set(&mut home, "a", "1");
    let roots = roots(&mut home);
    let other = Handle { prev: [9; 32], ..next_handle(home.base(), roots, NOW) }.sign(&space.home);
    space.anchor(NOW, &mut home);
    let offer = Offer { handle: other, ..home.offer(1) };
    let outcome = device.adopt(NOW, offer);
    assert!(matches!(outcome, Err(StoreError::Peer { code: ByeCode::HandleConflict, .. })), "{outcome:?}");
    assert_eq!(device.handle().version, 1);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle(), home.handle());
}

/// Everything below a Handle, as a peer that made it would send it.
struct Forge {
    space: Space,
    device: Local,
    nodes: BTreeMap<Hash, (Kind, Vec<u8>)>,
    vector: Hash,
}

impl Forge {
    fn new() -> Forge {
        let space = Space::new(2);
        let mut home = space.create(0, &MemoryDisk::new(1));
        let roots = roots(&mut home);
        let vector = home.node(Kind::Vector, &roots.vector).unwrap();
        let nodes = BTreeMap::from([(roots.vector, (Kind::Vector, vector))]);
        let device = space.join(1, &MemoryDisk::new(2));
        Forge { space, device, nodes, vector: roots.vector }
    }

    /// The root of a tree with these payloads; its nodes can be sent.
    fn tree(&mut self, payloads: impl Iterator<Item = Vec<u8>>) -> Hash {
        let nodes = Nodes::new(MemoryDisk::new(9), Salt(self.space.genesis.salt));
        let mut fresh = Fresh::new(nodes.salt());
        let entry = |(n, payload): (u64, Vec<u8>)| {
            let dot = crdt::Dot::new(WriterId::home([1; 8]), 1);
            (crdt::physical(&coll(), &key(&format!("{n:05}")), &dot), Some(Value { hlc: 1, payload }))
        };
        let entries: BTreeMap<_, _> = (0..).zip(payloads).map(entry).collect();
        let root = btree::apply(&nodes, &mut fresh, Kind::Data, &empty_root(Kind::Data), entries).unwrap();
        self.nodes.extend(fresh.iter().map(|(hash, kind, bytes)| (hash, (kind, bytes.to_vec()))));
        root
    }

    /// What the device makes of a Handle with this tree, once it was sent all that can be sent.
    fn offer(&mut self, data: Hash) -> Result<Adoption, StoreError> {
        let roots = Roots { data, vector: self.vector };
        let handle = next_handle(&self.handle(), roots, NOW).sign(&self.space.home);
        let offer = Offer { handle, ring: Vec::new(), vector_changes: None, home_commits: Vec::new() };
        let mut adoption = self.device.adopt(NOW, offer)?;
        let mut asked = BTreeSet::new();
        while let Adoption::Fetch(wanted) = &adoption {
            assert!(wanted.iter().all(|node| asked.insert(*node)), "what was brought is asked for again");
            let found = wanted.iter().filter_map(|(kind, hash)| {
                let (_, bytes) = self.nodes.get(hash).filter(|(found, _)| found == kind)?;
                Some((*kind, *hash, bytes.clone()))
            });
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                break;
            }
            adoption = self.device.store_nodes(NOW, found)?;
        }
        Ok(adoption)
    }

    fn handle(&self) -> Handle {
        self.device.handle().clone()
    }
}

#[test]
fn a_signed_tree_with_an_entry_that_no_fold_writes_is_the_fault_of_who_offers_it() {
    let mut forge = Forge::new();
    let root = forge.tree([vec![0xff; 40]].into_iter());
    let outcome = forge.offer(root);
    assert!(matches!(outcome, Err(StoreError::Peer { code: ByeCode::Forged, .. })), "{outcome:?}");
    assert_eq!(forge.device.handle().version, 0);
}

#[test]
fn a_signed_tree_that_names_a_value_as_its_node_is_never_whole() {
    let mut forge = Forge::new();
    let bytes = "x".repeat(5000);
    put(&mut forge.device, NOW, "held", &bytes).unwrap();
    forge.device.flush().unwrap();
    let salt = Salt(forge.space.genesis.salt);
    let chunk = salt.hash(Kind::Chunk, bytes.as_bytes());
    // As the root, and as the child of a branch.
    let root = forge.tree((0..2000).map(|n| Payload::Inline(vec![n as u8; 100]).encode()));
    let (kind, mut branch) = forge.nodes[&root].clone();
    let child = btree::children(kind, &branch).unwrap()[1];
    let at = branch.windows(32).position(|part| *part == child.0).expect("a branch spells out its children");
    branch[at..at + 32].copy_from_slice(&chunk.0);
    let forged = salt.hash(kind, &branch);
    forge.nodes.insert(forged, (kind, branch));
    for root in [chunk, forged] {
        // Nobody can send a node of that name: the session with whoever offers it ends for want of it.
        let outcome = forge.offer(root);
        assert!(matches!(outcome, Ok(Adoption::Fetch(_))), "{outcome:?}");
        assert_eq!(forge.device.fetching(), Some(1));
    }
    assert_eq!(forge.device.handle().version, 0);
    assert_eq!(forge.offer(root).unwrap(), Adoption::Adopted, "it goes on with a tree that is whole");
}

/// Another spelling of a tree has another name, at every level: a peer cannot keep a key back.
#[test]
fn a_node_without_one_of_its_keys_is_refused_by_its_name() {
    let mut forge = Forge::new();
    let entries = || (0..2000u64).map(|n| Payload::Inline(vec![b'a' + n as u8 % 26; 100]).encode());
    let root = forge.tree(entries());
    let root_without = forge.tree(entries().take(1999));
    let (kind, branch) = forge.nodes[&root].clone();
    let (_, branch_without) = forge.nodes[&root_without].clone();
    let last = |branch: &[u8]| *btree::children(kind, branch).unwrap().last().expect("a branch has children");
    let lies = [(root, root_without), (last(&branch), last(&branch_without))];
    for (name, without) in lies {
        let node = forge.nodes[&name].clone();
        let lie = forge.nodes[&without].clone();
        forge.nodes.insert(name, lie);
        let outcome = forge.offer(root);
        assert!(matches!(outcome, Err(StoreError::Peer { code: ByeCode::Forged, .. })), "{outcome:?}");
        assert_eq!((forge.device.handle().version, forge.device.fetching()), (0, Some(1)));
        forge.nodes.insert(name, node);
    }
    assert_eq!(forge.offer(root).unwrap(), Adoption::Adopted, "it goes on with what is whole");
    assert_eq!(get(&forge.device, "01999").map(|value| value.len()), Some(100));
}

/// What a home signs is what the space is, to whoever does not hold the commits to compute it.
#[test]
fn a_tree_that_the_home_signed_without_a_key_is_believed() {
    let mut forge = Forge::new();
    let entries = || (0..2000u64).map(|n| Payload::Inline(vec![b'a' + n as u8 % 26; 100]).encode());
    let without = forge.tree(entries().take(1999));
    assert_eq!(forge.offer(without).unwrap(), Adoption::Adopted);
    assert_eq!(get(&forge.device, "01999"), None);
    assert!(get(&forge.device, "01998").is_some());
}
