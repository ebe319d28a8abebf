//! The things whose bytes are frozen, made from constants.

use crdt::{
    BlobRef, Body, Class, CollId, Commit, CommitId, Descriptor, DeviceId, DeviceKey, Dot, Element, Evidence,
    Fork, Genesis, Handle, Header, Hlc, Mutation, Op, Open, Payload, Policy, RingRecord, Role, Seal, SpaceId,
    Strand, TakenBack, Ticket, Time, WriterId, key, system,
};

pub(crate) fn device(n: u8) -> DeviceKey {
    DeviceKey::from_seed([n; 32])
}

pub(crate) fn home() -> DeviceKey {
    DeviceKey::from_seed([0xf0; 32])
}

fn second_home() -> DeviceKey {
    DeviceKey::from_seed([0xf1; 32])
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        salt: [0x5a; 32],
        nonce: [0x11; 32],
        home_key: home().public(),
        recovery_key: DeviceKey::from_seed([0xf9; 32]).public(),
        owner: device(1).id(),
        params: Vec::new(),
    }
}

pub(crate) fn space() -> SpaceId {
    genesis().space()
}

pub(crate) fn writer(n: u8, class: Class) -> WriterId {
    WriterId::new(device(n).id(), [n, 2, 3, 4, 5, 6, 7], class)
}

pub(crate) fn home_writer() -> WriterId {
    WriterId::home([8; 8])
}

fn coll(policy: Policy) -> CollId {
    Descriptor::new("things", policy).expect("a name").id()
}

pub(crate) fn collections() -> Vec<(String, CollId)> {
    let policies = Policy::READ.into_iter().chain([Policy::Text, Policy::List, Policy::Strong]);
    let of_policy = |policy| (format!("things/{policy}"), coll(policy));
    let system = [
        ("sys/acl", system::acl()),
        ("sys/invite", system::invite()),
        ("sys/cut", system::cut()),
        ("sys/meta", system::meta()),
        ("sys/name", system::name()),
        ("sys/prop", system::prop()),
        ("sys/coll", system::coll()),
    ];
    policies.map(of_policy).chain(system.map(|(name, id)| (name.to_owned(), id))).collect()
}

/// A writer that goes on from its last commit.
struct Pen {
    key: [u8; 32],
    writer: WriterId,
    last: Option<Commit>,
}

impl Pen {
    fn new(n: u8, class: Class) -> Pen {
        Pen { key: device(n).public(), writer: writer(n, class), last: None }
    }

    fn home() -> Pen {
        Pen { key: home().public(), writer: home_writer(), last: None }
    }

    fn write(&mut self, mutations: Vec<Mutation>) -> Commit {
        self.write_with(Body { deps: Vec::new(), mutations }, |_| ())
    }

    fn write_with(&mut self, body: Body, change: impl FnOnce(&mut Header)) -> Commit {
        let open = Open { device_key: self.key, closes: Vec::new(), reissues: None };
        let (seq, prev) =
            self.last.as_ref().map_or((1, CommitId::ZERO), |last| (last.dot().seq + 1, last.id()));
        let mut header = Header {
            space: space(),
            writer: self.writer,
            seq,
            prev,
            hlc: Hlc((1_700_000_000_000 + seq) << 16),
            base: 3,
            body_hash: [0; 32],
            open: (seq == 1).then_some(open),
        };
        change(&mut header);
        let commit = Commit::new(header, body).expect("vectors are valid");
        self.last = Some(commit.clone());
        commit
    }
}

fn put(policy: Policy, key: &[u8], value: &[u8], supersedes: &[Dot]) -> Mutation {
    let op = Op::Put(Payload::Inline(value.to_vec()));
    Mutation { coll: coll(policy), key: key::plain(key), op, supersedes: supersedes.to_vec() }
}

fn put_blob(key: &str, kind: u8, byte: u8, len: u64) -> Mutation {
    let op = Op::Put(Payload::Blob(BlobRef { kind, hash: [byte; 32], len }));
    Mutation { op, ..put(Policy::Lww, key.as_bytes(), b"", &[]) }
}

fn tuple(elements: &[Element]) -> Vec<u8> {
    key::encode(elements).expect("a key")
}

/// Twenty commits that between them use every part of the format.
pub(crate) fn commits() -> Vec<(&'static str, Commit)> {
    let mut normal = Pen::new(1, Class::Normal);
    let mut critical = Pen::new(1, Class::Critical);
    let mut bulk = Pen::new(2, Class::Bulk);
    let mut other = Pen::new(2, Class::Normal);
    let mut at_home = Pen::home();
    let mut commits = Vec::new();
    commits.extend(plain_commits(&mut normal));
    commits.extend(classes(&mut critical, &mut bulk, &commits[0].1.clone()));
    commits.extend(opened_again(&mut other, &commits[1].1.clone()));
    commits.extend(policies(&mut other));
    commits.extend(home_commits(&mut at_home));
    commits.extend(extremes(&mut normal));
    commits
}

fn plain_commits(pen: &mut Pen) -> [(&'static str, Commit); 6] {
    let first = pen.write(vec![put(Policy::Lww, b"mode", b"eco", &[])]);
    let second = pen.write(vec![put(Policy::Lww, b"mode", b"sport", &[first.dot()])]);
    let delete = Mutation { op: Op::Delete, ..put(Policy::Lww, b"mode", b"", &[first.dot(), second.dot()]) };
    let delete = pen.write(vec![delete]);
    let chunk = pen.write(vec![put_blob("photo", BlobRef::CHUNK, 0xc1, 5000)]);
    let twice = ["a", "b"].map(|key| put_blob(key, BlobRef::MANIFEST, 0xc2, 5_000_000_000));
    let manifest = pen.write([twice.to_vec(), vec![put_blob("c", BlobRef::CHUNK, 0xc1, 5000)]].concat());
    let empty = pen.write(Vec::new());
    [
        ("first", first),
        ("overwrite", second),
        ("delete", delete),
        ("chunk", chunk),
        ("manifest-named-twice", manifest),
        ("empty", empty),
    ]
}

fn classes(critical: &mut Pen, bulk: &mut Pen, seen: &Commit) -> [(&'static str, Commit); 3] {
    let urgent = critical.write(vec![put(Policy::Lww, b"alarm", b"1", &[])]);
    let closed = (writer(9, Class::Bulk), 40, CommitId([0x40; 32]));
    let close = |header: &mut Header| header.open.as_mut().expect("it is the first").closes = vec![closed];
    let opened = bulk.write_with(Body::default(), close);
    let body =
        Body { deps: vec![seen.dot(), urgent.dot()], mutations: vec![put(Policy::Lww, b"log", b"x", &[])] };
    let after = bulk.write_with(body, |_| ());
    [("critical", urgent), ("closes", opened), ("bulk-after-urgent", after)]
}

fn opened_again(pen: &mut Pen, dropped: &Commit) -> [(&'static str, Commit); 1] {
    let reissues = (writer(2, Class::Critical), 7, dropped.id());
    let open = |header: &mut Header| header.open.as_mut().expect("it is the first").reissues = Some(reissues);
    let body = Body { deps: Vec::new(), mutations: vec![put(Policy::Lww, b"mode", b"eco", &[])] };
    [("reissues", pen.write_with(body, open))]
}

fn policies(pen: &mut Pen) -> [(&'static str, Commit); 4] {
    let seen = [Dot::new(writer(1, Class::Normal), 1), Dot::new(writer(3, Class::Bulk), 300)];
    let many_values = pen.write(vec![put(Policy::Mv, b"who", b"me", &seen)]);
    let counter = pen.write(vec![put(Policy::GCounter, b"hits", &[0x18, 100], &[])]);
    let field = [Element::Text("doc".to_owned()), Element::Text("title".to_owned()), Element::Int(-5)];
    let document = Mutation { key: tuple(&field), ..put(Policy::Map, b"", b"A title", &[]) };
    let document = pen.write(vec![put(Policy::Map, b"doc", b"", &[]), document]);
    let bytes = pen.write(vec![put(Policy::Text, &[0xff, 0, 0xfe], "h\u{e9}".as_bytes(), &[])]);
    [("many-values", many_values), ("counter", counter), ("document", document), ("bytes-key", bytes)]
}

fn home_commits(pen: &mut Pen) -> [(&'static str, Commit); 2] {
    let row = tuple(&[Element::Bytes(device(2).id().as_bytes().to_vec())]);
    let acl = Mutation { coll: system::acl(), key: row, ..put(Policy::Strong, b"", &[0x83, 1, 2, 3], &[]) };
    let pinned = coll(Policy::Lww).as_bytes().to_vec();
    let name = Mutation { coll: system::name(), ..put(Policy::Strong, b"things", &pinned, &[]) };
    [("home-first", pen.write(vec![acl])), ("home-second", pen.write(vec![name]))]
}

fn extremes(pen: &mut Pen) -> [(&'static str, Commit); 4] {
    let sizes = [put(Policy::Lww, b"", b"", &[]), put(Policy::Lww, &[b'k'; 1021], &[0xaa; 1024], &[])];
    let sizes = pen.write(sizes.to_vec());
    let deps =
        (1..=30).map(|n| Dot::new(WriterId::new(DeviceId([n; 16]), [n; 7], Class::Normal), 1 << n)).collect();
    let heads = pen.write_with(Body { deps, mutations: Vec::new() }, |_| ());
    let rows =
        (0u32..300).map(|n| put(Policy::Copies, format!("row {n:03}").as_bytes(), &n.to_be_bytes(), &[]));
    let rows = pen.write(rows.collect());
    let end_of_time = pen.write_with(Body::default(), |header| {
        header.hlc = Hlc(u64::MAX);
        header.base = u64::MAX;
    });
    [("sizes", sizes), ("heads", heads), ("rows", rows), ("end-of-time", end_of_time)]
}

fn strand(n: u8, headers: Vec<Header>) -> Strand {
    let last = headers.last().expect("a strand is not empty");
    let seal = Seal::sign(&device(n), space(), last.writer, last.seq, last.id());
    Strand { headers, seal }
}

/// A writer that parts at its second commit, and one that takes back what an earlier one of its device wrote.
pub(crate) fn evidence() -> [(&'static str, Evidence); 2] {
    let named = |name: &str| {
        let found = commits().into_iter().find(|(known, _)| *known == name);
        found.expect("it is among them").1.header().clone()
    };
    let (first, second, third) = (named("first"), named("overwrite"), named("delete"));
    let twin = Header { body_hash: [0xbb; 32], ..second.clone() };
    let one = strand(1, vec![first, second, third]);
    let fork = Fork::find(device(1).public(), &one, &strand(1, vec![twin])).expect("they differ");
    let again = strand(2, vec![named("reissues"), named("many-values")]);
    let taken_back = TakenBack::find(device(2).public(), again).expect("it takes something back");
    [("fork", Evidence::Fork(fork)), ("taken-back", Evidence::TakenBack(taken_back))]
}

pub(crate) fn ring_record() -> RingRecord {
    let keys = vec![second_home().public()];
    let record =
        RingRecord { space: space(), n: 1, prev: space().0, keys, from_version: 3, signature: [0; 64] };
    record.sign(&home())
}

/// Four versions; the home changes before the third.
pub(crate) fn handles() -> Vec<Handle> {
    let mut prev = [0; 32];
    let mut handles = Vec::new();
    for version in 1..=4u8 {
        let (ring_n, key) = if version < 3 { (0, home()) } else { (1, second_home()) };
        let handle = Handle {
            space: space(),
            version: u64::from(version),
            prev,
            data_root: [0xd0 | version; 32],
            vv_root: [0xe0 | version; 32],
            fold_version: 1,
            gc_epoch: u64::from(version / 3),
            ring_n,
            hlc: Hlc((1_700_000_000_000 + u64::from(version)) << 16),
            batch: (version == 4).then_some([0xba; 32]),
            signature: [0; 64],
        };
        let handle = handle.sign(&key);
        prev = handle.hash();
        handles.push(handle);
    }
    handles
}

pub(crate) fn ticket() -> Ticket {
    Ticket {
        genesis: genesis(),
        ring: vec![ring_record()],
        addresses: vec!["192.0.2.7:4410".to_owned(), "[2001:db8::7]:4410".to_owned()],
        role: Role::Writer,
        uses: 3,
        not_after: Time(1_800_000_000_000),
        secret: [0x77; 32],
    }
}

/// Sixty tuples, smallest first.
pub(crate) fn tuples() -> Vec<Vec<Element>> {
    let text = |text: &str| Element::Text(text.to_owned());
    let big = |negative, len| Element::BigInt { negative, magnitude: vec![1; len] };
    let ints = |ints: &[i64]| ints.iter().map(|int| Element::Int(*int)).collect::<Vec<_>>();
    let tiny = f64::from_bits(1);
    let singles = [
        vec![Element::Null, Element::Bool(false), Element::Bool(true)],
        vec![big(true, 255), big(true, 10), big(true, 9)],
        vec![Element::BigInt { negative: true, magnitude: vec![0xff; 8] }],
        ints(&[
            i64::MIN,
            i64::MIN + 1,
            -65_536,
            -257,
            -256,
            -255,
            -2,
            -1,
            0,
            1,
            2,
            255,
            256,
            257,
            65_536,
            i64::MAX,
        ]),
        vec![Element::BigInt { negative: false, magnitude: vec![0xff; 8] }],
        vec![big(false, 9), big(false, 10), big(false, 255)],
        [f64::NEG_INFINITY, -1.5, -1.0, -tiny, 0.0, tiny, 1.0, 1.5, f64::INFINITY]
            .map(Element::Float)
            .to_vec(),
        [i64::MIN, -1, 0, 1, 1_700_000_000_000_000, i64::MAX].map(Element::Time).to_vec(),
        vec![
            text(""),
            text("\0"),
            text("\0\0"),
            text("\u{1}"),
            text("a"),
            text("a\0"),
            text("a\0b"),
            text("aa"),
        ],
        vec![text("b"), text("\u{e9}"), text("\u{10ffff}")],
    ];
    let mut tuples: Vec<Vec<Element>> = singles.concat().into_iter().map(|element| vec![element]).collect();
    tuples.extend([
        vec![Element::Bytes(vec![])],
        vec![Element::Bytes(vec![]), Element::Null],
        vec![Element::Bytes(vec![]), text("a"), Element::Int(1)],
        vec![Element::Bytes(vec![0])],
        vec![Element::Bytes(vec![0, 0xff])],
        vec![Element::Bytes(vec![1])],
        vec![Element::Bytes(vec![0xff])],
    ]);
    tuples
}
