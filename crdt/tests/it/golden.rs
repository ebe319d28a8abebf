//! Frozen bytes: a difference here is a change of format, and a second implementation that is wrong.

use crdt::{Commit, Evidence, Handle, Ring, Seal, Ticket, derive, key, proof, secret_hash};
use data_encoding::HEXLOWER;
use expect_test::{ExpectFile, expect_file};

use crate::vectors::{
    collections, commits, device, evidence, genesis, handles, home, home_writer, ring_record, space, ticket,
    tuples,
};

fn line(name: impl std::fmt::Display, bytes: &[u8]) -> String {
    format!("{name} {}\n", HEXLOWER.encode(bytes))
}

/// The file must hold exactly these lines, in this order, under its heading.
#[track_caller]
fn check(heading: &str, lines: impl IntoIterator<Item = String>, file: ExpectFile) {
    let lines: String = lines.into_iter().collect();
    file.assert_eq(&format!("# {heading}\n{lines}"));
}

#[test]
fn ids_are_frozen() {
    let contexts = ["genesis", "ring", "commit", "body", "descriptor", "handle", "seal", "invite", "bundle"];
    let hashes = contexts.map(|context| line(format!("derive/{context}"), &derive(context, b"strandline")));
    let device = line("device/key-seed-01", device(1).id().as_bytes());
    let colls = collections().into_iter().map(|(name, id)| line(format!("collection/{name}"), id.as_bytes()));
    let genesis = [line("genesis", &genesis().encode()), line("space", space().as_bytes()), device];
    let heading = "name, then hex: hashes of the text `strandline` in each context; a genesis and its ids";
    check(heading, hashes.into_iter().chain(genesis).chain(colls), expect_file!["../../golden/ids.txt"]);
}

#[test]
fn commits_are_frozen() {
    let commits = commits();
    assert_eq!(commits.len(), 20);
    let lines = commits.iter().map(|(name, commit)| {
        let decoded = Commit::decode(commit.encoded()).expect("it decodes");
        assert_eq!((&decoded, decoded.check()), (commit, Ok(())));
        line(format!("{name} {}", commit.id()), commit.encoded())
    });
    check("name, commit id, commit", lines, expect_file!["../../golden/commits.txt"]);
}

#[test]
fn seals_are_frozen() {
    let lines = commits().into_iter().map(|(name, commit)| {
        let writer = commit.header().writer;
        let key = [device(1), device(2)].into_iter().find(|key| key.id() == writer.device());
        let key = if writer == home_writer() { home() } else { key.expect("one of the two wrote it") };
        let seal = Seal::sign(&key, space(), writer, commit.dot().seq, commit.id());
        assert_eq!(Seal::decode(&seal.encode()).expect("it decodes").verify(&key.public()), Ok(()));
        line(name, &seal.encode())
    });
    check("name of a commit, the seal on it", lines, expect_file!["../../golden/seals.txt"]);
}

#[test]
fn evidence_is_frozen() {
    let lines = evidence().into_iter().map(|(name, evidence)| {
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence.clone()));
        let proof = evidence.check(space()).expect("it proves something");
        line(format!("{name} {} {}", proof.writer, proof.seq), &evidence.encode())
    });
    check(
        "name, writer and first commit proven against, bytes",
        lines,
        expect_file!["../../golden/evidence.txt"],
    );
}

#[test]
fn keys_are_frozen_and_in_order() {
    let tuples = tuples();
    assert_eq!(tuples.len(), 60);
    let keys: Vec<Vec<u8>> = tuples.iter().map(|tuple| key::encode(tuple).expect("a key")).collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
    let lines = keys.iter().zip(&tuples).map(|(key, tuple)| {
        assert_eq!(key::decode(key).as_ref(), Ok(tuple));
        format!("{} {}\n", HEXLOWER.encode(key), key::display(key))
    });
    check("key, as people see it; smallest first", lines, expect_file!["../../golden/keys.txt"]);
}

#[test]
fn handles_are_frozen_and_chained() {
    let ring = Ring::new(&genesis(), vec![ring_record()]).expect("the record follows");
    let mut prev = [0; 32];
    let mut lines =
        vec![line(format!("ring/1 {}", HEXLOWER.encode(&ring_record().hash())), &ring_record().encode())];
    for handle in handles() {
        let decoded = Handle::decode(&handle.encode()).expect("it decodes");
        assert_eq!((ring.verify(&decoded), decoded.prev), (Ok(()), prev));
        prev = handle.hash();
        lines.push(line(format!("handle/{} {}", handle.version, HEXLOWER.encode(&prev)), &handle.encode()));
    }
    check("name, hash, bytes", lines, expect_file!["../../golden/handles.txt"]);
}

#[test]
fn ticket_and_its_proof_are_frozen() {
    let ticket = ticket();
    assert_eq!(ticket.to_string().parse::<Ticket>(), Ok(ticket.clone()));
    let proof = proof(&ticket.secret, &space(), &device(2).public(), &[0xee; 32]);
    let lines = [
        format!("text {ticket}\n"),
        line("ticket", &ticket.encode()),
        line("invite", &secret_hash(&ticket.secret)),
        line("proof/device-02/exporter-ee", &proof),
    ];
    check("name, then hex but for the text", lines, expect_file!["../../golden/ticket.txt"]);
}
