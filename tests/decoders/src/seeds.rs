//! Inputs to begin with: real bytes of every kind, from the golden files and the recorded folders of `tests/compat`.

use std::collections::BTreeSet;
use std::path::Path;

use crdt::view::counter::Total;
use crdt::view::json::DEPTH_MAX;
use crdt::view::mv::Context;
use crdt::view::{Deletes, Json, Live, Manner, Siblings};
use crdt::{
    CollId, CommitId, DeviceKey, Dot, Encoder, Genesis, Hlc, Op, Payload, Policy, Proposal, Read, Role,
    SpaceId, Ticket, Time, Wish, WriterId,
};
use data_encoding::HEXLOWER;
use sync::frame::HEADER_LEN;

#[path = "../../compat/set.rs"]
#[expect(dead_code, reason = "only the files of its folders are inputs here")]
mod set;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A ticket that is always the same.
pub(crate) fn ticket() -> Ticket {
    let home = DeviceKey::from_seed([1; 32]);
    let genesis = Genesis {
        salt: [3; 32],
        nonce: [4; 32],
        home_key: home.public(),
        recovery_key: [0; 32],
        owner: home.id(),
        params: vec![],
    };
    let addresses = vec!["192.0.2.7:4410".to_owned()];
    let (role, uses, not_after, secret) = (Role::Writer, 3, Time(1_800_000_000_000), [9; 32]);
    Ticket { genesis, ring: Vec::new(), addresses, role, uses, not_after, secret }
}

/// Inputs for a target: not many, and each of another shape.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "commit" => golden("crdt/golden/commits.txt"),
        "seal" => golden("crdt/golden/seals.txt"),
        "evidence" => golden("crdt/golden/evidence.txt"),
        "handle" => [golden("crdt/golden/handles.txt"), vec![ticket().genesis.encode()]].concat(),
        "proposal" => vec![proposal().encode()],
        "ticket" => vec![ticket().encode(), ticket().to_string().into_bytes()],
        "key" => golden("crdt/golden/keys.txt"),
        "row" => rows(),
        "frame" => {
            golden("sync/golden/frames.txt").iter().map(|frame| frame[HEADER_LEN - 1..].to_vec()).collect()
        }
        "stream" => streams(),
        "pack" => files("packs/").into_iter().filter(|pack| pack.len() < 16 << 10).collect(),
        "segment" => files("wal/").into_iter().map(|file| [vec![255, 0], first(&file)].concat()).collect(),
        "manifest" => manifests(),
        "node" => nodes(),
        "record" => records(),
        "json" => values(),
        "context" => contexts(),
        "manner" => manners(),
        "keytext" => {
            texts(&[r#"["a",1,-2.5,null,true,{"time":"2015-02-26T21:42:53Z"}]"#, r#"[{"bytes":"AP8="}]"#])
        }
        "body" => bodies(),
        "patch" => patches(),
        "settings" => {
            vec![strandline::config::Settings::default_text(Some("name")).replace("\n# ", "\n").into()]
        }
        _ => Vec::new(),
    }
}

/// The longest run of hex digits of each line.
fn golden(path: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(path)).expect(path);
    let longest = |line: &str| {
        let words = line.split_whitespace().filter_map(|word| HEXLOWER.decode(word.as_bytes()).ok());
        words.max_by_key(Vec::len)
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(longest);
    lines.filter(|bytes| bytes.len() > HEADER_LEN && bytes.len() < 8 << 10).collect()
}

fn recorded(set: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(ROOT).join("tests/compat").join(set);
    let text = |name| std::fs::read_to_string(folder.join(name)).expect("a recorded folder");
    ["home.txt", "device.txt"].iter().flat_map(|name| set::read_files(&text(name))).collect()
}

fn files(part: &str) -> Vec<Vec<u8>> {
    files_of("1", part)
}

fn files_of(set: &str, part: &str) -> Vec<Vec<u8>> {
    recorded(set).into_iter().filter(|(name, _)| name.contains(part)).map(|(_, bytes)| bytes).collect()
}

/// The part of a file of a log that is not zeros, or a beginning of it.
fn first(file: &[u8]) -> Vec<u8> {
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    file[..end.min(2 << 10)].to_vec()
}

fn manifests() -> Vec<Vec<u8>> {
    let slots = files("/manifest");
    let body = |slot: &[u8]| {
        let len = u32::from_le_bytes(*slot[8..].first_chunk().expect("a slot")) as usize;
        slot[44..44 + len].to_vec()
    };
    slots.iter().flat_map(|file| file.chunks(256 << 10)).map(body).filter(|body| !body.is_empty()).collect()
}

fn nodes() -> Vec<Vec<u8>> {
    let (mut nodes, node_version) = (Vec::new(), 1);
    for pack in files("packs/") {
        let trailer = &pack[pack.len() - 48..];
        let number =
            |at: usize| u64::from_le_bytes(*trailer[at..].first_chunk().expect("a trailer")) as usize;
        let index_at = pack.len() - 48 - number(8) - number(0) * 45;
        for entry in pack[index_at..].chunks(45).take(number(0)) {
            let at = u64::from_le_bytes(*entry[32..].first_chunk().expect("an entry")) as usize;
            let len = u32::from_le_bytes(*entry[40..].first_chunk().expect("an entry")) as usize;
            if entry[44] <= 2 && pack[at] == node_version {
                nodes.push(pack[at..at + len].to_vec());
            }
        }
    }
    nodes
}

/// Those of the first set, and of the fourth what came since.
fn records() -> Vec<Vec<u8>> {
    let mut records = records_of("1");
    let known: BTreeSet<u8> = records.iter().map(|record| record[0]).collect();
    records.extend(records_of("4").into_iter().filter(|record| !known.contains(&record[0])));
    records
}

fn records_of(set: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for file in files_of(set, "wal/").iter().chain(&files_of(set, "archive/")) {
        let mut at = 48;
        while let Some(header) = file.get(at..at + 30).filter(|header| header[4] != 0) {
            let len = u32::from_be_bytes(*header.first_chunk().expect("a header")) as usize;
            if len < 4 << 10 && header[4] < 0xf0 {
                records.push([&header[4..5], &file[at + 30..at + 30 + len]].concat());
            }
            at += 30 + len;
        }
    }
    records
}

fn streams() -> Vec<Vec<u8>> {
    let frames = golden("sync/golden/frames.txt");
    let pairs = frames.windows(2).map(|pair| [vec![7], pair.concat()].concat());
    pairs.filter(|stream| stream.len() < 4 << 10).collect()
}

fn rows() -> Vec<Vec<u8>> {
    let grant = replica::Grant { public: [1; 32], capabilities: 7, residency: vec![1], since: 9 };
    let descriptor = crdt::Descriptor::new("tasks", crdt::Policy::Lww).expect("a name");
    let tip = crdt::Tip { seq: 3, ..crdt::Tip::START };
    let tip = crdt::vector::Row::new(&crdt::WriterId([9; 24]), &tip).payload;
    let blob = [&[3][..], &[7; 32], &[0, 0, 0, 0, 0, 1, 0, 0]].concat();
    let cut = replica::Cut { seq: 3, tip: CommitId([7; 32]), reason: 1 };
    let removed = replica::Removed { version: 4, at: Time(5), reason: replica::Reason::Left };
    let mut item = Encoder::new();
    item.array(5).uint(0).bytes(&[9; 24]).uint(2).bytes(b"why").bytes(b"");
    let mut recorded = Encoder::new();
    recorded.array(2);
    sync::frame::Outcome::Committed(8).encode(&mut recorded);
    recorded.uint(9);
    let mut addresses = Encoder::new();
    addresses.array(1).bytes(b"192.0.2.7:4410");
    let rows = [item, recorded, addresses].map(Encoder::finish);
    let more = vec![cut.encode(), removed.encode(), replica::PruneFloor(6).encode()];
    let more = rows.into_iter().chain(more);
    let rows = vec![grant.encode(), descriptor.encode(), tip, b"\0value".to_vec(), blob, vec![0x83, 1, 2, 3]];
    rows.into_iter().chain(more).collect()
}

/// Values of every kind, one in another, and the most of what is small.
fn values() -> Vec<Vec<u8>> {
    let object = |fields: &[(&str, Json)]| {
        Json::Object(fields.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect())
    };
    let flat = [Json::Null, Json::Bool(true), Json::Int(-1), Json::Int(u64::MAX.into()), Json::Float(-2.5)];
    let nested = object(&[
        ("a", Json::Array(flat.to_vec())),
        ("b", object(&[("c", Json::Text("\u{e9}".to_owned())), ("d", object(&[]))])),
    ]);
    let many = Json::Array(vec![Json::Null; 500]);
    let small = Json::Array(vec![object(&[("a", Json::Null)]); 100]);
    let deep = (1..DEPTH_MAX).fold(Json::Null, |inner, _| Json::Array(vec![inner]));
    let all = flat.into_iter().chain([nested, many, small, deep]);
    all.map(|json| json.encode()).collect()
}

fn contexts() -> Vec<Vec<u8>> {
    let live = |writer: u8, seq| Live {
        dot: Dot::new(WriterId([writer; 24]), seq),
        hlc: Hlc(seq),
        payload: Payload::Inline(Vec::new()),
    };
    let seen: Vec<Live> = (0..9).map(|writer| live(writer, 1 << (7 * writer))).collect();
    [&seen[..0], &seen[..1], &seen].map(|seen| Context::of(seen).encode()).into()
}

fn manners() -> Vec<Vec<u8>> {
    let of = |policy| Manner { siblings: Siblings::Keep, ..Manner::of(policy) };
    let revive = Manner { deletes: Deletes::Revive, ..of(Policy::Map) };
    let manners = [of(Policy::Lww), Manner::of(Policy::Mv), revive, Manner::of(Policy::PnCounter)];
    let totals = [Total { plus: 300, minus: None }, Total { plus: 7, minus: Some(1 << 40) }];
    let manners = manners.iter().map(Manner::encode).chain(totals.iter().map(Total::encode));
    let copy = crdt::key::plain(b"mode~conflict~a1a1a1a1~7");
    manners.chain([copy]).chain(golden("crdt/golden/keys.txt")).collect()
}

fn proposal() -> Proposal {
    let key = |name: &[u8]| crdt::key::plain(name);
    let coll = CollId([7; 16]);
    let point = Read::Point { coll, key: key(b"a"), digest: [1; 32] };
    let (from, to) = (key(b"a"), key(b"z"));
    let range = Read::Range { coll, from, to, limit: Some(9), is_descending: true, digest: [2; 32] };
    let writes = vec![
        Wish { coll, key: key(b"a"), op: Op::Put(Payload::Inline(b"value".to_vec())) },
        Wish { coll, key: key(b"b"), op: Op::Delete },
    ];
    let deps = vec![Dot::new(WriterId([9; 24]), 3)];
    let proposal = Proposal {
        id: [1; 16],
        space: SpaceId([1; 32]),
        base: 5,
        deps,
        reads: vec![point, range],
        writes,
        signature: [0; 64],
    };
    proposal.sign(&DeviceKey::from_seed([1; 32]))
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn bodies() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"rows":[{"key":["a",1],"value":"x"},{"key":"b","value":{"base64":"AP8="}}],"position":{"source":"s","at":"1"}}"#,
        r#"{"key":"a","value":"v","dot":"00:1","writer":"00","hlc":1,"siblings":1,"all":[{"value":"v","dot":"","writer":"","hlc":0}]}"#,
        r#"{"name":"telemetry","policy":"mv"}"#,
        r#"{"ticket":"abc","name":"n","timeout":"30s","offline":true}"#,
        r#"{"role":"reader","uses":3,"expires":"7d"}"#,
        r#"{"type":"t","title":"t","status":404,"detail":"d","cure":"c"}"#,
        r#"{"reads":["AAEC"],"writes":[{"collection":"things","key":["a",1],"value":"x"},{"collection":"c","key":"b","value":null}]}"#,
        r#"{"pick":"1","value":{"json":{"a":[1,2.5,null]}},"merge":true}"#,
        r#"{"increment":-9223372036854775808}"#,
        r#"{"add":["a",1,{"bytes":"AP8="}]}"#,
        r#"{"remove":"x"}"#,
        r#"{"rename":{"to":"b","force":true,"resolve":false}}"#,
        r#"{"policy":"map","siblings":"keep","deletes":"revive"}"#,
        r#"{"losers_max_age":"30d","losers_max_count":4}"#,
        r#"{"device":"a1b2c3d4"}"#,
        r#"{"device":"a1b2","timeout":"30s"}"#,
        r#"{"timeout":"30s"}"#,
        r#"{"alone":true}"#,
        r#"{"name":"shop"}"#,
        r#"{"peer":"a1b2c3d4"}"#,
        r#"{"address":"192.0.2.7:4410"}"#,
    ])
}

fn patches() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"a":{"b":null,"e":{"f":[1]}},"d":7}"#,
        r#"[{"op":"test","path":"/d","value":"text"},{"op":"add","path":"/a/b/-","value":{"x":1}},{"op":"move","from":"/a/c","path":"/c"},{"op":"copy","from":"/d","path":"/e"},{"op":"replace","path":"/a/b/0","value":-1},{"op":"remove","path":"/a/b/1"}]"#,
        r#"[{"op":"add","path":"/a/~1~0","value":null},{"op":"remove","path":"/a/nothing"}]"#,
    ])
}
