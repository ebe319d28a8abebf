//! A registry in memory, which fails as a distant one does when told to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crdt::{Handle, SpaceId};

use super::{Outcome, Registry, Swap};
use crate::error::Error;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing happens and the caller learns it: [`Error::Unavailable`].
    Down,
    /// A swap happens and its answer is lost.
    LostAnswer,
    /// The request is lost, and so is the answer: nothing happens.
    LostRequest,
    /// The answer is lost, and the swap happens after so many more calls.
    Late(u32),
    /// Before the call the registry falls back one version, as one restored from a backup, or one that acknowledged
    /// before it was durable.
    Regress,
}

/// Handles in memory. Clones share them; what goes wrong is the plan of one clone.
///
/// Nothing goes wrong by chance: the owner, who has the seed, plans each call.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    shared: Rc<RefCell<Contents>>,
    plan: VecDeque<Option<Mishap>>,
}

#[derive(Debug, Default)]
struct Contents {
    /// Every Handle that was ever there, the newest last.
    handles: BTreeMap<SpaceId, Vec<Handle>>,
    /// Swaps on their way, with the calls that come before them.
    late: Vec<(u32, Vec<Swap>)>,
    swaps: u64,
}

impl MemoryRegistry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next unplanned call of this clone goes wrong like this; `None` lets one call through.
    pub fn plan(&mut self, mishap: impl Into<Option<Mishap>>) {
        self.plan.push_back(mishap.into());
    }

    /// Whether the next call goes wrong.
    pub fn is_troubled(&self) -> bool {
        self.plan.front().is_some_and(Option::is_some)
    }

    /// Whatever was planned and has not happened, does not.
    pub fn heal(&mut self) {
        self.plan.clear();
    }

    /// How many swaps have happened.
    pub fn swaps(&self) -> u64 {
        self.shared.borrow().swaps
    }

    /// Every Handle that a space has had, oldest first.
    pub fn history(&self, space: &SpaceId) -> Vec<Handle> {
        self.shared.borrow().handles.get(space).cloned().unwrap_or_default()
    }

    /// The mishap of the call that begins now.
    fn begin(&mut self) -> Option<Mishap> {
        self.shared.borrow_mut().deliver_late();
        let mishap = self.plan.pop_front().flatten();
        if mishap == Some(Mishap::Regress) {
            self.shared.borrow_mut().regress();
        }
        mishap
    }
}

impl Registry for MemoryRegistry {
    fn get(&mut self, space: &SpaceId) -> Result<Option<Handle>, Error> {
        match self.begin() {
            Some(Mishap::Down | Mishap::LostAnswer | Mishap::LostRequest | Mishap::Late(_)) => {
                Err(Error::Unavailable)
            }
            Some(Mishap::Regress) | None => Ok(self.shared.borrow().current(space).cloned()),
        }
    }

    fn cas_many(&mut self, swaps: &[Swap]) -> Result<Outcome, Error> {
        let mishap = self.begin();
        let mut shared = self.shared.borrow_mut();
        match mishap {
            Some(Mishap::Down) => return Err(Error::Unavailable),
            Some(Mishap::LostRequest) => return Ok(Outcome::Unknown),
            Some(Mishap::Late(calls)) => {
                shared.late.push((calls, swaps.to_vec()));
                return Ok(Outcome::Unknown);
            }
            Some(Mishap::LostAnswer | Mishap::Regress) | None => {}
        }
        let outcome = shared.swap(swaps);
        Ok(if mishap == Some(Mishap::LostAnswer) { Outcome::Unknown } else { outcome })
    }
}

impl Contents {
    fn current(&self, space: &SpaceId) -> Option<&Handle> {
        self.handles.get(space)?.last()
    }

    fn swap(&mut self, swaps: &[Swap]) -> Outcome {
        if let Some(swap) = swaps.iter().find(|swap| !swap.is_met_by(self.current(&swap.space))) {
            let current = self.current(&swap.space).cloned().map(Box::new);
            return Outcome::Conflict { space: swap.space, current };
        }
        for swap in swaps {
            if let Some(new) = &swap.new {
                self.handles.entry(swap.space).or_default().push(new.clone());
            }
        }
        self.swaps += 1;
        Outcome::Swapped
    }

    fn deliver_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        for (calls, swaps) in late {
            match calls.checked_sub(1) {
                Some(left) => self.late.push((left, swaps)),
                // Nobody waits for the answer any more.
                None => drop(self.swap(&swaps)),
            }
        }
    }

    fn regress(&mut self) {
        for handles in self.handles.values_mut() {
            handles.pop();
        }
    }
}
