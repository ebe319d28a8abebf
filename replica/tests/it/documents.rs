//! Documents on two devices that write apart: fields merge, deletes hide or are undone, and a transaction sees its own.

use crdt::view::{Deletes, Json, Manner, Siblings};
use crdt::{Class, Policy};
use replica::{CommitError, KeyRange, Order, Value};

use crate::policies::{Two, key, object, shown, write};
use crate::space::NOW;

#[test]
fn document_fields_merge_and_a_put_writes_only_those_that_differ() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let task = |title: &str, done: bool| {
        object(&[
            ("title", Json::Text(title.to_owned())),
            ("done", Json::Bool(done)),
            ("at", Json::Object(object(&[("room", Json::Int(7))]))),
        ])
    };
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &task("old", false))).unwrap();
    two.meet();
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &task("new", false))).unwrap();
    write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &task("old", true))).unwrap();
    two.meet();
    assert_eq!(two.shown("t"), Some(Value::Document(task("new", true))));
    let fewer = object(&[("title", Json::Text("new".to_owned()))]);
    write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &fewer)).unwrap();
    two.meet();
    assert_eq!(two.shown("t"), Some(Value::Document(fewer)));
    let refused = write(&mut two.a, |tx| tx.put(coll, &key("t"), b"x"));
    assert!(matches!(refused, Err(CommitError::WrongVerb { verb: "put", .. })));
}

#[test]
fn edit_of_a_document_that_was_deleted_meanwhile_is_hidden_or_revives_it() {
    for deletes in [Deletes::Hide, Deletes::Revive] {
        let mut two = Two::with(Manner { policy: Policy::Map, siblings: Siblings::Replace, deletes });
        let coll = two.coll;
        let [old, new] = [1, 2].map(|n| object(&[("n", Json::Int(n)), ("same", Json::Null)]));
        write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &old)).unwrap();
        two.meet();
        write(&mut two.a, |tx| tx.delete(coll, &key("t"))).unwrap();
        write(&mut two.b, |tx| tx.put_document(coll, &key("t"), &new)).unwrap();
        two.meet();
        let left = object(&[("n", Json::Int(2))]);
        let expected = (deletes == Deletes::Revive).then_some(Value::Document(left));
        assert_eq!(two.shown("t"), expected);
        // Made anew, nothing of the orphan shows.
        write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &object(&[]))).unwrap();
        two.meet();
        assert_eq!(two.shown("t"), Some(Value::Document(object(&[]))));
    }
}

#[test]
fn transaction_sees_its_own_documents() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let [one, other] = [1, 2].map(|n| object(&[("n", Json::Int(n)), (&format!("f{n}"), Json::Null)]));
    write(&mut two.a, |tx| {
        tx.put_document(coll, &key("t"), &one)?;
        assert_eq!(tx.document(coll, &key("t"))?, Some(one.clone()));
        tx.put_document(coll, &key("t"), &other)?;
        assert_eq!(tx.document(coll, &key("t"))?, Some(other.clone()));
        tx.delete(coll, &key("t"))?;
        assert_eq!(tx.document(coll, &key("t"))?, None);
        tx.put_document(coll, &key("t"), &one)
    })
    .unwrap();
    assert_eq!(shown(&two.a, coll, "t"), Some(Value::Document(one)));
}

#[test]
fn document_that_changed_under_a_transaction_refuses_it() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let mut late = two.a.begin();
    late.put_document(coll, &key("t"), &object(&[("a", Json::Null)])).unwrap();
    write(&mut two.a, |tx| tx.put_document(coll, &key("t"), &object(&[("b", Json::Null)]))).unwrap();
    let refused = two.a.commit(NOW, late, Class::Normal);
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
}

#[test]
fn scan_shows_documents_and_sets_by_name_either_way() {
    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    for name in ["a", "b", "c"] {
        let document = object(&[("n", Json::Text(name.to_owned())), ("m", Json::Null)]);
        write(&mut two.a, |tx| tx.put_document(coll, &key(name), &document)).unwrap();
    }
    write(&mut two.a, |tx| tx.delete(coll, &key("b"))).unwrap();
    let snapshot = two.a.snapshot();
    let manner = snapshot.manner(coll).unwrap().unwrap();
    let mut scanned = Vec::new();
    for order in [Order::Ascending, Order::Descending] {
        let entries = snapshot.entries(coll, manner, &KeyRange::all(), order).unwrap();
        scanned.push(entries.map(|entry| entry.unwrap().key).collect::<Vec<_>>());
    }
    assert_eq!(scanned, [vec![key("a"), key("c")], vec![key("c"), key("a")]]);
}
