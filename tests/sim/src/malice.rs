//! A member that lies: its own replica and sessions are true, and what they say is bent on the way out.
//!
//! So every lie is told in the middle of a conversation that is otherwise in order, deep inside the other side's states.
//! Each connection has a mood, some kinds of lies; whenever a frame gives occasion to one of them, it is told or not.

mod forge;
mod frames;
mod lie;
mod nonsense;
mod proof;

use std::collections::BTreeMap;

use crdt::{CollId, Commit, DeviceKey, Policy, Seal, SpaceId, Time, WriterId};
use disk::{MemoryDisk, Random};
use replica::Replica;
use sync::Frame;
use sync::frame::{HEADER_LEN, HandleFrame};

pub use lie::{Answer, Lie};
pub use nonsense::nonsense;

/// How often each lie was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeMap<Lie, u64>);

impl Told {
    /// How often it was told.
    pub fn count(&self, lie: Lie) -> u64 {
        self.0.get(&lie).copied().unwrap_or_default()
    }

    /// Adds what was told in another run.
    pub fn merge(&mut self, other: &Told) {
        for (lie, count) in &other.0 {
            *self.0.entry(*lie).or_default() += count;
        }
    }
}

/// What is sent instead of a frame.
pub struct Speech {
    /// In this order, back to back.
    pub frames: Vec<Vec<u8>>,
    /// The lie in it.
    pub lie: Option<Lie>,
}

/// What a liar knows when it speaks.
pub struct Occasion<'a> {
    /// Its clock.
    pub now: Time,
    /// Its own replica, which is true.
    pub replica: &'a Replica<MemoryDisk>,
    /// Whom it speaks to: not everyone hears the same.
    pub peer: usize,
    /// Keys of others whose names it takes.
    pub others: &'a [[u8; 32]],
}

/// A member that lies.
pub struct Liar {
    random: Random,
    key: DeviceKey,
    space: SpaceId,
    /// The collection it writes to.
    coll: CollId,
    /// Others, whose policies understand only some of what is written there.
    kept: Vec<(CollId, Policy)>,
    /// Frames, seals and Handles it has said before.
    said: Vec<Vec<u8>>,
    seals: Vec<Seal>,
    handles: Vec<HandleFrame>,
    /// Two commits of one dot, for who hears which.
    twins: Option<Twins>,
    /// Writers of which both commits of one dot were told, each to some.
    pub forked: Vec<WriterId>,
    /// What it made by hand that is valid: whoever takes that is right.
    pub valid: Vec<Commit>,
    /// How often it told which lie.
    pub told: Told,
}

/// Two commits of one dot.
struct Twins {
    writer: WriterId,
    units: [Frame; 2],
    /// Which of them was told to somebody.
    is_told: [bool; 2],
}

/// What it remembers to say again.
const SAID_MAX: usize = 40;

impl Liar {
    /// A member with this key.
    pub fn new(seed: u64, key: DeviceKey, space: SpaceId, coll: CollId, kept: Vec<(CollId, Policy)>) -> Liar {
        Liar {
            random: Random::new(seed),
            key,
            space,
            coll,
            kept,
            said: Vec::new(),
            seals: Vec::new(),
            handles: Vec::new(),
            twins: None,
            forked: Vec::new(),
            valid: Vec::new(),
            told: Told::default(),
        }
    }

    /// What it is up to on a connection: some kinds of lies.
    pub fn mood(&mut self, kinds: &[Lie]) -> Vec<Lie> {
        let count = 1 + self.random.below(6);
        (0..count).map(|_| kinds[self.random.below(kinds.len() as u64) as usize]).collect()
    }

    /// What it says where its session would say `bytes`, one frame.
    pub fn speak(&mut self, mood: &[Lie], occasion: &Occasion<'_>, bytes: Vec<u8>) -> Speech {
        let frame = Frame::decode(bytes[HEADER_LEN - 1], &bytes[HEADER_LEN..]).expect("its session is true");
        let fitting: Vec<Lie> = mood.iter().copied().filter(|lie| lie.place().fits(&frame)).collect();
        let lie = match fitting.len() as u64 {
            count if count > 0 && self.random.coin() => Some(fitting[self.random.below(count) as usize]),
            _ => None,
        };
        let frames = lie.and_then(|lie| self.bend(lie, occasion, &frame, &bytes));
        self.remember(&frame, &bytes);
        match frames {
            Some(frames) => {
                let lie = lie.expect("no frames without a lie");
                *self.told.0.entry(lie).or_default() += 1;
                Speech { frames, lie: Some(lie) }
            }
            None => Speech { frames: vec![bytes], lie: None },
        }
    }

    fn remember(&mut self, frame: &Frame, bytes: &[u8]) {
        match frame {
            Frame::Commits(commits) => self.seals.extend(commits.seals.iter().cloned()),
            Frame::Handle(handle) => self.handles.push(handle.clone()),
            _ => {}
        }
        if bytes.len() < 10_000 && !matches!(frame, Frame::Bye(_)) {
            self.said.push(bytes.to_vec());
        }
        let excess = self.said.len().saturating_sub(SAID_MAX);
        self.said.drain(..excess);
        let excess = self.seals.len().saturating_sub(SAID_MAX);
        self.seals.drain(..excess);
        let excess = self.handles.len().saturating_sub(SAID_MAX);
        self.handles.drain(..excess);
    }
}
