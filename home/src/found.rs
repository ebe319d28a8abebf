//! How a space begins: its genesis, its first member, and the Handle that covers them.

use btree::{Fresh, Hash, Kind, Nodes, Salt, Value, empty_root};
use crdt::{
    Body, Commit, Descriptor, DeviceKey, Effect, Genesis, Handle, Header, Hlc, Mutation, Op, Open, Payload,
    Time, WriterId, derive, effects, key, system, vector,
};
use disk::Disk;
use replica::{Grant, Origin};

use crate::error::Error;

/// The rules of folding that this version of the software knows.
pub const FOLD_VERSION: u64 = 1;

/// What a new space is made of.
#[derive(Clone)]
pub struct Founding<'a> {
    /// The device that makes it, and is its first home: ring 0 is this key.
    pub device: &'a DeviceKey,
    /// Fresh chance: salt, nonce and the home's first generation are drawn from it. Never used again.
    pub seed: [u8; 32],
    /// The time.
    pub now: Time,
    /// Collections that are there from the first Handle on, under their own names.
    pub collections: &'a [Descriptor],
}

/// A space that nobody else has heard of.
#[derive(Clone, Debug)]
pub struct Founded {
    /// What the space is.
    pub genesis: Genesis,
    /// Version 1, which covers the home's first commit.
    pub handle: Handle,
    /// Every node of its two trees.
    pub nodes: Vec<(Kind, Hash, Vec<u8>)>,
}

impl From<Founded> for Origin {
    fn from(founded: Founded) -> Origin {
        Origin::Founded { handle: founded.handle, nodes: founded.nodes }
    }
}

/// Makes a space. Nothing is read from `disk`: the trees are made in memory.
pub fn found<D: Disk>(disk: &D, founding: &Founding<'_>) -> Result<Founded, Error> {
    let genesis = genesis(founding);
    let commit = first_commit(founding, genesis.space())?;
    let nodes = Nodes::new(disk.clone(), Salt(genesis.salt));
    let mut fresh = Fresh::new(Salt(genesis.salt));
    let row = vector::Row::new(&commit.header().writer, &commit.tip());
    let row = (row.key, Some(Value { hlc: row.hlc.0, payload: row.payload }));
    let data_root = grow(&nodes, &mut fresh, Kind::Data, entries(&commit))?;
    let vv_root = grow(&nodes, &mut fresh, Kind::Vector, vec![row])?;
    let handle = Handle {
        space: genesis.space(),
        version: 1,
        prev: [0; 32],
        data_root: data_root.0,
        vv_root: vv_root.0,
        fold_version: FOLD_VERSION,
        gc_epoch: 0,
        ring_n: 0,
        hlc: commit.header().hlc,
        batch: None,
        signature: [0; 64],
    };
    let nodes = fresh.iter().map(|(hash, kind, bytes)| (kind, hash, bytes.to_vec())).collect();
    Ok(Founded { genesis, handle: handle.sign(founding.device), nodes })
}

fn genesis(founding: &Founding<'_>) -> Genesis {
    Genesis {
        salt: derive("found salt", &founding.seed),
        nonce: derive("found nonce", &founding.seed),
        home_key: founding.device.public(),
        recovery_key: [0; 32],
        owner: founding.device.id(),
        params: Vec::new(),
    }
}

/// The owner's grant and the first collections, as one commit of the home.
fn first_commit(founding: &Founding<'_>, space: crdt::SpaceId) -> Result<Commit, Error> {
    let generation = derive("found generation", &founding.seed);
    let header = Header {
        space,
        writer: WriterId::home(generation[..8].try_into().expect("eight of 32 bytes")),
        seq: 1,
        prev: crdt::CommitId::ZERO,
        hlc: Hlc::from_time(founding.now).max(Hlc(1)),
        base: 0,
        body_hash: [0; 32],
        open: Some(Open { device_key: founding.device.public(), closes: Vec::new(), reissues: None }),
    };
    let owner = Grant {
        public: founding.device.public(),
        capabilities: replica::READ | replica::WRITE | replica::ADMIN,
        residency: Vec::new(),
        since: 0,
    };
    let mut mutations = vec![put(system::acl(), Grant::key(&founding.device.id()), owner.encode())];
    for descriptor in founding.collections {
        let id = descriptor.id();
        mutations.push(put(system::coll(), Descriptor::key(&id), descriptor.encode()));
        mutations.push(put(system::name(), key::plain(descriptor.name.as_bytes()), id.as_bytes().to_vec()));
    }
    Ok(Commit::new(header, Body { deps: Vec::new(), mutations })?)
}

fn put(coll: crdt::CollId, key: Vec<u8>, value: Vec<u8>) -> Mutation {
    Mutation { coll, key, op: Op::Put(Payload::Inline(value)), supersedes: Vec::new() }
}

/// What the commit leaves alive, in the order of the tree.
fn entries(commit: &Commit) -> Vec<(Vec<u8>, Option<Value>)> {
    let put = |effect| match effect {
        Effect::Put(key, hlc, payload) => Some((key, Some(Value { hlc: hlc.0, payload: payload.encode() }))),
        Effect::Remove(_) => None,
    };
    let mut entries: Vec<_> = effects(commit).filter_map(put).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn grow<D: Disk>(
    nodes: &Nodes<D>,
    fresh: &mut Fresh,
    kind: Kind,
    entries: Vec<(Vec<u8>, Option<Value>)>,
) -> Result<Hash, Error> {
    Ok(btree::apply(nodes, fresh, kind, &empty_root(kind), entries)?)
}
