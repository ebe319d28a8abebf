//! Every history of a tiny space, shortest first: a home and two devices, a write each, a crash, a connection that dies.
//!
//! The simulator draws long lives; this goes through all short ones, up to a bound. What breaks a promise here does so by
//! the fewest steps there are, and those steps are the explanation. The core runs as it is, which cannot be copied in the
//! middle, so each history is lived again from the start.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::promise::{Breach, breach};

mod begin;
mod life;

pub use begin::Seedling;
use life::Tiny;

/// One thing that happens. Machine 0 is the home, 1 and 2 are devices, each with a connection to the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An application on a device writes the one key there is.
    Write(usize),
    /// A machine flushes, and answers what waited for that.
    Flush(usize),
    /// All that one end of a device's connection has to say arrives at the other.
    Hears(usize, Listener),
    /// The home moves the Handle.
    Batch,
    /// A device's connection dies, and another one is made.
    Cut(usize),
    /// A process is killed and starts again.
    Kill(usize),
    /// The power goes, and the machine starts again.
    PowerCut(usize),
}

/// Who hears what the other end says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// The home.
    Home,
    /// The device.
    Device,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |machine: usize| ["the home", "device 1", "device 2"][machine];
        match self {
            Step::Write(at) => write!(f, "{} writes", name(*at)),
            Step::Flush(at) => write!(f, "{} flushes", name(*at)),
            Step::Hears(at, Listener::Home) => write!(f, "the home hears {}", name(*at)),
            Step::Hears(at, Listener::Device) => write!(f, "{} hears the home", name(*at)),
            Step::Batch => f.write_str("the home moves the Handle"),
            Step::Cut(at) => write!(f, "the connection of {} dies and is made again", name(*at)),
            Step::Kill(at) => write!(f, "{} is killed and starts again", name(*at)),
            Step::PowerCut(at) => write!(f, "the power goes at {}, and it starts again", name(*at)),
        }
    }
}

/// How often each of these may happen in one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Devices that do anything: 1 or 2.
    pub devices: usize,
    /// Writes of each device.
    pub writes: u64,
    /// Kills and power cuts.
    pub crashes: u64,
    /// Connections that die.
    pub cuts: u64,
    /// Histories lived through, after which it stops.
    pub histories: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { devices: 2, writes: 1, crashes: 1, cuts: 1, histories: u64::MAX }
    }
}

/// How much there was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Explored {
    /// Different states.
    pub states: u64,
    /// Histories lived through.
    pub histories: u64,
    /// Steps of the longest.
    pub deepest: usize,
    /// States after which nothing more can happen, all of them equal in the end.
    pub ends: u64,
    /// Whether nothing was left when it stopped.
    pub is_whole: bool,
}

/// The shortest history that breaks a promise.
#[derive(Debug, Clone)]
pub struct CounterExample {
    /// What happened.
    pub steps: Vec<Step>,
    /// What was broken by it.
    pub breach: Breach,
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} broken after {} steps: {}", self.breach.promise, self.steps.len(), self.breach.what)?;
        self.steps.iter().enumerate().try_for_each(|(n, step)| writeln!(f, "{:>4}. {step}", n + 1))
    }
}

/// Goes through all histories within the bounds, the shorter ones first.
pub fn explore(bounds: Bounds) -> Result<Explored, CounterExample> {
    let seedling = Seedling::new();
    let mut explored = Explored::default();
    let mut seen = BTreeSet::new();
    let mut open: VecDeque<(Vec<Step>, Vec<Step>)> = VecDeque::new();
    visit(&seedling, bounds, Vec::new(), &mut seen, &mut open, &mut explored)?;
    while let Some((steps, nexts)) = open.pop_front() {
        for next in nexts {
            if explored.histories >= bounds.histories {
                return Ok(explored);
            }
            let steps = steps.iter().copied().chain([next]).collect();
            visit(&seedling, bounds, steps, &mut seen, &mut open, &mut explored)?;
        }
    }
    Ok(Explored { is_whole: true, ..explored })
}

/// Lives one history; if it leads to a new state, what can happen there is put on the list.
fn visit(
    seedling: &Seedling,
    bounds: Bounds,
    steps: Vec<Step>,
    seen: &mut BTreeSet<[u8; 16]>,
    open: &mut VecDeque<(Vec<Step>, Vec<Step>)>,
    explored: &mut Explored,
) -> Result<(), CounterExample> {
    explored.histories += 1;
    explored.deepest = explored.deepest.max(steps.len());
    let lived = catch_unwind(AssertUnwindSafe(|| live(seedling, bounds, &steps, seen)));
    let lived = lived.unwrap_or_else(|_| Err(breach("assertion", "the core found its own mistake")));
    match lived {
        Err(breach) => Err(CounterExample { steps, breach }),
        Ok(None) => Ok(()),
        Ok(Some(nexts)) => {
            explored.states += 1;
            explored.ends += u64::from(nexts.is_empty());
            open.push_back((steps, nexts));
            Ok(())
        }
    }
}

/// What can happen after a history; none if its state was seen before.
fn live(
    seedling: &Seedling,
    bounds: Bounds,
    steps: &[Step],
    seen: &mut BTreeSet<[u8; 16]>,
) -> Result<Option<Vec<Step>>, Breach> {
    let mut tiny = Tiny::grow(seedling, bounds)?;
    for step in steps {
        tiny.take(*step)?;
    }
    tiny.check()?;
    if !seen.insert(tiny.digest()) {
        return Ok(None);
    }
    let nexts = tiny.nexts();
    if nexts.is_empty() {
        tiny.calm()?;
    }
    Ok(Some(nexts))
}

/// Explores and prints; false if a promise was broken.
pub fn report(bounds: Bounds) -> bool {
    match explore(bounds) {
        Ok(Explored { states, histories, deepest, ends, is_whole }) => {
            let whole = if is_whole { "all there are" } else { "and more are left" };
            println!(
                "{states} states in {histories} histories of up to {deepest} steps, {whole}; {ends} ends, each with everyone equal"
            );
            true
        }
        Err(found) => {
            print!("{found}");
            false
        }
    }
}
