//! Every policy on two devices that write apart: what each shows once they have met, and which verbs it refuses.

use std::collections::BTreeMap;

use crdt::key::{self, Element};
use crdt::view::mv::Context;
use crdt::view::{Json, Manner};
use crdt::{Class, CollId, Descriptor, Policy};
use disk::MemoryDisk;
use replica::{
    CommitError, Committed, KeyRange, Late, Place, Rename, Retention, Sweeper, Transaction, Value, view_write,
};

use crate::space::{Local, NOW, Space, deliver, deliver_handle, deliver_tail, roots};

/// Two devices with one collection, and the home that knows of it.
pub(crate) struct Two {
    space: Space,
    pub(crate) coll: CollId,
    home: Local,
    pub(crate) a: Local,
    pub(crate) b: Local,
}

impl Two {
    pub(crate) fn new(policy: Policy) -> Two {
        Two::with(Manner::of(policy))
    }

    pub(crate) fn with(manner: Manner) -> Two {
        let space = Space::new(4);
        let [mut home, mut a, b] = [0, 1, 2].map(|n| space.create(n, &MemoryDisk::new(n as u64)));
        let mut descriptor = Descriptor::new("things", manner.policy).unwrap();
        descriptor.params = manner.params();
        let coll = descriptor.id();
        write(&mut a, |tx| tx.create_collection(&descriptor).map(drop)).unwrap();
        deliver_tail(NOW, &mut a, &mut home);
        let mut two = Two { space, coll, home, a, b };
        two.meet();
        two
    }

    /// Both hold what either wrote, and read alike.
    pub(crate) fn meet(&mut self) {
        let Two { a, b, .. } = self;
        deliver(NOW, a, b);
        deliver(NOW, b, a);
        a.checkpoint(NOW).unwrap();
        b.checkpoint(NOW).unwrap();
        assert_eq!(roots(a), roots(b));
    }

    /// Writes bytes from a device that does not know the collection, and so not what they should be; their dot.
    pub(crate) fn stranger(&mut self, coll: CollId, key: &[u8], bytes: &[u8]) -> crdt::Dot {
        let mut stranger = self.space.create(3, &MemoryDisk::new(9));
        let written = write(&mut stranger, |tx| tx.put(coll, key, bytes));
        deliver_tail(NOW, &mut stranger, &mut self.a);
        written.unwrap().dot
    }

    /// What both show at a name.
    pub(crate) fn shown(&self, name: &str) -> Option<Value> {
        let [one, other] = [&self.a, &self.b].map(|replica| shown(replica, self.coll, name));
        assert_eq!(one, other);
        one
    }
}

pub(crate) fn write(
    replica: &mut Local,
    verbs: impl FnOnce(&mut Transaction<MemoryDisk>) -> Result<(), CommitError>,
) -> Result<Committed, CommitError> {
    let mut transaction = replica.begin();
    verbs(&mut transaction)?;
    let committed = replica.commit(NOW, transaction, Class::Normal)?;
    replica.flush().unwrap();
    Ok(committed)
}

pub(crate) fn shown(replica: &Local, coll: CollId, name: &str) -> Option<Value> {
    let snapshot = replica.snapshot();
    let manner = snapshot.manner(coll).unwrap().unwrap();
    snapshot.entry(coll, manner, &key::plain(name.as_bytes())).unwrap().map(|entry| entry.value)
}

pub(crate) fn key(name: &str) -> Vec<u8> {
    key::plain(name.as_bytes())
}

fn text(text: &str) -> Element {
    Element::Text(text.to_owned())
}

pub(crate) fn object(fields: &[(&str, Json)]) -> BTreeMap<String, Json> {
    fields.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect()
}

fn bytes(value: &str) -> Option<Value> {
    Some(Value::Bytes(value.as_bytes().to_vec()))
}

#[test]
fn mv_shows_all_that_nobody_saw_and_a_put_replaces_what_its_writer_saw() {
    let mut two = Two::new(Policy::Mv);
    let coll = two.coll;
    let put = |value: &'static str| {
        move |tx: &mut Transaction<MemoryDisk>| tx.put(coll, &key("k"), value.as_bytes())
    };
    write(&mut two.a, put("a")).unwrap();
    write(&mut two.b, put("b")).unwrap();
    let seen_by_a = Context::of(&two.a.snapshot().live(coll, &key("k")).unwrap());
    two.meet();
    let Some(Value::Many(all)) = two.shown("k") else { panic!("two values") };
    assert_eq!(all.len(), 2);
    write(&mut two.b, |tx| tx.put_seen(coll, &key("k"), b"c", seen_by_a.clone())).unwrap();
    two.meet();
    let Some(Value::Many(mut all)) = two.shown("k") else { panic!("two values") };
    all.sort();
    assert_eq!(all, [b"b".to_vec(), b"c".to_vec()]);
    write(&mut two.a, put("d")).unwrap();
    two.meet();
    assert_eq!(two.shown("k"), Some(Value::Many(vec![b"d".to_vec()])));
}

#[test]
fn delete_of_an_mv_key_leaves_what_came_after_its_transaction_began() {
    let mut two = Two::new(Policy::Mv);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("k"), b"seen")).unwrap();
    let mut transaction = two.a.begin();
    write(&mut two.b, |tx| tx.put(coll, &key("k"), b"unseen")).unwrap();
    two.meet();
    transaction.delete(coll, &key("k")).unwrap();
    assert_eq!(transaction.get(coll, &key("k")).unwrap(), None);
    two.a.commit(NOW, transaction, Class::Normal).unwrap();
    two.a.flush().unwrap();
    two.meet();
    assert_eq!(two.shown("k"), Some(Value::Many(vec![b"unseen".to_vec()])));
    write(&mut two.b, |tx| tx.delete(coll, &key("k"))).unwrap();
    two.meet();
    assert_eq!(two.shown("k"), None);
}

#[test]
fn a_delete_with_a_context_takes_away_what_was_seen_and_nothing_else() {
    for policy in [Policy::Lww, Policy::Mv, Policy::Copies] {
        let mut two = Two::new(policy);
        let coll = two.coll;
        write(&mut two.a, |tx| tx.put(coll, &key("k"), b"seen")).unwrap();
        two.meet();
        let old = Context::of(&two.a.snapshot().live(coll, &key("k")).unwrap());
        write(&mut two.b, |tx| tx.put_seen(coll, &key("k"), b"unseen", Context::default())).unwrap();
        two.meet();
        write(&mut two.a, |tx| tx.delete_seen(coll, &key("k"), old.clone())).unwrap();
        two.meet();
        let left = two.b.snapshot().live(coll, &key("k")).unwrap();
        assert_eq!(left.len(), 1, "{policy:?}: {left:?}");
        write(&mut two.b, |tx| tx.delete_seen(coll, &key("k"), old.clone())).unwrap();
        write(&mut two.b, |tx| tx.put(coll, &key("k"), b"newer")).unwrap();
        two.meet();
        write(&mut two.a, |tx| tx.delete_seen(coll, &key("k"), Context::of(&left))).unwrap();
        two.meet();
        assert_eq!(two.b.snapshot().live(coll, &key("k")).unwrap().len(), 1, "{policy:?}");
    }
    for policy in [Policy::Map, Policy::OrSet, Policy::GCounter] {
        let mut two = Two::new(policy);
        let coll = two.coll;
        let refused = write(&mut two.a, |tx| tx.delete_seen(coll, &key("k"), Context::default()));
        assert!(matches!(refused, Err(CommitError::WrongVerb { .. })), "{policy:?}: {refused:?}");
    }
}

#[test]
fn a_copy_goes_by_its_name_where_the_context_names_it() {
    let mut two = Two::new(Policy::Copies);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("k"), b"a")).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("k"), b"b")).unwrap();
    two.meet();
    let live = two.a.snapshot().live(coll, &key("k")).unwrap();
    let copies = crdt::view::copies::copies(&key("k"), &live).unwrap();
    let winner = live.iter().find(|live| live.dot != copies[0].live.dot).cloned().unwrap();
    for (seen, left) in [(winner, 2), (copies[0].live.clone(), 1)] {
        write(&mut two.a, |tx| tx.delete_seen(coll, &copies[0].key, Context::of(&[seen]))).unwrap();
        assert_eq!(two.a.snapshot().live(coll, &key("k")).unwrap().len(), left);
    }
}

#[test]
fn one_transaction_deletes_copies_and_writes_to_their_key_in_any_order() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Step {
        Put,
        Gone(usize),
    }
    use Step::{Gone, Put};
    let cases: [(&[Step], &[&[u8]]); 4] = [
        (&[Gone(0), Gone(1)], &[b"c"]),
        (&[Put, Gone(0)], &[b"a", b"new"]),
        (&[Gone(0), Put], &[b"a", b"new"]),
        (&[Gone(1), Put, Gone(0)], &[b"new"]),
    ];
    for (steps, expected) in cases {
        let mut two = Two::new(Policy::Copies);
        let coll = two.coll;
        for value in [b"a", b"b", b"c"] {
            write(&mut two.a, |tx| tx.put_seen(coll, &key("k"), value, Context::default())).unwrap();
        }
        let live = two.a.snapshot().live(coll, &key("k")).unwrap();
        let copies = crdt::view::copies::copies(&key("k"), &live).unwrap();
        let names: Vec<Vec<u8>> = copies.into_iter().map(|copy| copy.key).collect();
        write(&mut two.a, |tx| {
            steps.iter().try_for_each(|step| match step {
                Put => tx.put(coll, &key("k"), b"new"),
                Gone(number) => tx.delete(coll, &names[*number]),
            })
        })
        .unwrap();
        two.meet();
        let left = two.b.snapshot().live(coll, &key("k")).unwrap();
        let mut left: Vec<Vec<u8>> =
            left.iter().map(|live| two.b.snapshot().value(&live.payload).unwrap()).collect();
        left.sort();
        assert_eq!(left, expected, "{steps:?}");
    }
}

#[test]
fn mv_refuses_a_context_that_is_ahead_of_the_replica() {
    let mut two = Two::new(Policy::Mv);
    let coll = two.coll;
    let ahead = write(&mut two.a, |tx| tx.put(coll, &key("k"), b"a")).unwrap();
    let seen = Context::of(&two.a.snapshot().live(coll, &key("k")).unwrap());
    let refused = write(&mut two.b, |tx| tx.put_seen(coll, &key("k"), b"b", seen.clone()));
    assert!(matches!(refused, Err(CommitError::NotSeen { dot }) if dot == ahead.dot));
    let refused = write(&mut two.b, |tx| tx.delete_seen(coll, &key("k"), seen));
    assert!(matches!(refused, Err(CommitError::NotSeen { dot }) if dot == ahead.dot));
}

#[test]
fn copies_stand_beside_their_key_until_they_are_deleted_one_by_one() {
    let mut two = Two::new(Policy::Copies);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("k"), b"a")).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("k"), b"b")).unwrap();
    two.meet();
    let snapshot = two.a.snapshot();
    let live = snapshot.live(coll, &key("k")).unwrap();
    let copies = crdt::view::copies::copies(&key("k"), &live).unwrap();
    assert_eq!(copies.len(), 1);
    let copy = copies[0].key.clone();
    let refused = write(&mut two.a, |tx| tx.put(coll, &copy, b"x"));
    assert!(matches!(refused, Err(CommitError::CopyName { .. })));
    let winner = two.shown("k");
    write(&mut two.a, |tx| tx.delete(coll, &copy)).unwrap();
    two.meet();
    assert_eq!(two.shown("k"), winner);
    assert_eq!(two.a.snapshot().live(coll, &key("k")).unwrap().len(), 1);
}

#[test]
fn counters_count_each_increment_once_whoever_made_it() {
    for (policy, minus) in [(Policy::GCounter, 0), (Policy::PnCounter, 2)] {
        let mut two = Two::new(policy);
        let coll = two.coll;
        write(&mut two.a, |tx| tx.count(coll, &key("k"), 3, minus)).unwrap();
        write(&mut two.a, |tx| {
            tx.count(coll, &key("k"), 4, 0)?;
            tx.count(coll, &key("k"), 1, 0)
        })
        .unwrap();
        write(&mut two.b, |tx| tx.count(coll, &key("k"), 10, minus)).unwrap();
        two.meet();
        assert_eq!(two.shown("k"), Some(Value::Count(18 - 2 * i128::from(minus))));
        assert_eq!(two.a.snapshot().live(coll, &key("k")).unwrap().len(), 2);
    }
}

#[test]
fn increments_of_one_group_meet_in_the_total_that_is_pending() {
    let mut two = Two::new(Policy::GCounter);
    let coll = two.coll;
    for _ in 0..5 {
        let mut transaction = two.a.begin();
        transaction.count(coll, &key("k"), 1, 0).unwrap();
        two.a.commit(NOW, transaction, Class::Normal).unwrap();
    }
    two.a.flush().unwrap();
    assert_eq!(shown(&two.a, coll, "k"), Some(Value::Count(5)));
    let refused = write(&mut two.a, |tx| tx.count(coll, &key("k"), u64::MAX, 0));
    assert!(matches!(refused, Err(CommitError::CountTooLarge)));
    let refused = write(&mut two.a, |tx| tx.count(coll, &key("k"), 0, 1));
    assert!(matches!(refused, Err(CommitError::WrongVerb { verb: "decrement", .. })));
}

#[test]
fn sets_differ_in_what_a_removal_means() {
    let elements = |names: &[&str]| Some(Value::Set(names.iter().map(|name| vec![text(name)]).collect()));
    for policy in [Policy::OrSet, Policy::GSet, Policy::TwoPhaseSet] {
        let mut two = Two::new(policy);
        let coll = two.coll;
        for name in ["x", "y"] {
            write(&mut two.a, |tx| tx.add(coll, &text("s"), &[text(name)])).unwrap();
        }
        two.meet();
        let removed = write(&mut two.a, |tx| tx.remove(coll, &text("s"), &[text("x")]));
        write(&mut two.b, |tx| tx.add(coll, &text("s"), &[text("x")])).unwrap();
        two.meet();
        let expected = match policy {
            // The add that nobody had seen survives the removal.
            Policy::OrSet => elements(&["x", "y"]),
            Policy::TwoPhaseSet => elements(&["y"]),
            _ => {
                assert!(matches!(removed, Err(CommitError::WrongVerb { verb: "remove", .. })));
                elements(&["x", "y"])
            }
        };
        assert_eq!(two.shown("s"), expected, "{policy}");
        assert_eq!(two.shown("other"), None);
        if policy == Policy::TwoPhaseSet {
            let again = write(&mut two.b, |tx| tx.add(coll, &text("s"), &[text("x")]));
            assert!(matches!(again, Err(CommitError::StaysRemoved { .. })));
        }
    }
}

#[test]
fn add_that_is_there_already_writes_nothing_to_a_set_that_grows() {
    let mut two = Two::new(Policy::GSet);
    let coll = two.coll;
    for _ in 0..2 {
        write(&mut two.a, |tx| tx.add(coll, &text("s"), &[text("x")])).unwrap();
    }
    let key = crdt::view::set::key_of(&text("s"), &[text("x")]).unwrap();
    assert_eq!(two.a.snapshot().live(coll, &key).unwrap().len(), 1);
}

#[test]
fn rename_is_one_step_and_a_concurrent_edit_stays_at_the_old_name() {
    let mut two = Two::new(Policy::Lww);
    let coll = two.coll;
    let rename = |how| move |tx: &mut Transaction<MemoryDisk>| tx.rename(coll, &key("old"), &key("new"), how);
    let missing = write(&mut two.a, rename(Rename::default()));
    assert!(matches!(missing, Err(CommitError::Missing { .. })));
    write(&mut two.a, |tx| tx.put(coll, &key("old"), b"1")).unwrap();
    two.meet();
    write(&mut two.a, rename(Rename::default())).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("old"), b"2")).unwrap();
    two.meet();
    assert_eq!((two.shown("old"), two.shown("new")), (bytes("2"), bytes("1")));
    let taken = write(&mut two.a, rename(Rename::default()));
    assert!(matches!(taken, Err(CommitError::Taken { .. })));
    write(&mut two.a, rename(Rename { force: true, resolve: false })).unwrap();
    assert_eq!(shown(&two.a, coll, "new"), bytes("2"));
    assert_eq!(shown(&two.a, coll, "old"), None);
}

#[test]
fn rename_of_what_is_disputed_needs_a_word_and_documents_move_whole() {
    let mut two = Two::new(Policy::Copies);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("old"), b"1")).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("old"), b"2")).unwrap();
    two.meet();
    let disputed = write(&mut two.a, |tx| tx.rename(coll, &key("old"), &key("new"), Rename::default()));
    assert!(matches!(disputed, Err(CommitError::Disputed { .. })));
    let how = Rename { force: false, resolve: true };
    write(&mut two.a, |tx| tx.rename(coll, &key("old"), &key("new"), how)).unwrap();
    assert_eq!(shown(&two.a, coll, "old"), None);

    let mut two = Two::new(Policy::Map);
    let coll = two.coll;
    let task = object(&[("n", Json::Int(1)), ("in", Json::Object(object(&[("x", Json::Null)])))]);
    write(&mut two.a, |tx| tx.put_document(coll, &key("old"), &task)).unwrap();
    write(&mut two.a, |tx| tx.rename(coll, &key("old"), &key("new"), Rename::default())).unwrap();
    two.meet();
    assert_eq!((two.shown("old"), two.shown("new")), (None, Some(Value::Document(task))));
    let counter = Two::new(Policy::PnCounter);
    let mut transaction = counter.a.begin();
    let refused = transaction.rename(counter.coll, &key("old"), &key("new"), Rename::default());
    assert!(matches!(refused, Err(CommitError::WrongVerb { verb: "rename", .. })));
}

#[test]
fn prefix_delete_takes_what_is_known_and_leaves_what_was_written_meanwhile() {
    let mut two = Two::new(Policy::Lww);
    let coll = two.coll;
    for name in ["a/1", "a/2", "b"] {
        write(&mut two.a, |tx| tx.put(coll, &key(name), b"x")).unwrap();
    }
    two.meet();
    write(&mut two.b, |tx| tx.put(coll, &key("a/3"), b"y")).unwrap();
    let range = KeyRange::prefix(&key::prefix_of_text("a/"));
    let mut taken = 0;
    write(&mut two.a, |tx| {
        taken = tx.delete_range(coll, &range)?;
        Ok(())
    })
    .unwrap();
    assert_eq!(taken, 2);
    two.meet();
    let left = ["a/1", "a/2", "a/3", "b"].map(|name| two.shown(name).is_some());
    assert_eq!(left, [false, false, true, true]);
}

#[test]
fn home_switches_a_view_and_the_merged_state_stays() {
    let mut two = Two::new(Policy::Lww);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("k"), b"a")).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("k"), b"b")).unwrap();
    two.meet();
    let before = two.a.snapshot().live(coll, &key("k")).unwrap();
    let Two { space, home, a, b, .. } = &mut two;
    deliver_tail(NOW, a, home);
    deliver_tail(NOW, b, home);
    space.write(home, vec![view_write(coll, &Manner::of(Policy::Mv))]);
    deliver_handle(NOW, home, a);
    deliver_handle(NOW, home, b);
    assert!(matches!(two.shown("k"), Some(Value::Many(all)) if all.len() == 2));
    assert_eq!(two.a.snapshot().live(coll, &key("k")).unwrap(), before);
    let Two { space, home, a, .. } = &mut two;
    // A view that would read something else than what is stored there says nothing.
    space.write(home, vec![view_write(coll, &Manner::of(Policy::GCounter))]);
    deliver_handle(NOW, home, a);
    assert_eq!(two.a.snapshot().manner(coll).unwrap(), Some(Manner::of(Policy::Lww)));
}

#[test]
fn what_another_view_makes_lose_is_kept_from_then_on_for_as_long_as_any_loser() {
    let mut two = Two::new(Policy::Mv);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.put(coll, &key("k"), b"a")).unwrap();
    write(&mut two.b, |tx| tx.put(coll, &key("k"), b"b")).unwrap();
    two.meet();
    let Two { space, home, a, b, .. } = &mut two;
    deliver_tail(NOW, a, home);
    deliver_tail(NOW, b, home);
    let hours = |n: u64| NOW.plus_ms(n * 3_600_000);
    let week = Retention { max_age_ms: Some(7 * 24 * 3_600_000), max_count: None };
    space.write(home, vec![week.write(coll)]);
    let mut sweeper = Sweeper::default();
    let place = [Place { coll, key: key("k") }];
    let mut look = |home: &Local, late: Late, now| {
        let sweep = sweeper.look(&home.snapshot(), &place, late, now).unwrap();
        (sweep.spent.len(), sweep.late)
    };
    // For a month both are shown.
    let mut late = Late::default();
    for hour in 0..24 * 30 {
        let (spent, found) = look(home, late, hours(hour));
        assert_eq!(spent, 0);
        late = found;
    }
    space.write(home, vec![view_write(coll, &Manner::of(Policy::Lww))]);
    let since = 24 * 30;
    for hour in since..since + 24 * 7 {
        let (spent, found) = look(home, late, hours(hour));
        assert_eq!(spent, 0, "it has lost for {} hours", hour - since);
        late = found;
    }
    assert_eq!(look(home, late, hours(since + 24 * 7)).0, 1);
}

#[test]
fn malformed_payloads_are_passed_over_by_every_replica() {
    let mut two = Two::new(Policy::PnCounter);
    let coll = two.coll;
    write(&mut two.a, |tx| tx.count(coll, &key("k"), 5, 0)).unwrap();
    // A device that does not know the collection takes it for a register by its rule.
    let stranger = Descriptor::new("strangers", Policy::PnCounter).unwrap().id();
    write(&mut two.b, |tx| tx.put(stranger, &key("k"), b"junk")).unwrap();
    two.meet();
    assert_eq!(two.shown("k"), Some(Value::Count(5)));
    for replica in [&two.a, &two.b] {
        let snapshot = replica.snapshot();
        assert_eq!(snapshot.live(stranger, &key("k")).unwrap().len(), 1);
        assert_eq!(snapshot.entry(stranger, Manner::of(Policy::PnCounter), &key("k")).unwrap(), None);
    }
}
