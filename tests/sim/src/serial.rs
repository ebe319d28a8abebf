//! Whether what many clients saw at once could have happened one call after another.
//!
//! A search over orders, after Wing and Gong: of the calls that nobody had answered before the first answer among
//! those left, one came next. What was tried is remembered, as Lowe does, so that two ways to one place are walked
//! once. It has no chance in it: equal histories give equal orders.

use std::collections::BTreeSet;

#[cfg(test)]
mod porcupine;
pub mod store;

/// What calls do when they come one at a time.
pub trait Model {
    /// What a call finds and leaves behind.
    type State: Clone + Ord;
    /// A call with what its client saw.
    type Call;

    /// What the first call finds.
    fn start(&self) -> Self::State;

    /// What the call leaves behind; none: it would not have seen this.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// Whether a client knows what became of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was answered: it happened.
    Answered,
    /// It happened between its two moments, or never does.
    Unknown,
}

/// A call, and the moments between which it happened.
#[derive(Debug, Clone)]
pub struct Span<C> {
    /// What was called and seen.
    pub call: C,
    /// When it was called.
    pub from: u64,
    /// When it was answered; `u64::MAX` where nothing says that it is over.
    pub to: u64,
    /// Whether it happened for certain.
    pub fate: Fate,
}

/// No order explains a history: how far the best one comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The longest order found, as indexes into the history.
    pub order: Vec<usize>,
    /// The calls of which one should have come next; none saw what it would have seen.
    pub next: Vec<usize>,
}

/// An order in which the calls may have happened, as indexes into the history: each between its moments, each seeing
/// what those before it left behind. Calls of an unknown fate may be missing from it.
pub fn order<M: Model>(model: &M, history: &[Span<M::Call>]) -> Result<Vec<usize>, Stuck> {
    Search::new(model, history).run()
}

/// How one call is placed.
#[derive(Debug, Clone, Copy)]
enum Move {
    Happens(usize),
    Never(usize),
}

/// A place in the search: the state there, and what is not tried yet.
struct Frame<S> {
    state: S,
    moves: Vec<Move>,
}

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Span<M::Call>],
    by_start: Vec<usize>,
    done: Set,
    /// Answered calls that are not placed.
    left: usize,
    seen: BTreeSet<(Set, M::State)>,
    path: Vec<Move>,
    longest: Vec<Move>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Span<M::Call>]) -> Self {
        let mut by_start: Vec<usize> = (0..history.len()).collect();
        by_start.sort_by_key(|index| history[*index].from);
        Self {
            model,
            history,
            by_start,
            done: Set::new(history.len()),
            left: history.iter().filter(|span| span.fate == Fate::Answered).count(),
            seen: BTreeSet::new(),
            path: Vec::new(),
            longest: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Vec<usize>, Stuck> {
        let mut frames = vec![Frame { state: self.model.start(), moves: self.moves() }];
        while self.left > 0 {
            let Some(frame) = frames.last_mut() else { return Err(self.stuck()) };
            let Some(next) = frame.moves.pop() else {
                frames.pop();
                self.take_back();
                continue;
            };
            let state = match next {
                Move::Happens(index) => self.model.step(&frame.state, &self.history[index].call),
                Move::Never(_) => Some(frame.state.clone()),
            };
            let Some(state) = state else { continue };
            self.place(next);
            if self.seen.insert((self.done.clone(), state.clone())) {
                if self.path.len() > self.longest.len() {
                    self.longest.clone_from(&self.path);
                }
                frames.push(Frame { state, moves: self.moves() });
            } else {
                self.take_back();
            }
        }
        Ok(happened(&self.path))
    }

    /// What can come next: every call that began before the first answer among those left.
    fn moves(&self) -> Vec<Move> {
        let mut first_answer = u64::MAX;
        let mut open = Vec::new();
        for index in self.by_start.iter().copied().filter(|index| !self.done.contains(*index)) {
            let span = &self.history[index];
            if span.from > first_answer {
                break;
            }
            first_answer = first_answer.min(span.to);
            open.push(index);
        }
        // The last one is tried first: whoever was answered first, for it most likely came first.
        open.sort_by_key(|index| std::cmp::Reverse((self.history[*index].to, *index)));
        // A call that is never over keeps nobody waiting, so nothing need be said of it.
        let may_not = |span: &Span<M::Call>| span.fate == Fate::Unknown && span.to < u64::MAX;
        let never =
            open.iter().filter(|index| may_not(&self.history[**index])).map(|index| Move::Never(*index));
        never.chain(open.iter().map(|index| Move::Happens(*index))).collect()
    }

    fn place(&mut self, next: Move) {
        let (Move::Happens(index) | Move::Never(index)) = next;
        self.done.insert(index);
        self.left -= usize::from(self.history[index].fate == Fate::Answered);
        self.path.push(next);
    }

    fn take_back(&mut self) {
        // Nothing was placed before the first frame.
        let Some(Move::Happens(index) | Move::Never(index)) = self.path.pop() else { return };
        self.done.remove(index);
        self.left += usize::from(self.history[index].fate == Fate::Answered);
    }

    /// Where the longest way ended; every way ends at last, so nothing is placed any more.
    fn stuck(mut self) -> Stuck {
        for next in std::mem::take(&mut self.longest) {
            self.place(next);
        }
        Stuck { order: happened(&self.path), next: happened(&self.moves()) }
    }
}

fn happened(moves: &[Move]) -> Vec<usize> {
    let happened = |next: &Move| match next {
        Move::Happens(index) => Some(*index),
        Move::Never(_) => None,
    };
    moves.iter().filter_map(happened).collect()
}

/// Some of the calls of a history, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn contains(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn remove(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }
}
