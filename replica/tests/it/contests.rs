//! What disagrees in documents: found alike on both sides and by reading all, and settled by ordinary writes.

use std::collections::BTreeSet;

use crdt::view::counter::Total;
use crdt::view::set::{ADDED, REMOVED};
use crdt::view::{Deletes, Json, Manner, Siblings};
use crdt::{Element, Op, Payload, Policy};
use replica::{CommitError, Contest, ContestKind, Place, Value};

use crate::policies::{Two, key, object, shown, write};

/// The contests of a document, the same on both sides and where all is read.
fn contests(two: &Two, name: &str) -> Vec<Contest> {
    let place = Place { coll: two.coll, key: key(name) };
    let [one, other] = [&two.a, &two.b].map(|replica| replica.snapshot().contests(&place).unwrap());
    assert_eq!(one, other);
    let mut all = Vec::new();
    let visit = |at: Place, found: Vec<Contest>| {
        assert_eq!(at, place);
        all.extend(found);
        true
    };
    two.a.snapshot().contested(visit).unwrap();
    assert_eq!(all, one);
    one
}

fn field(name: &str, path: &[&str]) -> Vec<u8> {
    let names = std::iter::once(&name).chain(path).map(|name| Element::Text((*name).to_owned()));
    crdt::key::encode(&names.collect::<Vec<_>>()).unwrap()
}

fn kinds(contests: &[Contest]) -> Vec<ContestKind> {
    contests.iter().map(|contest| contest.kind).collect()
}

#[test]
fn fields_that_two_wrote_apart_are_settled_with_one_value() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let task = |title: &str, room: i128| {
        object(&[
            ("title", Json::Text(title.to_owned())),
            ("at", Json::Object(object(&[("room", Json::Int(room))]))),
        ])
    };
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &task("old", 1))).unwrap();
    two.meet();
    assert_eq!(contests(&two, "t"), []);
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &task("a", 2))).unwrap();
    write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &task("b", 2))).unwrap();
    two.meet();
    let open = contests(&two, "t");
    assert_eq!(kinds(&open), [ContestKind::Siblings], "both put the same room");
    assert_eq!(open[0].place.key, field("t", &["title"]));
    let settled = Json::Text("both".to_owned());
    write(&mut two.b, |tx| tx.resolve_field(coll, &open[0].place.key, &settled)).unwrap();
    two.meet();
    assert_eq!(contests(&two, "t"), []);
    assert_eq!(two.shown("t"), Some(Value::Document(task("both", 2))));
    let refused = write(&mut two.a, |tx| tx.resolve(coll, &open[0].place.key, b"bytes"));
    assert!(matches!(refused, Err(CommitError::WrongVerb { .. })), "{refused:?}");
}

#[test]
fn value_that_replaced_an_object_meanwhile_is_a_contest_of_each_field_inside() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let inner = |n: i128| Json::Object(object(&[("x", Json::Int(n)), ("y", Json::Int(1))]));
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &object(&[("at", inner(1))]))).unwrap();
    two.meet();
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &object(&[("at", inner(2))]))).unwrap();
    write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &object(&[("at", Json::Null)]))).unwrap();
    two.meet();
    let open = contests(&two, "t");
    assert_eq!(kinds(&open), [ContestKind::Replaced]);
    let (at, x) = (field("t", &["at"]), field("t", &["at", "x"]));
    let is_value_shown = two.shown("t") == Some(Value::Document(object(&[("at", Json::Null)])));
    let (lost, shows) = if is_value_shown { (x, at) } else { (at, x) };
    assert_eq!((&open[0].place.key, &open[0].shown_at), (&lost, &shows));
    // The one that lost stands for both: what is above or inside it goes.
    let value = if is_value_shown { Json::Int(2) } else { Json::Null };
    write(&mut two.a, |tx| tx.resolve_field(coll, &lost, &value)).unwrap();
    two.meet();
    assert_eq!(contests(&two, "t"), []);
    let left = if is_value_shown { Json::Object(object(&[("x", Json::Int(2))])) } else { Json::Null };
    assert_eq!(two.shown("t"), Some(Value::Document(object(&[("at", left)]))));
}

#[test]
fn delete_against_an_edit_is_a_contest_of_the_document_whichever_shows() {
    for (deletes, kind) in [(Deletes::Hide, ContestKind::Deleted), (Deletes::Revive, ContestKind::Revived)] {
        let mut two = Two::with(Manner { policy: Policy::Map, siblings: Siblings::Replace, deletes });
        let coll = two.coll;
        let [old, new] = [1, 2].map(|n| object(&[("n", Json::Int(n)), ("same", Json::Null)]));
        let left = object(&[("n", Json::Int(2))]);
        let apart = |two: &mut Two| {
            write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &old)).unwrap();
            two.meet();
            write(&mut two.a, |tx| tx.delete(coll, &key("t"))).unwrap();
            write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &new)).unwrap();
            two.meet();
            let open = contests(two, "t");
            assert_eq!(kinds(&open), [kind]);
            assert_eq!(open[0].document, Some(left.clone()));
            assert_eq!(open[0].dots().count(), 1);
        };
        apart(&mut two);
        write(&mut two.b, |tx| tx.restore(coll, &key("t"))).unwrap();
        two.meet();
        assert_eq!(contests(&two, "t"), []);
        assert_eq!(two.shown("t"), Some(Value::Document(left.clone())));
        apart(&mut two);
        write(&mut two.b, |tx| tx.delete(coll, &key("t"))).unwrap();
        two.meet();
        assert_eq!(contests(&two, "t"), []);
        assert_eq!(shown(&two.a, coll, "t"), None);
    }
}

#[test]
fn what_is_no_value_of_a_field_is_no_side_of_a_contest() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let at = field("t", &["n"]);
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &object(&[("n", Json::Int(1))]))).unwrap();
    // A device that does not know the collection yet writes by its rule alone.
    let junk = two.stranger(coll, &at, b"junk");
    two.meet();
    assert_eq!(two.a.snapshot().live(coll, &at).unwrap().len(), 2);
    assert!(contests(&two, "t").is_empty());
    let dots = BTreeSet::from([junk]);
    write(&mut two.b, |tx| tx.discard(coll, &at, dots)).unwrap();
    two.meet();
    assert_eq!(two.a.snapshot().live(coll, &at).unwrap().len(), 1);
}

#[test]
fn what_counts_no_more_is_written_again_as_its_policy_writes_it() {
    let put = |bytes: Vec<u8>| Op::Put(Payload::Inline(bytes));
    let shown_after = |policy: Policy, key: Vec<u8>, op: &Op| {
        let mut two = Two::new(policy);
        let coll = two.coll;
        if policy == Policy::Map {
            write(&mut two.a, |tx| tx.put_document(coll, &crate::policies::key("t"), &object(&[]))).unwrap();
        }
        write(&mut two.a, |tx| tx.write_again(coll, &key, op))?;
        two.meet();
        Ok(two.shown("t"))
    };
    let element = || vec![vec![Element::Text("x".to_owned())]];
    let cases = [
        (Policy::Lww, key("t"), put(b"1".to_vec()), Some(Value::Bytes(b"1".to_vec()))),
        (
            Policy::Map,
            field("t", &["n"]),
            put(Json::Int(7).encode()),
            Some(Value::Document(object(&[("n", Json::Int(7))]))),
        ),
        (Policy::OrSet, field("t", &["x"]), put(ADDED.to_vec()), Some(Value::Set(element()))),
        (Policy::GSet, field("t", &["x"]), put(ADDED.to_vec()), Some(Value::Set(element()))),
        (Policy::TwoPhaseSet, field("t", &["x"]), put(ADDED.to_vec()), Some(Value::Set(element()))),
        (Policy::TwoPhaseSet, field("t", &["x"]), put(REMOVED.to_vec()), None),
        (Policy::OrSet, field("t", &["x"]), Op::Delete, None),
    ];
    for (policy, key, op, expected) in cases {
        let shown: Result<_, CommitError> = shown_after(policy, key, &op);
        assert_eq!(shown.unwrap(), expected, "{policy} {op:?}");
    }
    let total = Total { plus: 7, minus: None }.encode();
    let refused = shown_after(Policy::GCounter, key("t"), &put(total));
    assert!(matches!(refused, Err(CommitError::WrongVerb { .. })), "how much of it counts is not known");
}
