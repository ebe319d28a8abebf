//! What two replicas say to each other when nothing goes wrong; the trace is the expectation.

use expect_test::{Expect, expect};
use sync::State;

use crate::model::{Model, writer_of};
use crate::pair::{Pair, describe, version};

fn check(pair: &mut Pair, expected: Expect) {
    pair.run();
    expected.assert_eq(&pair.take_trace());
}

fn with_writes(seed: u8, count: usize) -> Model {
    let mut model = Model::new(seed);
    for n in 0..count {
        model.write(&format!("{seed}.{n}"));
    }
    model.flush();
    model
}

#[test]
fn first_meeting_moves_what_each_lacks() {
    let mut pair = Pair::new(with_writes(1, 3), with_writes(2, 2));
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 [w1:3]
        b Open v1 [w2:2]
        a Cover [w2:0 Unknown]
        b Cover [w1:0 Unknown]
        a Commits [w1:1..3]
        b Ack v1 [w1:3]
        b Commits [w2:1..2]
        a Ack v1 [w2:2]
    "#]],
    );
    pair.assert_converged();
    pair.wait(2_000);
    assert_eq!(pair.states(), (State::Live, State::Live), "{}", pair.trace);
    check(
        &mut pair,
        expect![[r#"
        a Beat v1
        b Beat v1
    "#]],
    );
}

#[test]
fn new_commits_flow_while_live() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000).take_trace();
    pair.a.model.write("x");
    pair.b.model.write("y");
    check(
        &mut pair,
        expect![[r#"
        a Commits [w1:1]
        b Ack v1 [w1:1]
        b Commits [w2:1]
        a Ack v1 [w2:1]
    "#]],
    );
    pair.assert_converged();
    let (a, b) = pair.status();
    assert_eq!((a.lag_commits, b.lag_commits, a.unacked_len), (0, 0, 0));
    assert_eq!(a.acked[&writer_of(1)], 1);
    assert_eq!((a.sent_len, a.received_len), (b.received_len, b.sent_len));
}

#[test]
fn a_near_peer_computes_the_new_base() {
    let mut pair = Pair::new(with_writes(1, 2), Model::new(2));
    pair.run().take_trace();
    pair.b.model.fold();
    check(
        &mut pair,
        expect![[r#"
        b Handle v2 1 rows
        a Ack v2 []
    "#]],
    );
    pair.assert_converged();
    assert_eq!(pair.status().0.acked[&writer_of(1)], 2, "what a base covers was acknowledged all the same");
}

#[test]
fn after_months_the_newer_base_is_fetched_and_the_tail_is_not_kept_waiting() {
    let mut home = Model::new(2);
    for seed in 10..30 {
        let writer = writer_of(seed);
        home.key = crate::model::device(seed);
        home.commit(writer, "old", Vec::new(), Vec::new());
        home.fold();
    }
    home.key = crate::model::device(2);
    home.forget_history();
    let mut pair = Pair::new(with_writes(1, 4), home);
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 [w1:4]
        b Open v21 []
        a Cover []
        b Cover [w1:0 Unknown]
        a Commits [w1:1..4]
        b Ack v21 [w1:4]
        b Handle v21 fetch
        a Want v21 1
        b Data 1
        a Want v21 5
        b Data 5
        a Ack v21 []
    "#]],
    );
    pair.assert_converged();
    assert_eq!(version(&pair.a.model), 21);
}

#[test]
fn commits_made_on_a_newer_base_wait_for_it() {
    let mut newer = with_writes(2, 1);
    newer.fold();
    newer.write("after");
    newer.flush();
    let mut pair = Pair::new(Model::new(1), newer);
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 []
        b Open v2 [w2:2]
        a Cover [w2:0 Unknown]
        b Cover []
        b Handle v2 1 rows
        a Want v2 1
        b Data 1
        a Want v2 1
        b Data 1
        a Ack v2 []
        b Commits [w2:2]
        a Ack v2 [w2:2]
    "#]],
    );
    pair.assert_converged();
}

#[test]
fn equal_replicas_exchange_a_handful_of_frames_however_much_they_hold() {
    let mut model = with_writes(1, 500);
    model.fold();
    for n in 0..500 {
        model.write(&n.to_string());
    }
    model.flush();
    let mut other = model.clone();
    other.key = crate::model::device(2);
    let mut pair = Pair::new(model, other);
    pair.wait(2_000);
    assert_eq!(pair.states(), (State::Live, State::Live));
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v2 [w1:1000]
        b Open v2 [w1:1000]
        a Cover [w1:1000 Same]
        b Cover [w1:1000 Same]
        a Beat v2
        b Beat v2
    "#]],
    );
}

#[test]
fn beats_of_an_idle_pair_double_to_a_quarter_of_an_hour() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    let before = pair.frames;
    pair.wait(24 * 3_600_000);
    // Seven while doubling, then four an hour, from each side.
    assert!(pair.frames - before <= 2 * (7 + 24 * 4), "{} beats", pair.frames - before);
    assert_eq!(pair.states(), (State::Live, State::Live));
}

#[test]
fn who_holds_nothing_yet_offers_nothing_though_it_heard_of_the_ring() {
    let (mut joined, mut waiting) = (Model::fresh(1), Model::fresh(2));
    joined.ring_n = 1;
    let mut pair = Pair::new(joined.clone(), waiting.clone());
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v0 []
        b Open v0 []
        a Cover []
        b Cover []
    "#]],
    );
    // Who holds something does offer it, so that the record of the ring comes with it.
    let mut holder = Model::new(3);
    (holder.ring_n, waiting.ring_n) = (1, 0);
    let mut pair = Pair::new(holder, waiting);
    pair.run();
    assert!(pair.trace.contains("a Handle v1"), "{}", pair.trace);
}

#[test]
fn small_blobs_ride_along_and_large_ones_go_ahead() {
    let mut model = Model::new(1);
    let blobs = vec![vec![1; 2_000], vec![2; 1 << 20], vec![3; 64 << 10]];
    model.commit(model.writer, "with blobs", Vec::new(), blobs);
    let mut pair = Pair::new(model, Model::new(2));
    check(
        &mut pair,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 [w1:1]
        b Open v1 []
        a Cover []
        b Cover [w1:0 Unknown]
        a BlobData 1048576 bytes
        a Commits [w1:1] 2 blobs
        b Ack v1 [w1:1]
    "#]],
    );
    assert_eq!(pair.b.model.blobs_len(), 2_000 + (1 << 20) + (64 << 10));
}

#[test]
fn what_comes_after_a_computable_handle_does_not_wait_for_its_adoption() {
    let mut pair = Pair::new(Model::new(1), with_writes(2, 2));
    pair.run().take_trace();
    pair.b.model.fold();
    pair.b.model.write("after");
    pair.b.model.flush();
    let b = &mut pair.b;
    let handle = b.session.poll_transmit(pair.now, &mut b.model).expect("the base moved");
    let commits = b.session.poll_transmit(pair.now, &mut b.model).expect("and there is more");
    assert_eq!([describe(&handle), describe(&commits)], ["Handle v2 1 rows", "Commits [w2:3]"]);
    for bytes in [handle, commits] {
        pair.a.session.handle_bytes(pair.now, &bytes, &mut pair.a.model).expect("honest bytes");
    }
    pair.run();
    pair.assert_converged();
}

#[test]
fn a_tail_of_many_writers_is_opened_and_covered_in_pages() {
    let mut model = Model::new(1);
    model.pretend(33_000);
    let mut other = model.clone();
    other.key = crate::model::device(2);
    let mut pair = Pair::new(model, other);
    pair.wait(2_000);
    assert_eq!(pair.states(), (State::Live, State::Live));
    assert_eq!((pair.trace.matches("Open").count(), pair.trace.matches("Cover").count()), (6, 6));
}

#[test]
fn a_handle_with_too_much_to_compute_from_is_offered_for_fetching() {
    let mut home = Model::new(2);
    home.pretend(24_000);
    home.fold();
    let mut pair = Pair::new(Model::new(1), home);
    pair.run();
    assert!(pair.trace.contains("b Handle v2 fetch"));
    pair.assert_converged();
}

#[test]
fn a_third_replica_gets_everything_from_either() {
    let mut first = Pair::new(with_writes(1, 3), with_writes(2, 3));
    first.run();
    let mut second = Pair::new(first.b.model.clone(), Model::new(3));
    check(
        &mut second,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 [w2:3, w1:3]
        b Open v1 []
        a Cover []
        b Cover [w2:0 Unknown, w1:0 Unknown]
        a Commits [w2:1..3, w1:1..3]
        b Ack v1 [w2:3, w1:3]
    "#]],
    );
    let mut third = Pair::new(first.a.model.clone(), second.b.model.clone());
    check(
        &mut third,
        expect![[r#"
        a Hello
        b Hello
        a Open v1 [w2:3, w1:3]
        b Open v1 [w2:3, w1:3]
        a Cover [w2:3 Same, w1:3 Same]
        b Cover [w2:3 Same, w1:3 Same]
    "#]],
    );
    third.assert_converged();
}

#[test]
fn a_long_tail_travels_in_units_within_the_window() {
    let mut model = Model::new(1);
    let value = "v".repeat(1_000);
    for _ in 0..3_000 {
        model.write(&value);
    }
    let mut pair = Pair::new(model, Model::new(2));
    pair.run();
    pair.assert_converged();
    assert!(pair.trace.matches("Commits").count() >= 3_000 / 256, "{}", pair.trace);
}
