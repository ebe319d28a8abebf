//! A replica reduced to what a session can see of it: a vector, a log, and a two-level tree of vector rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use btree::{Hash, Kind, Salt};
use crdt::{
    Body, Class, CollId, Commit, CommitId, DeviceKey, Dot, Evidence, Handle, Header, Hlc, Mutation, Op, Open,
    Payload, Proofs, Seal, SpaceId, Strand, Time, Tip, WriterId,
};
use sync::frame::Shown;
use sync::{
    Accepted, Adoption, ByeCode, Incoming, Located, NackCode, NodeId, Offer, Outgoing, Refusal, Store,
    StoreError, TailRow,
};

pub(crate) const SPACE: SpaceId = SpaceId([7; 32]);
const SALT: Salt = Salt([9; 32]);

/// Vector rows in one leaf of the model's tree.
const LEAF_ROWS: usize = 4;

type Rows = BTreeMap<WriterId, Tip>;

/// A replica of the model space. Every model can seal for every device: seals are not what is tested here.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) key: DeviceKey,
    pub(crate) writer: WriterId,
    handle: Handle,
    base: Rows,
    /// Vectors of earlier bases: a home can say what changed since these.
    history: BTreeMap<u64, Rows>,
    log: Vec<Arc<Commit>>,
    blobs: BTreeMap<CommitId, Vec<Vec<u8>>>,
    pending: Rows,
    visible: Rows,
    visible_len: usize,
    nodes: BTreeMap<NodeId, Vec<u8>>,
    fetching: Option<Handle>,
    /// Another session has asked for the leaves of what is being fetched.
    pub(crate) is_fetching_elsewhere: bool,
    /// Commits of these writers are refused as if a Handle had cut them.
    pub(crate) cut: Vec<WriterId>,
    /// Units handed to `accept`, duplicates included.
    pub(crate) accepted: usize,
    pub(crate) proofs: Proofs,
    drops: u64,
    /// It says of every stretch of history that it is not here any more.
    pub(crate) is_forgetful: bool,
    /// It has to look into its archive for what its base covers.
    pub(crate) has_archive: bool,
    /// Nodes of its base that are damaged, and are asked of peers.
    pub(crate) lost: BTreeSet<NodeId>,
    /// The newest record of its ring.
    pub(crate) ring_n: u64,
    /// What it has to send lost its seals to a drop.
    pub(crate) is_bereft: bool,
}

pub(crate) fn device(seed: u8) -> DeviceKey {
    DeviceKey::from_seed([seed; 32])
}

pub(crate) fn writer_of(seed: u8) -> WriterId {
    WriterId::new(device(seed).id(), [seed; 7], Class::Normal)
}

impl Model {
    /// A replica of device `seed` that has adopted version 1, which covers nothing.
    pub(crate) fn new(seed: u8) -> Model {
        let mut model = Model {
            key: device(seed),
            writer: writer_of(seed),
            handle: handle(1, [0; 32], &Rows::new()),
            base: Rows::new(),
            history: BTreeMap::from([(1, Rows::new())]),
            log: Vec::new(),
            blobs: BTreeMap::new(),
            pending: Rows::new(),
            visible: Rows::new(),
            visible_len: 0,
            nodes: BTreeMap::new(),
            fetching: None,
            is_fetching_elsewhere: false,
            cut: Vec::new(),
            accepted: 0,
            proofs: Proofs::new(),
            drops: 0,
            is_forgetful: false,
            has_archive: false,
            lost: BTreeSet::new(),
            ring_n: 0,
            is_bereft: false,
        };
        model.keep_nodes();
        model
    }

    /// Who has joined and adopted nothing yet.
    pub(crate) fn fresh(seed: u8) -> Model {
        let mut model = Model::new(seed);
        model.handle.version = 0;
        model.history.clear();
        model
    }

    /// Writes one commit under the model's own writer; it is pending until the flush.
    pub(crate) fn write(&mut self, value: &str) -> Dot {
        self.commit(self.writer, value, Vec::new(), Vec::new())
    }

    /// Writes one commit that depends on `deps` and brings `blobs`.
    pub(crate) fn commit(
        &mut self,
        writer: WriterId,
        value: &str,
        deps: Vec<Dot>,
        blobs: Vec<Vec<u8>>,
    ) -> Dot {
        let tip = self.pending.get(&writer).copied().unwrap_or(Tip::START);
        let open = (tip.seq == 0).then(|| Open {
            device_key: self.key_of(&writer).public(),
            closes: Vec::new(),
            reissues: None,
        });
        let header = Header {
            space: SPACE,
            writer,
            seq: tip.seq + 1,
            prev: tip.id,
            hlc: Hlc(tip.hlc.0 + 1),
            base: self.handle.version,
            body_hash: [0; 32],
            open,
        };
        let mutation = Mutation {
            coll: CollId([0; 16]),
            key: crdt::key::plain(b"k"),
            op: Op::Put(Payload::Inline(value.as_bytes().to_vec())),
            supersedes: Vec::new(),
        };
        let body = Body { deps, mutations: vec![mutation] };
        let commit = Arc::new(Commit::new(header, body).expect("the model writes valid commits"));
        if !blobs.is_empty() {
            self.blobs.insert(commit.id(), blobs);
        }
        self.hold(&commit);
        commit.dot()
    }

    /// Writes for a writer that is not cut: one that is gets closed, and another one opened, which is no matter here.
    pub(crate) fn write_unless_cut(&mut self, writer: WriterId, value: &str, deps: Vec<Dot>) {
        let next = self.pending.get(&writer).map_or(1, |tip| tip.seq + 1);
        if next > self.cut_of(&writer) {
            return;
        }
        self.commit(writer, value, deps, Vec::new());
        self.flush();
    }

    /// Everything pending becomes visible.
    pub(crate) fn flush(&mut self) {
        self.visible = self.pending.clone();
        self.visible_len = self.log.len();
    }

    /// A power cut: what was not flushed is gone.
    pub(crate) fn crash(&mut self) {
        self.pending = self.visible.clone();
        self.log.truncate(self.visible_len);
    }

    /// The home covers everything visible by the next version.
    pub(crate) fn fold(&mut self) {
        self.flush();
        let next = handle(self.handle.version + 1, self.handle.hash(), &self.visible);
        self.move_base(next, self.visible.clone());
    }

    /// Claims commits of so many writers without having any: vectors are all that greetings are about.
    pub(crate) fn pretend(&mut self, writers: u32) {
        for n in 0..writers {
            let mut id = [1; 24];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let tip = Tip { seq: 1, id: CommitId([2; 32]), hlc: Hlc(1), base: 1 };
            self.pending.insert(WriterId(id), tip);
        }
        self.flush();
    }

    /// Forgets what changed since earlier versions, as a home does after some time.
    pub(crate) fn forget_history(&mut self) {
        self.history.clear();
    }

    /// Forgets the nodes of its base, as if pruned.
    pub(crate) fn forget_nodes(&mut self) {
        self.nodes.clear();
    }

    /// What two replicas must agree on in the end.
    pub(crate) fn contents(&self) -> (u64, Vec<TailRow>, Vec<(WriterId, u64)>) {
        let all = self.visible.iter().map(|(writer, tip)| (*writer, tip.seq)).collect();
        (self.handle.version, self.tail(), all)
    }

    pub(crate) fn blobs_len(&self) -> usize {
        self.blobs.values().flatten().map(Vec::len).sum()
    }

    /// Tests name a writer after its device, or it is the first one's.
    fn key_of(&self, writer: &WriterId) -> DeviceKey {
        let named = device(writer.0[16]);
        if named.id() == writer.device() { named } else { device(1) }
    }

    fn cut_of(&self, writer: &WriterId) -> u64 {
        self.proofs.against(writer).map_or(u64::MAX, |seq| (seq - 1).max(self.anchored(writer)))
    }

    fn is_satisfied(&self, rows: &Rows, dot: &Dot) -> bool {
        rows.get(&dot.writer).is_some_and(|tip| tip.seq >= dot.seq) || self.cut_of(&dot.writer) < dot.seq
    }

    /// What is left of the log on this base with these proofs.
    fn rebuild(&mut self) {
        let before = self.log.len();
        let logged: BTreeSet<WriterId> = self.log.iter().map(|commit| commit.dot().writer).collect();
        let mut rows: Rows = self.base.clone();
        // Rows that a test made up have no commits.
        for (writer, tip) in self.pending.iter().filter(|(writer, _)| !logged.contains(writer)) {
            rows.entry(*writer).or_insert(*tip);
        }
        for commit in std::mem::take(&mut self.log) {
            let Dot { writer, seq } = commit.dot();
            let covered = self.base.get(&writer).copied().unwrap_or(Tip::START);
            let tip = rows.get(&writer).copied().unwrap_or(Tip::START);
            let is_left = seq <= self.cut_of(&writer)
                && commit.follows(&tip).is_ok()
                && commit.needs().all(|dot| self.is_satisfied(&rows, dot));
            if seq <= covered.seq {
                self.log.push(commit);
            } else if is_left {
                rows.insert(writer, commit.tip());
                self.log.push(commit);
            }
        }
        self.drops += u64::from(self.log.len() < before);
        self.pending = rows;
        self.flush();
    }

    fn hold(&mut self, commit: &Arc<Commit>) {
        self.pending.insert(commit.dot().writer, commit.tip());
        self.log.push(commit.clone());
    }

    fn held(&self, writer: &WriterId, seq: u64) -> Option<&Arc<Commit>> {
        self.log.iter().find(|commit| commit.dot() == Dot::new(*writer, seq))
    }

    fn move_base(&mut self, handle: Handle, rows: Rows) {
        // A history that the home did not anchor is not one to be asked about.
        for (writer, tip) in &rows {
            if self.held(writer, tip.seq).is_some_and(|held| held.id() != tip.id) {
                self.log.retain(|commit| commit.dot().writer != *writer || commit.dot().seq > tip.seq);
                self.drops += 1;
            }
        }
        self.base = rows;
        self.history.insert(handle.version, self.base.clone());
        self.handle = handle;
        self.fetching = None;
        self.keep_nodes();
        self.rebuild();
    }

    fn keep_nodes(&mut self) {
        for (kind, bytes) in tree(&self.base) {
            self.nodes.insert((kind, SALT.hash(kind, &bytes)), bytes);
        }
    }

    /// Nodes of the Handle being fetched that are not here and whose parent is.
    fn missing(&self) -> Vec<NodeId> {
        let Some(handle) = &self.fetching else { return Vec::new() };
        let root = (Kind::Vector, Hash(handle.vv_root));
        match self.nodes.get(&root) {
            None => vec![root],
            Some(bytes) => {
                children(bytes).into_iter().filter(|node| !self.nodes.contains_key(node)).collect()
            }
        }
    }

    fn wanted_root(&self) -> [u8; 32] {
        self.fetching.as_ref().map_or([0; 32], |handle| handle.vv_root)
    }

    fn finish_fetch(&mut self) -> Adoption {
        let missing = self.missing();
        if !missing.is_empty() {
            let is_left = self.is_fetching_elsewhere && missing[0].1.0 != self.wanted_root();
            return Adoption::Fetch(if is_left { Vec::new() } else { missing });
        }
        let Some(handle) = self.fetching.take() else { return Adoption::Stale };
        let root = &self.nodes[&(Kind::Vector, Hash(handle.vv_root))];
        let rows = children(root).iter().flat_map(|leaf| leaf_rows(&self.nodes[leaf])).collect();
        self.move_base(handle, rows);
        Adoption::Adopted
    }

    fn accept_one(&mut self, commit: &Arc<Commit>) -> Result<Accepted, NackCode> {
        let Dot { writer, seq } = commit.dot();
        commit.check().map_err(|_| NackCode::Invalid)?;
        if self.cut.contains(&writer) {
            return Err(NackCode::Cut);
        }
        let tip = self.pending.get(&writer).copied().unwrap_or(Tip::START);
        if seq <= tip.seq {
            let is_fork = self.held(&writer, seq).is_some_and(|held| held.id() != commit.id());
            return if is_fork { Err(NackCode::Fork) } else { Ok(Accepted::Stored) };
        }
        if seq > self.cut_of(&writer) {
            return Err(NackCode::Cut);
        }
        if seq > tip.seq + 1
            || commit.header().base > self.handle.version
            || !commit.needs().all(|dot| self.is_satisfied(&self.pending, dot))
        {
            return Ok(Accepted::NotReady);
        }
        commit.follows(&tip).map_err(|_| NackCode::Fork)?;
        self.hold(commit);
        Ok(Accepted::Stored)
    }
}

impl Model {
    /// All nodes that are here.
    pub(crate) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }
}

impl Store for Model {
    fn space(&self) -> SpaceId {
        SPACE
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn ring_n(&self) -> u64 {
        self.ring_n
    }

    fn tail(&self) -> Vec<TailRow> {
        let above = self.visible.iter().filter(|(writer, tip)| tip.seq > self.anchored(writer));
        above.map(|(writer, tip)| (*writer, tip.seq, tip.id)).collect()
    }

    fn seen(&self, writer: &WriterId) -> u64 {
        self.visible.get(writer).map_or(0, |tip| tip.seq)
    }

    fn anchored(&self, writer: &WriterId) -> u64 {
        self.base.get(writer).map_or(0, |tip| tip.seq)
    }

    fn locate(&self, writer: &WriterId, seq: u64) -> Located {
        match self.held(writer, seq) {
            _ if seq > self.seen(writer) => Located::Absent,
            Some(_) if self.has_archive && seq < self.anchored(writer) => Located::Unknown,
            Some(commit) => Located::Id(commit.id()),
            None if seq > 0 && seq <= self.anchored(writer) => Located::Unknown,
            None => Located::Absent,
        }
    }

    fn tail_change(&self) -> u64 {
        self.visible_len as u64
    }

    fn next_commits(
        &mut self,
        peer: &BTreeMap<WriterId, u64>,
        len_max: usize,
    ) -> Result<Outgoing, StoreError> {
        let mut outgoing = Outgoing::default();
        let mut tips = BTreeMap::new();
        let mut len = 0;
        for commit in &self.log[..self.visible_len] {
            let Dot { writer, seq } = commit.dot();
            if seq <= peer.get(&writer).copied().unwrap_or(0).max(self.anchored(&writer)) {
                continue;
            }
            let blobs = self.blobs.get(&commit.id()).cloned().unwrap_or_default();
            len += commit.encoded().len() + blobs.iter().map(Vec::len).sum::<usize>();
            let is_full = len > len_max || outgoing.commits.len() == sync::frame::COMMITS_MAX;
            if is_full && !outgoing.commits.is_empty() {
                outgoing.more = true;
                break;
            }
            tips.insert(writer, (seq, commit.id()));
            outgoing.commits.push(commit.clone());
            outgoing.blobs.extend(blobs);
        }
        let seal = |(writer, (seq, tip))| Seal { space: SPACE, writer, seq, tip, signature: [1; 64] };
        outgoing.seals = tips.into_iter().map(seal).collect();
        if self.is_bereft {
            let header = |seq: u64| outgoing.commits[seq as usize - 1].header().clone();
            let strand = |seal: Seal| Strand { headers: vec![header(seal.seq)], seal };
            outgoing.strands = outgoing.seals.drain(..).map(strand).collect();
        }
        Ok(outgoing)
    }

    fn accept(&mut self, _now: Time, incoming: Incoming) -> Result<Accepted, Refusal> {
        self.accepted += 1;
        let before = (self.log.len(), self.pending.clone());
        for commit in &incoming.commits {
            let Dot { writer, seq } = commit.dot();
            let is_sealed = incoming.seals.iter().any(|seal| seal.writer == writer && seal.seq >= seq);
            let outcome = if is_sealed { self.accept_one(commit) } else { Err(NackCode::BadSeal) };
            match outcome {
                Ok(Accepted::Stored) => {}
                Ok(Accepted::NotReady) => return Ok(Accepted::NotReady),
                Err(code) => {
                    self.log.truncate(before.0);
                    self.pending = before.1;
                    return Err(Refusal { writer, seq, code, detail: format!("refused {seq}") });
                }
            }
        }
        if let Some(last) = incoming.commits.last()
            && !incoming.blobs.is_empty()
        {
            self.blobs.insert(last.id(), incoming.blobs);
        }
        Ok(Accepted::Stored)
    }

    fn offer(&self, since: u64) -> Offer {
        let changed = |(writer, tip): (&WriterId, &Tip)| (*writer, *tip);
        let vector_changes = self.history.get(&since).map(|before| {
            let changed_rows = self.base.iter().filter(|(writer, tip)| before.get(writer) != Some(tip));
            changed_rows.map(changed).collect()
        });
        Offer { handle: self.handle.clone(), ring: Vec::new(), vector_changes, home_commits: Vec::new() }
    }

    fn adopt(&mut self, _now: Time, offer: Offer) -> Result<Adoption, StoreError> {
        if offer.handle.version <= self.handle.version {
            return Ok(Adoption::Stale);
        }
        self.flush();
        if !self.lost.is_empty() {
            // A damaged base is mended first.
            return Ok(Adoption::Fetch(Vec::new()));
        }
        if let Some(changes) = &offer.vector_changes {
            let holds = |(writer, tip): &(WriterId, Tip)| {
                self.held(writer, tip.seq).is_some_and(|held| held.id() == tip.id)
            };
            if changes.iter().all(holds) {
                let mut rows = self.base.clone();
                rows.extend(changes.iter().copied());
                assert_eq!(
                    handle(offer.handle.version, offer.handle.prev, &rows),
                    offer.handle,
                    "same roots"
                );
                self.move_base(offer.handle, rows);
                return Ok(Adoption::Adopted);
            }
        }
        self.fetching = Some(offer.handle);
        Ok(self.finish_fetch())
    }

    fn node(&self, kind: Kind, hash: &Hash) -> Option<Vec<u8>> {
        self.nodes.get(&(kind, *hash)).cloned()
    }

    fn lost(&self, asked: &BTreeSet<NodeId>, max: usize) -> Vec<NodeId> {
        self.lost.difference(asked).take(max).copied().collect()
    }

    fn store_nodes(&mut self, _now: Time, nodes: Vec<(Kind, Hash, Vec<u8>)>) -> Result<Adoption, StoreError> {
        for (kind, hash, bytes) in nodes {
            if SALT.hash(kind, &bytes) != hash {
                return Err(StoreError::Peer { code: ByeCode::Forged, detail: format!("node {hash}") });
            }
            self.lost.remove(&(kind, hash));
            self.nodes.insert((kind, hash), bytes);
        }
        Ok(self.finish_fetch())
    }

    fn evidence(&self) -> &Proofs {
        &self.proofs
    }

    fn accept_evidence(&mut self, _now: Time, evidence: Arc<Evidence>) -> Result<(), StoreError> {
        let forged =
            |error: crdt::Error| StoreError::Peer { code: ByeCode::Forged, detail: error.to_string() };
        let proof = evidence.check(SPACE).map_err(forged)?;
        if self.proofs.insert(proof, evidence).expect("tests prove little") {
            self.flush();
            self.rebuild();
        }
        Ok(())
    }

    fn strand(&self, writer: &WriterId, from: u64) -> Option<Shown> {
        let headers: Vec<Header> = (from..=self.seen(writer))
            .map_while(|seq| Some(self.held(writer, seq)?.header().clone()))
            .take(256)
            .collect();
        let last = headers.last().filter(|_| !self.is_forgetful)?;
        let key = self.key_of(writer);
        let seal = Seal::sign(&key, SPACE, *writer, last.seq, last.id());
        Some(Shown { public: key.public(), strand: Strand { headers, seal } })
    }

    fn drops(&self) -> u64 {
        self.drops
    }
}

/// The Handle of a version; the model's data is its vector.
fn handle(version: u64, prev: [u8; 32], rows: &Rows) -> Handle {
    let (kind, root) = tree(rows).pop().expect("a tree has a root");
    Handle {
        space: SPACE,
        version,
        prev,
        data_root: [0; 32],
        vv_root: SALT.hash(kind, &root).0,
        fold_version: 1,
        gc_epoch: 0,
        ring_n: 0,
        hlc: Hlc(version),
        batch: None,
        signature: [2; 64],
    }
}

/// Leaves of rows, and last the root that lists their hashes.
fn tree(rows: &Rows) -> Vec<(Kind, Vec<u8>)> {
    let rows: Vec<_> = rows.iter().collect();
    let mut nodes: Vec<_> = rows.chunks(LEAF_ROWS).map(|rows| (Kind::Vector, leaf(rows))).collect();
    let root = nodes.iter().flat_map(|(kind, bytes)| SALT.hash(*kind, bytes).0).collect();
    nodes.push((Kind::Vector, root));
    nodes
}

fn leaf(rows: &[(&WriterId, &Tip)]) -> Vec<u8> {
    let mut bytes = b"leaf".to_vec();
    for (writer, tip) in rows {
        bytes.extend(writer.0);
        bytes.extend(tip.seq.to_be_bytes());
        bytes.extend(tip.id.0);
        bytes.extend(tip.hlc.0.to_be_bytes());
        bytes.extend(tip.base.to_be_bytes());
    }
    bytes
}

fn leaf_rows(bytes: &[u8]) -> Vec<(WriterId, Tip)> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("8 bytes"));
    let row = |row: &[u8]| {
        let (seq, hlc, base) = (number(&row[24..32]), number(&row[64..72]), number(&row[72..80]));
        let id = CommitId(row[32..64].try_into().expect("32 bytes"));
        (WriterId(row[..24].try_into().expect("24 bytes")), Tip { seq, id, hlc: Hlc(hlc), base })
    };
    bytes[4..].chunks(80).map(row).collect()
}

fn children(root: &[u8]) -> Vec<NodeId> {
    root.chunks(32).map(|hash| (Kind::Vector, Hash(hash.try_into().expect("32 bytes")))).collect()
}
