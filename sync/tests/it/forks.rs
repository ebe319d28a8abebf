//! One writer that is two: both sides of a session end with one history and the proof, and the session goes on.

use std::collections::BTreeMap;

use crdt::Dot;
use expect_test::expect;
use proptest::prelude::*;
use sync::frame::ForkFrame;
use sync::{ByeCode, Error, Frame, NackCode, State, Store};

use crate::model::{Model, writer_of};
use crate::pair::Pair;
use crate::samples;

/// A device and a copy of it, after so many commits together and so many apart.
fn copies(together: usize, one: usize, other: usize) -> (Model, Model) {
    let mut a = Model::new(1);
    for n in 0..together {
        a.write(&format!("together {n}"));
    }
    let mut b = a.clone();
    for n in 0..one {
        a.write(&format!("one {n}"));
    }
    for n in 0..other {
        b.write(&format!("other {n}"));
    }
    a.flush();
    b.flush();
    (a, b)
}

fn count(trace: &str, what: &str) -> usize {
    trace.lines().filter(|line| line[2..].starts_with(what)).count()
}

#[track_caller]
fn assert_settled(pair: &mut Pair, proven: u64) {
    pair.wait(60_000);
    pair.assert_converged();
    for model in [&pair.a.model, &pair.b.model] {
        assert_eq!(model.evidence().against(&writer_of(1)), Some(proven), "{}", pair.trace);
        assert_eq!(model.seen(&writer_of(1)), (proven - 1).max(model.anchored(&writer_of(1))));
    }
    assert_eq!(pair.states(), (State::Live, State::Live), "{}", pair.trace);
}

#[test]
fn two_histories_of_one_writer_end_as_one_and_a_proof() {
    let (a, b) = copies(1, 1, 1);
    let mut pair = Pair::new(a, b);
    pair.run();
    expect![[r#"
        a Hello
        b Hello
        a Open v1 [w1:2]
        b Open v1 [w1:2]
        a Ask w1:1
        b Shown w1:1..2
        a Open v1 [w1:1]
        b Ask w1:1
        a Proof w1:2
        b Open v1 [w1:1]
        a Shown w1:1..1
        b Cover [w1:1 Same]
        a Cover [w1:1 Same]
    "#]]
    .assert_eq(&pair.take_trace());
    assert_settled(&mut pair, 2);
}

#[test]
fn first_commit_that_differs_is_found_far_below_both_tips() {
    for (together, one, other) in [(0, 1, 1), (0, 700, 3), (300, 1, 600), (513, 300, 512)] {
        let (a, b) = copies(together, one, other);
        let mut pair = Pair::new(a, b);
        assert_settled(&mut pair, together as u64 + 1);
        let asked = count(&pair.trace, "Ask");
        assert!(asked <= 2 * 11, "{asked} questions for {together}, {one}, {other}");
    }
}

#[test]
fn fork_that_shows_only_when_commits_come_is_searched_as_well() {
    // The copies have nothing that an Open lists when the session begins.
    let (a, b) = copies(0, 0, 0);
    let mut pair = Pair::new(a, b);
    pair.wait(2_000);
    pair.a.model.write("one");
    pair.b.model.write("other");
    assert_settled(&mut pair, 1);
    assert_eq!(pair.status().0.end, None);
}

#[test]
fn whoever_built_on_what_is_dropped_is_dropped_too_and_everything_else_goes_on() {
    let (mut a, mut b) = copies(2, 3, 3);
    a.commit(writer_of(5), "stands by itself", Vec::new(), Vec::new());
    let shaky = b.commit(writer_of(6), "built on the fork", vec![Dot::new(writer_of(1), 4)], Vec::new());
    let firm = b.commit(writer_of(7), "built on what counts", vec![Dot::new(writer_of(1), 2)], Vec::new());
    let mut pair = Pair::new(a, b);
    assert_settled(&mut pair, 3);
    for model in [&pair.a.model, &pair.b.model] {
        // The dot it needs never comes, so nobody waits for it any more.
        assert_eq!((model.seen(&shaky.writer), model.seen(&firm.writer)), (1, 1));
        assert_eq!(model.seen(&writer_of(5)), 1);
    }
}

#[test]
fn proof_goes_before_tails_once_a_session() {
    let (a, b) = copies(2, 3, 4);
    let mut pair = Pair::new(a, b);
    pair.run();
    // Somebody else holds one of the branches, and nobody of the two that parted.
    let (_, mut c) = copies(2, 0, 4);
    c.key = crate::model::device(3);
    let mut pair = Pair::new(pair.a.model, c);
    pair.a.model.commit(writer_of(5), "news", Vec::new(), Vec::new());
    assert_settled(&mut pair, 3);
    assert_eq!(count(&pair.trace, "Proof"), 1, "{}", pair.trace);
    let place = |what: &str| pair.trace.lines().position(|line| line[2..].starts_with(what));
    assert!(place("Proof") < place("Commits"), "{}", pair.trace);
    pair.take_trace();
    pair.reconnect();
    assert_settled(&mut pair, 3);
    assert_eq!(count(&pair.trace, "Proof"), 1, "the other side knows it then: {}", pair.trace);
    assert_eq!(count(&pair.trace, "Ask"), 0, "{}", pair.trace);
}

#[test]
fn branch_that_a_home_anchored_stays_and_the_other_one_goes_with_proof() {
    for has_archive in [false, true] {
        let (mut a, b) = copies(2, 4, 3);
        a.fold();
        a.has_archive = has_archive;
        a.forget_history();
        let mut pair = Pair::new(a, b);
        pair.wait(60_000);
        pair.assert_converged();
        assert_eq!(pair.b.model.seen(&writer_of(1)), 6);
        // The author that loses its branch knows from where on it does.
        assert_eq!(pair.b.model.evidence().against(&writer_of(1)), Some(3), "{}", pair.trace);
        let place = |what: &str| pair.trace.lines().position(|line| line.starts_with(what));
        let first = |what: &[&str]| what.iter().filter_map(|what| place(what)).min();
        assert!(first(&["a Proof", "b Proof"]) < place("a Handle"), "{}", pair.trace);
        assert_eq!(pair.states(), (State::Live, State::Live), "{}", pair.trace);
    }
}

#[test]
fn archive_is_not_read_again_and_again_for_what_a_peer_says() {
    let mut home = Model::new(2);
    let device = crate::model::device(1).id();
    let writer = |run: u8| crdt::WriterId::new(device, [100 + run; 7], crdt::Class::Normal);
    for run in 0..40 {
        home.commit(writer(run), "one", Vec::new(), Vec::new());
        home.commit(writer(run), "two", Vec::new(), Vec::new());
    }
    home.fold();
    home.has_archive = true;
    let mut pair = Pair::new(Model::new(1), home);
    for run in 0..40 {
        pair.a.model.commit(writer(run), "another one", Vec::new(), Vec::new());
    }
    pair.run();
    let found = pair.b.model.evidence().len();
    assert!((1..=16).contains(&found), "{found}");
}

#[test]
fn history_that_nobody_can_show_is_kept_back_and_the_session_goes_on() {
    let (a, mut b) = copies(2, 1, 4);
    b.is_forgetful = true;
    b.commit(writer_of(7), "news", Vec::new(), Vec::new());
    let mut pair = Pair::new(a, b);
    pair.a.model.commit(writer_of(5), "other news", Vec::new(), Vec::new());
    pair.wait(60_000);
    assert_eq!(
        (pair.a.model.seen(&writer_of(7)), pair.b.model.seen(&writer_of(5))),
        (1, 1),
        "{}",
        pair.trace
    );
    let (a, b) = pair.status();
    assert_eq!((a.end, b.end), (None, None));
    assert!(a.nacks.iter().chain(&b.nacks).any(|nack| nack.code == NackCode::Fork), "{}", pair.trace);
    assert!(pair.frames < 100, "it is no storm: {}", pair.trace);
}

#[test]
fn headers_that_do_not_verify_close_the_session() {
    let (a, b) = copies(2, 1, 4);
    let mut pair = Pair::new(a, b);
    let mut refused = None;
    for _ in 0..50 {
        while let Some(bytes) = pair.a.session.poll_transmit(pair.now, &mut pair.a.model) {
            // The liar looks for nothing itself.
            let is_shown =
                matches!(Frame::decode(bytes[4], &bytes[5..]), Ok(Frame::Fork(ForkFrame::Shown { .. })));
            if !is_shown {
                pair.b.session.handle_bytes(pair.now, &bytes, &mut pair.b.model).expect("honest bytes");
            }
        }
        while let Some(mut bytes) = pair.b.session.poll_transmit(pair.now, &mut pair.b.model) {
            if let Ok(Frame::Fork(ForkFrame::Shown { writer, seq, shown: Some(mut shown) })) =
                Frame::decode(bytes[4], &bytes[5..])
            {
                shown.strand.seal.signature[3] ^= 1;
                bytes = Frame::Fork(ForkFrame::Shown { writer, seq, shown: Some(shown) }).encode();
            }
            refused = pair.a.session.handle_bytes(pair.now, &bytes, &mut pair.a.model).err().or(refused);
        }
    }
    assert_eq!(refused.map(|error| error.code()), Some(ByeCode::Forged));
    assert_eq!(pair.a.model.evidence().len(), 0);
    assert_eq!(pair.a.model.seen(&writer_of(1)), 3, "nothing was dropped for it");
}

#[test]
fn evidence_that_is_none_closes_the_session() {
    let Some(Frame::Fork(ForkFrame::Proof(evidence))) = samples::forks().pop() else {
        panic!("the last sample is a proof")
    };
    let crdt::Evidence::Fork(mut fork) = (*evidence).clone() else { panic!("of a fork") };
    fork.other.seal.signature[0] ^= 1;
    let forged = Frame::Fork(ForkFrame::Proof(std::sync::Arc::new(crdt::Evidence::Fork(fork))));
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    let refused = pair.a.session.handle_bytes(pair.now, &forged.encode(), &mut pair.a.model);
    assert!(matches!(refused, Err(Error::Store(_))));
    assert_eq!(pair.status().0.end.map(|end| end.code), Some(ByeCode::Forged));
    // The true one is believed from anybody, at any time.
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    let proof = Frame::Fork(ForkFrame::Proof(evidence)).encode();
    pair.a.session.handle_bytes(pair.now, &proof, &mut pair.a.model).expect("it is true");
    assert_eq!(pair.a.model.evidence().len(), 1);
}

#[test]
fn questions_are_bounded_and_answers_to_nothing_are_ignored() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    let answer = samples::forks().remove(1).encode();
    pair.a.session.handle_bytes(pair.now, &answer, &mut pair.a.model).expect("nobody asked");
    assert_eq!(pair.a.session.poll_transmit(pair.now, &mut pair.a.model), None);
    let question = Frame::Fork(ForkFrame::Ask { writer: writer_of(1), seq: 1 }).encode();
    let bytes: Vec<u8> = std::iter::repeat_n(question, 2049).flatten().collect();
    let refused = pair.a.session.handle_bytes(pair.now, &bytes, &mut pair.a.model);
    assert!(matches!(refused, Err(Error::Flood { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    Write { by: usize, of: u8 },
    Meet { one: usize, other: usize },
    Anchor,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // The first two are copies of one device; everybody writes for another device besides.
    let write = (0..4_usize, 0..2_u8).prop_map(|(by, of)| Step::Write { by, of });
    let meet = (0..4_usize, 0..4_usize).prop_map(|(one, other)| Step::Meet { one, other });
    let step = prop_oneof![4 => write, 3 => meet, 1 => Just(Step::Anchor)];
    proptest::collection::vec(step, 1..30)
}

fn meet(models: &mut [Model; 4], one: usize, other: usize) {
    if one == other {
        return;
    }
    let mut pair = Pair::new(models[one].clone(), models[other].clone());
    pair.wait(40_000);
    (models[one], models[other]) = (pair.a.model, pair.b.model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forked_stores_converge_whoever_meets_whom(steps in steps()) {
        let copy = Model::new(1);
        let mut models = [copy.clone(), copy, Model::new(3), Model::new(4)];
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write { by, of } => {
                    let model = &mut models[by];
                    let own = if of == 0 { model.writer } else { writer_of(10 + by as u8) };
                    let seen: BTreeMap<_, _> = model.tail().into_iter().map(|row| (row.0, row.1)).collect();
                    let deps = seen.into_iter().filter(|(writer, _)| *writer != own);
                    let deps = deps.map(|(writer, seq)| Dot::new(writer, seq)).collect();
                    model.write_unless_cut(own, &format!("{by} {n}"), deps);
                }
                Step::Meet { one, other } => meet(&mut models, one, other),
                Step::Anchor => models[3].fold(),
            }
        }
        for _ in 0..3 {
            for (one, other) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
                meet(&mut models, one, other);
            }
        }
        for model in &models[1..] {
            prop_assert_eq!(models[0].contents(), model.contents());
        }
    }
}
