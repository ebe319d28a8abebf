//! The counter-examples that riak_dt's authors published, with the values they published, on whole replicas.

use crate::story::{A, B, C, Story, check, names};

/// There, an element that only one side had was kept although the other side had seen and removed it.
#[test]
fn disjoint_merge() {
    let story = |story: &mut Story| {
        story.add(A, &["bar"]);
        story.add(B, &["baz"]);
        story.merge(A, C);
        story.merge(B, C);
        story.remove(A, &["bar"]);
        story.merge(C, A);
        assert_eq!(story.value(A), names(&["baz"]));
    };
    check(story, &["baz"]);
}

/// There, an element that both sides had was kept, although each side had removed the other's add.
#[test]
fn present_but_removed() {
    let story = |story: &mut Story| {
        story.add(A, &["Z"]);
        story.merge(A, C);
        story.remove(A, &["Z"]);
        story.add(B, &["Z"]);
        story.merge(B, A);
        assert_eq!(story.value(A), names(&["Z"]), "the other add was not removed");
        story.remove(B, &["Z"]);
        assert_eq!((story.value(B), story.value(C)), (names(&[]), names(&["Z"])));
    };
    check(story, &[]);
}

/// There, an element stayed with no add left that would justify it.
#[test]
fn no_dots_left() {
    let story = |story: &mut Story| {
        story.add(A, &["Z"]);
        story.add(B, &["Z"]);
        story.merge(A, C);
        story.remove(A, &["Z"]);
        story.merge(B, A);
        story.remove(B, &["Z"]);
        story.merge(C, B);
        assert_eq!((story.value(A), story.value(B)), (names(&["Z"]), names(&["Z"])));
    };
    check(story, &[]);
}

/// There, a set's own clock forgot what it had seen when its field was removed, and lost another replica's add.
#[test]
fn clock() {
    let story = |story: &mut Story| {
        story.add(A, &["X/0"]);
        story.merge(A, B);
        story.add(B, &["X/1"]);
        story.remove(A, &["X/0"]);
        story.remove_field(A, "X/");
        story.add(A, &["X/2"]);
        story.merge(B, A);
        assert_eq!(story.value(A), names(&["X/1", "X/2"]));
    };
    check(story, &["X/1", "X/2"]);
}

/// There, removing a field and writing it again brought back the elements that an older copy still had.
#[test]
fn remfield() {
    let story = |story: &mut Story| {
        story.add(A, &["X/0"]);
        story.merge(A, B);
        story.remove(A, &["X/0"]);
        story.remove_field(A, "X/");
        story.add(A, &["X/2"]);
        assert_eq!(story.value(B), names(&["X/0"]));
        story.merge(B, A);
        assert_eq!(story.value(A), names(&["X/2"]));
    };
    check(story, &["X/2"]);
}

/// There, what a removed field's dot had known was dropped with it, and a later merge brought the element back.
#[test]
fn tombstone_remove() {
    let story = |story: &mut Story| {
        story.add(A, &["X/0"]);
        story.merge(A, B);
        story.remove_field(A, "X/");
        story.add(B, &["X/1"]);
        story.merge(B, A);
        assert_eq!(story.value(A), names(&["X/1"]), "the removal reaches what it saw and no more");
        story.add(B, &["X/2"]);
        story.merge(B, A);
        assert_eq!(story.value(A), names(&["X/1", "X/2"]));
    };
    check(story, &["X/1", "X/2"]);
}

/// There, merging three replicas gave another value for another grouping.
#[test]
fn assoc() {
    // What each of the three has done before they meet; then how they meet.
    let before = |story: &mut Story| {
        story.add(A, &["X/0"]);
        story.add(B, &["X/0"]);
        story.remove(B, &["X/0"]);
        story.merge(A, C);
        story.remove_field(C, "X/");
        assert_eq!(story.value(A), names(&["X/0"]));
    };
    for meetings in [[(B, A), (C, A)], [(C, B), (B, A)], [(C, A), (B, A)]] {
        let story = |story: &mut Story| {
            before(story);
            for (from, to) in meetings {
                story.merge(from, to);
            }
            assert_eq!(story.value(A), names(&[]), "{meetings:?}");
        };
        check(story, &[]);
    }
}

/// There, two fields written by one operation shared a dot, and removing one took the other along.
#[test]
fn dot_key() {
    let story = |story: &mut Story| {
        story.add(A, &["flag", "X/a"]);
        story.merge(A, B);
        story.remove(A, &["flag"]);
        story.merge(A, B);
        assert_eq!(story.value(B), names(&["X/a"]));
    };
    check(story, &["X/a"]);
}

/// There, a removal with the context of a replica that never came back might have waited for it for ever.
#[test]
fn dead_node_update() {
    let story = |story: &mut Story| {
        story.add(A, &["A"]);
        story.merge(A, B);
        story.add(B, &["B"]);
        // A client that saw both at the second replica, which is gone, removes one at the first.
        story.remove(A, &["A"]);
        assert_eq!(story.value(A), names(&[]));
        story.merge(A, C);
        assert_eq!(story.value(C), names(&[]));
    };
    // Should it come back after all, what it had added is there.
    check(story, &["B"]);
}

/// riak_dt 78: there, a merge kept an element that one side had removed, since its clock had not moved.
#[test]
fn removal_alone_moves_no_clock() {
    let story = |story: &mut Story| {
        story.add(A, &["foo"]);
        story.add(A, &["bar"]);
        story.add(B, &["baz"]);
        story.merge(A, C);
        story.merge(B, C);
        story.remove(A, &["bar"]);
        story.merge(C, A);
        assert_eq!(story.value(A), names(&["baz", "foo"]));
    };
    check(story, &["baz", "foo"]);
}
