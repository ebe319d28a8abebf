//! The laws that every set of commits keeps, checked against a naive reference.

mod forks;
mod history;
mod reference;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use crate::commit::Commit;
use crate::fold::{self, Effect, effects};
use crate::id::Dot;
use crate::vector::Vector;
use forks::World;
use history::{History, Step, steps};
use reference::State;

type Commits = Vec<Arc<Commit>>;

fn apply<'a>(state: &mut State, effects: impl Iterator<Item = Effect<'a>>) {
    for effect in effects {
        match effect {
            Effect::Remove(key) => drop(state.remove(&key)),
            Effect::Put(key, hlc, payload) => drop(state.insert(key, (hlc, payload.clone()))),
        }
    }
}

/// One commit after another, as a replica does it: what was seen is passed over.
fn fold_in_order(state: &mut State, seen: &mut Vector, commits: &[Arc<Commit>]) {
    for commit in commits {
        if seen.covers(&commit.dot()) {
            continue;
        }
        assert!(commit.needs().all(|dot| seen.covers(dot)), "{commit:?} is not ready");
        apply(state, effects(commit));
        seen.insert(commit.header().writer, commit.tip());
    }
}

fn folded(commits: &[Arc<Commit>]) -> State {
    let mut state = State::new();
    fold_in_order(&mut state, &mut Vector::new(), commits);
    state
}

fn folded_as_batch(base: &State, commits: &[Arc<Commit>]) -> State {
    let mut state = base.clone();
    apply(&mut state, fold::batch_effects(commits.iter().map(Arc::as_ref)));
    state
}

/// The same commits in another order in which each is ready when it comes.
fn causal_shuffle(commits: &[Arc<Commit>], choices: &[usize]) -> Commits {
    let mut seen = Vector::new();
    let mut left: Commits = commits.to_vec();
    let mut shuffled = Commits::new();
    while !left.is_empty() {
        let ready = |commit: &Arc<Commit>| {
            commit.header().seq == seen.seq(&commit.header().writer) + 1
                && commit.needs().all(|dot| seen.covers(dot))
        };
        let ready: Vec<usize> = (0..left.len()).filter(|i| ready(&left[*i])).collect();
        let choice = choices[shuffled.len() % choices.len()];
        let commit = left.remove(ready[choice % ready.len()]);
        seen.insert(commit.header().writer, commit.tip());
        shuffled.push(commit);
    }
    shuffled
}

fn shuffle(commits: &[Arc<Commit>], choices: &[usize]) -> Commits {
    let mut left: Commits = commits.to_vec();
    let take = |i: usize| left.remove(choices[i % choices.len()] % left.len());
    (0..commits.len()).map(take).collect()
}

fn union(a: &[Arc<Commit>], b: &[Arc<Commit>]) -> Commits {
    let held: BTreeSet<Dot> = a.iter().map(|commit| commit.dot()).collect();
    let new = b.iter().filter(|commit| !held.contains(&commit.dot()));
    a.iter().chain(new).cloned().collect()
}

fn vector(commits: &[Arc<Commit>]) -> Vector {
    commits.iter().map(|commit| (commit.header().writer, commit.tip())).collect()
}

/// The join of two trees without tombstones: what one side lacks is kept only where it never saw it.
fn join(a: (&State, &Vector), b: (&State, &Vector)) -> State {
    let kept = |own: &State, other: &State, seen: &Vector| -> State {
        let keeps = |key: &Vec<u8>| {
            let (_, _, dot) = fold::split_physical(key).expect("states hold physical keys");
            other.contains_key(key) || !seen.covers(&dot)
        };
        own.iter().filter(|(key, _)| keeps(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut joined = kept(a.0, b.0, b.1);
    joined.extend(kept(b.0, a.0, a.1));
    joined
}

fn choices() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<usize>(), 1..60)
}

fn history() -> impl Strategy<Value = History> {
    steps().prop_map(|steps: Vec<Step>| History::play(&steps))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_replica_holds_what_was_written_minus_what_was_superseded(history in history()) {
        for held in history.held() {
            prop_assert_eq!(folded(held), reference::state(held));
        }
    }

    #[test]
    fn any_causal_order_gives_the_same_state(history in history(), choices in choices()) {
        for held in history.held() {
            prop_assert_eq!(folded(&causal_shuffle(held, &choices)), folded(held));
        }
    }

    #[test]
    fn batch_in_any_order_gives_the_same_state(history in history(), choices in choices()) {
        for held in history.held() {
            prop_assert_eq!(folded_as_batch(&State::new(), &shuffle(held, &choices)), folded(held));
        }
    }

    #[test]
    fn twice_is_once(history in history(), choices in choices()) {
        for held in history.held() {
            let twice = [held.clone(), shuffle(held, &choices)].concat();
            prop_assert_eq!(folded_as_batch(&State::new(), &twice), folded(held));
            let (mut state, mut seen) = (folded(held), vector(held));
            fold_in_order(&mut state, &mut seen, held);
            prop_assert_eq!(state, folded(held));
        }
    }

    #[test]
    fn merge_is_the_union_whoever_merges_and_however_often(history in history()) {
        let [a, b, c] = [0, 1, 2].map(|i| history.held()[i].clone());
        let both = folded(&union(&a, &b));
        prop_assert_eq!(&folded(&union(&b, &a)), &both);
        prop_assert_eq!(&folded(&union(&union(&a, &b), &b)), &both);
        prop_assert_eq!(folded(&union(&union(&a, &b), &c)), folded(&union(&a, &union(&b, &c))));
        let (state_a, state_b) = (folded(&a), folded(&b));
        prop_assert_eq!(join((&state_a, &vector(&a)), (&state_b, &vector(&b))), both);
    }

    #[test]
    fn adopted_state_and_replayed_tail_are_the_union(history in history()) {
        let (anchored, held) = (&history.held()[0], &history.held()[1]);
        let (mut state, mut seen) = (folded(anchored), vector(anchored));
        fold_in_order(&mut state, &mut seen, held);
        prop_assert_eq!(&state, &folded(&union(anchored, held)));
        let unheld: Commits = anchored.iter().filter(|commit| !vector(held).covers(&commit.dot())).cloned().collect();
        prop_assert_eq!(folded_as_batch(&folded(held), &unheld), state);
    }

    #[test]
    fn payload_goes_only_where_a_commit_names_it(history in history()) {
        for held in history.held() {
            let named = |dot: &Dot| held.iter().any(|commit| {
                commit.body().mutations.iter().any(|mutation| mutation.supersedes.contains(dot))
            });
            let live: BTreeSet<Dot> = folded(held).keys().map(|key| {
                let (_, _, dot) = fold::split_physical(key).expect("states hold physical keys");
                dot
            }).collect();
            for commit in held.iter().filter(|commit| reference::puts(commit)) {
                prop_assert!(live.contains(&commit.dot()) || named(&commit.dot()));
            }
        }
    }

    #[test]
    fn write_is_never_beaten_by_what_its_writer_saw(history in history()) {
        prop_assert_eq!(history.beaten_by_what_was_seen(), 0);
    }

    /// A Cut takes commits out of the set, and state goes on being a function of the set.
    #[test]
    fn adopted_state_and_what_is_left_of_the_tail_are_the_union_of_what_counts(steps in forks::steps(1)) {
        let mut world = World::play(&steps);
        world.settle();
        world.assert_converged();
    }

    #[test]
    fn copies_of_one_writer_converge_without_a_home(steps in forks::steps(0)) {
        let mut world = World::play(&steps);
        world.settle();
        world.assert_converged();
        let states = world.states();
        prop_assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// The histories above must be such that proofs come late and take something away.
#[test]
fn random_histories_fork_and_proofs_drop_what_was_held() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut forked, mut rebuilt) = (0, 0);
    for _ in 0..100 {
        let steps = forks::steps(1).new_tree(&mut runner).expect("it draws").current();
        let mut world = World::play(&steps);
        world.settle();
        forked += usize::from(!world.proofs().is_empty());
        rebuilt += world.rebuilt_by_proof;
    }
    assert!(forked > 40 && rebuilt > 20, "{forked} of 100 forked, {rebuilt} proofs fell on something held");
}
