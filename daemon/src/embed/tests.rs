//! What a program sees that has a replica inside.

use std::collections::BTreeMap;

use super::*;
use crate::keytext::Key;
use crate::scratch::Scratch;
use crdt::view::mv::Context;

#[test]
fn a_program_writes_reads_and_finds_it_again() {
    let data = Scratch::new("embed");
    {
        let replica = Replica::open(data.path()).unwrap();
        let notes = replica.space("mine").unwrap().collection("notes").unwrap();
        notes.put("greeting", "hello").unwrap();
        notes.put("other", "x").unwrap();
        notes.delete("other").unwrap();
    }
    let replica = Replica::open(data.path()).unwrap();
    let notes = replica.space("mine").unwrap().collection("notes").unwrap();
    assert_eq!(notes.get("greeting").unwrap().as_deref(), Some(&b"hello"[..]));
    assert_eq!(notes.get("other").unwrap(), None);
    let all: Vec<_> = notes.scan("gr").unwrap().into_iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(all, ["greeting"]);
}

#[test]
fn a_transaction_whose_reads_changed_is_refused_whole() {
    let data = Scratch::new("embed-conflict");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let stock = space.collection("stock").unwrap();
    stock.put("apples", "3").unwrap();
    let mut sale = space.begin().unwrap();
    assert_eq!(sale.get(&stock, "apples").unwrap().as_deref(), Some(&b"3"[..]));
    sale.put(&stock, "apples", "2").unwrap();
    sale.put(&stock, "sold", "1").unwrap();
    stock.put("apples", "0").unwrap();
    assert!(matches!(sale.commit(), Err(Error::Conflict)));
    assert_eq!(stock.get("sold").unwrap(), None);
}

#[test]
fn what_changed_meanwhile_is_read_again() {
    let data = Scratch::new("embed-retry");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let stock = space.collection("stock").unwrap();
    stock.put("apples", "3").unwrap();
    let mut runs = 0;
    let left = space.transact(|tx| {
        let counted = tx.scan(&stock, "")?.len();
        runs += 1;
        if runs == 1 {
            stock.put("pears", "1")?;
        }
        tx.put(&stock, "count", counted.to_string())?;
        Ok(counted)
    });
    assert_eq!((left.unwrap(), runs), (2, 2), "a key that came into the range is a change");
    assert_eq!(stock.get("count").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_follower_is_told_what_is_written() {
    let data = Scratch::new("embed-watch");
    let cursor = {
        let replica = Replica::open(data.path()).unwrap();
        let space = replica.space("mine").unwrap();
        let notes = space.collection("notes").unwrap();
        let mut follower = space.watch(Start::Now).unwrap();
        notes.put("a", "1").unwrap();
        notes.delete("a").unwrap();
        let told = follower.next_events().unwrap();
        let ops: Vec<&str> = told.iter().map(|event| event.data.changes[0].op.as_str()).collect();
        assert_eq!(ops, ["put", "delete"]);
        notes.put("b", "2").unwrap();
        follower.cursor()
    };
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let mut follower = space.watch(Start::Cursor(cursor)).unwrap();
    let told = follower.next_events().unwrap();
    assert_eq!(told.len(), 1, "a restart loses nothing and repeats nothing here");
    assert_eq!(told[0].data.changes[0].key, Key::plain("b"));
    assert_eq!(follower.next_events().unwrap(), []);
}

#[test]
fn one_directory_has_one_owner() {
    let data = Scratch::new("embed-lock");
    let replica = Replica::open(data.path()).unwrap();
    assert!(matches!(Replica::open(data.path()), Err(Error::Folder(spaces::Error::InUse { .. }))));
    drop(replica);
    assert!(Replica::open(data.path()).is_ok());
}

/// Two values of one key that had not seen each other.
fn apart(collection: &Collection, key: &str) {
    for value in ["eco", "sport"] {
        let seen = Context::default();
        collection.carry_out(key, crate::verbs::Verb::PutSeen(value.into(), seen)).unwrap();
    }
}

/// Waits until that many conflicts had this outcome.
fn until(space: &Space, outcome: &'static str, count: u64) {
    let begun = std::time::Instant::now();
    while space.conflict_outcomes().get(&("mv".to_string(), outcome)) != Some(&count) {
        assert!(begun.elapsed().as_secs() < 60, "{outcome}: {:?}", space.conflict_outcomes());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_a_read_saw_is_replaced_or_taken_away_and_nothing_else() {
    let data = Scratch::new("embed-context");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let modes = space.collection_of("modes", Policy::Mv).unwrap();
    let shown = || modes.value("k").unwrap().map(|value| format!("{value:?}"));
    let many = |values: &[&str]| {
        let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        Some(format!("{:?}", replica::Value::Many(values)))
    };
    assert!(modes.read("k").unwrap().is_none());
    apart(&modes, "k");
    let (_, old) = modes.read("k").unwrap().expect("two values");
    modes.put_seen("k", "third", &Context::default()).unwrap();
    assert!(modes.delete_seen("k", &old).unwrap());
    assert_eq!(shown(), many(&["third"]));
    // Nothing that it names is there any more.
    let mut follower = space.watch(Start::Now).unwrap();
    assert!(!modes.delete_seen("k", &old).unwrap());
    assert_eq!(shown(), many(&["third"]));
    assert_eq!(follower.next_events().unwrap(), [], "nothing happened");
    // Nor where it comes with other writes: the commit tells of those alone.
    let mut both = space.begin().unwrap();
    both.carry_out(&modes, "k", &crate::verbs::Verb::DeleteSeen(old.clone())).unwrap();
    both.put(&modes, "other", "1").unwrap();
    both.commit().unwrap();
    let told = follower.next_events().unwrap();
    let told: Vec<_> = told[0].data.changes.iter().map(|change| (&change.key, change.op.as_str())).collect();
    assert_eq!(told, [(&Key::plain("other"), "put")]);
    let (_, seen) = modes.read("k").unwrap().expect("a value");
    modes.put_seen("k", "fourth", &seen).unwrap();
    assert_eq!(shown(), many(&["fourth"]));
    assert!(modes.delete("k").unwrap());
    assert!(!modes.delete_seen("k", &seen).unwrap(), "there is nothing at all");
}

#[test]
fn each_conflict_is_found_by_its_id_whatever_else_is_settled() {
    let data = Scratch::new("embed-ids");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let modes = space.collection_of("modes", Policy::Mv).unwrap();
    let ids = || -> Vec<String> { space.conflicts(99).unwrap().into_iter().map(|open| open.id).collect() };
    for key in ["a", "b", "c", "d"] {
        apart(&modes, key);
    }
    let before = ids();
    assert_eq!(before.len(), 4);
    space.settle(&before[1], &Settle::Discard).unwrap();
    // A third value makes it another conflict.
    modes.put_seen("c", "third", &Context::default()).unwrap();
    let after = ids();
    let stay = |id: &&String| before.contains(id);
    assert_eq!((after.len(), after.iter().filter(stay).count()), (3, 2));
    for id in [&before[1], &before[2], &"00".to_string()] {
        let error = space.settle(id, &Settle::Discard);
        assert!(matches!(error, Err(Error::Space(slot::Error::Settled { .. }))), "{id}: {error:?}");
    }
    for id in &after {
        space.settle(id, &Settle::Pick("1".to_string())).unwrap();
    }
    assert_eq!(ids(), Vec::<String>::new());
}

#[test]
fn a_resolver_settles_what_it_can_and_leaves_the_rest() {
    let data = Scratch::new("embed-resolver");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let modes = space.collection_of("modes", Policy::Mv).unwrap();
    let visits = space.collection_of("visits", Policy::GCounter).unwrap();
    assert!(visits.resolve_with(|_| Ok(None)).is_err(), "counters have no conflicts");
    apart(&modes, "before");
    let resolver = modes.resolve_with(|conflict| {
        assert_eq!((conflict.kind.as_str(), conflict.losers.len()), ("siblings", 1));
        match conflict.key.as_ref().map(ToString::to_string).as_deref() {
            Some("panics") => panic!("a resolver that panics"),
            Some("fails") => Err("no idea".into()),
            Some("left") => Ok(None),
            Some("odd") => Ok(Some(Settle::Pick("7".to_string()))),
            _ => Ok(Some(Settle::Pick("1".to_string()))),
        }
    });
    let resolver = resolver.unwrap();
    until(&space, "picked", 1);
    let many =
        |key: &str| matches!(modes.value(key).unwrap(), Some(replica::Value::Many(all)) if all.len() == 2);
    assert_eq!(modes.get("before").unwrap().as_deref(), Some(&b"eco"[..]));
    for key in ["panics", "fails", "left", "odd", "after"] {
        apart(&modes, key);
    }
    until(&space, "picked", 2);
    until(&space, "resolver-panicked", 1);
    until(&space, "resolver-failed", 2);
    until(&space, "resolver-left", 1);
    assert_eq!(["panics", "fails", "left", "odd", "after"].map(many), [true, true, true, true, false]);
    assert_eq!(space.conflicts(9).unwrap().len(), 4, "they are for a person");
    drop(resolver);
    apart(&modes, "nobody");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(many("nobody"), "it is not registered any more");
}

/// Two values of a key whose writers had both seen a third.
fn apart_from(collection: &Collection, key: &str, before: &str) {
    collection.put(key, before).unwrap();
    let (_, seen) = collection.read(key).unwrap().expect("it was put");
    for value in ["eco", "sport"] {
        collection.put_seen(key, value, &seen).unwrap();
    }
}

/// What a resolver of a collection is told that all sides had seen, by the key.
fn ancestors_of(space: &Space, modes: &Collection, count: u64) -> BTreeMap<String, Option<String>> {
    let (tell, told) = std::sync::mpsc::channel();
    let resolver = modes.resolve_with(move |conflict| {
        let before = conflict.ancestor.as_ref().map(|side| side.value.clone());
        let before = before.map(|value| value.and_then(|value| value.to_bytes()).unwrap_or_default());
        let before = before.map(|bytes| String::from_utf8(bytes).unwrap());
        tell.send((conflict.key.as_ref().unwrap().to_string(), before)).unwrap();
        Ok(None)
    });
    until(space, "resolver-left", count);
    drop(resolver);
    told.try_iter().collect()
}

#[test]
fn a_resolver_is_told_what_all_sides_had_seen_if_anything() {
    let data = Scratch::new("embed-ancestor");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let modes = space.collection_of("modes", Policy::Mv).unwrap();
    apart_from(&modes, "early", "off");
    apart(&modes, "nothing");
    let told = ancestors_of(&space, &modes, 2);
    assert_eq!(told["early"].as_deref(), Some("off"), "the second to replace it had seen it, too");
    assert_eq!(told["nothing"], None, "neither had seen anything");
}

#[test]
fn a_resolver_that_never_returns_holds_nobody_up() {
    let data = Scratch::new("embed-stuck");
    drop(Replica::open(data.path()).unwrap());
    let settings = data.path().join(config::FILE_NAME);
    std::fs::write(settings, "conflicts: { resolver_timeout: 50ms }\n").unwrap();
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let modes = space.collection_of("modes", Policy::Mv).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let resolver = modes.resolve_with(move |conflict| {
        if conflict.key == Some(Key::plain("stuck")) {
            // Until the test is over.
            held.lock().unwrap().recv().unwrap_or_default();
        }
        Ok(Some(Settle::Discard))
    });
    let resolver = resolver.unwrap();
    apart(&modes, "stuck");
    until(&space, "resolver-late", 1);
    apart(&modes, "other");
    until(&space, "discarded", 1);
    modes.put("free", "1").unwrap();
    assert_eq!(space.conflicts(9).unwrap().len(), 1, "it stays");
    // What it decides too late is nobody's business any more.
    release.send(()).unwrap();
    apart(&modes, "next");
    until(&space, "discarded", 2);
    assert_eq!(space.conflicts(9).unwrap().len(), 1);
    drop((resolver, replica));
    assert!(Replica::open(data.path()).is_ok());
}

#[test]
fn what_is_so_already_is_answered_by_the_write_that_made_it_so() {
    let data = Scratch::new("embed-so");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let seen = space.collection_of("seen", Policy::GSet).unwrap();
    let tasks = space.collection_of("tasks", Policy::Map).unwrap();
    let tags = space.collection_of("tags", Policy::OrSet).unwrap();
    let modes = space.collection("modes").unwrap();
    let first = seen.add("s", "x").unwrap();
    let task = tasks.put("t", r#"{"a":1,"b":{"c":[]}}"#).unwrap();
    assert_eq!(seen.add("s", "x").unwrap(), first);
    assert_eq!(tasks.put("t", r#"{"b":{"c":[]},"a":1}"#).unwrap(), task);
    let patched = tasks.carry_out("t", crate::verbs::Verb::Merge(serde_json::json!({ "a": 1 })));
    assert_eq!(patched.unwrap(), task);
    assert_eq!(seen.add("s", "y").unwrap().seq, task.seq + 1, "nothing was written in between");
    // Two writes made it so: an empty commit stands for both.
    let more = tasks.put("t", r#"{"a":2,"b":{"c":[]}}"#).unwrap();
    assert!(tasks.put("t", r#"{"a":2,"b":{"c":[]}}"#).unwrap().seq > more.seq);
    // A fresh write of what is there wins over what others do meanwhile.
    assert_ne!(modes.put("k", "1").unwrap(), modes.put("k", "1").unwrap());
    assert_ne!(tags.add("s", "x").unwrap(), tags.add("s", "x").unwrap());
}

#[test]
fn a_resolver_looks_at_what_changes_and_not_at_what_is_open() {
    const OPEN: u64 = 300;
    let data = Scratch::new("embed-resolver-looks");
    let replica = Replica::open(data.path()).unwrap();
    let space = replica.space("mine").unwrap();
    let (modes, notes) =
        (space.collection_of("modes", Policy::Mv).unwrap(), space.collection("notes").unwrap());
    for value in ["eco", "sport"] {
        let mut transaction = space.begin().unwrap();
        for number in 0..OPEN {
            let verb = crate::verbs::Verb::PutSeen(value.into(), Context::default());
            transaction.carry_out(&modes, &format!("left-{number}"), &verb).unwrap();
        }
        transaction.commit().unwrap();
    }
    let resolver = modes.resolve_with(|conflict| match conflict.key.as_ref().map(ToString::to_string) {
        Some(key) if key.starts_with("left-") => Ok(None),
        _ => Ok(Some(Settle::Discard)),
    });
    let resolver = resolver.unwrap();
    until(&space, "resolver-left", OPEN);
    apart(&modes, "before");
    until(&space, "discarded", 1);
    let before = resolver.looks();
    // Found in the state, looked at to ask, and once more since it stays.
    assert!((OPEN..OPEN * 4).contains(&before), "{before} looks at {OPEN} keys");
    for number in 0..5 {
        notes.put("other", number.to_string()).unwrap();
        apart(&modes, &format!("new-{number}"));
        until(&space, "discarded", 2 + number);
    }
    // Each is seen with one value, with two, and settled.
    let looks = resolver.looks() - before;
    assert!(looks <= 5 * 4 + 1, "{looks} looks at 5 keys beside {OPEN} that are open");
    assert_eq!(space.conflicts(9_999).unwrap().len() as u64, OPEN);
}
