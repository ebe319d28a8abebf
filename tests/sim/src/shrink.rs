//! A smaller world that breaks the same promise: fewer faults, features, devices and steps.

use std::collections::BTreeSet;

use crate::faults::Fault;
use crate::options::Options;
use crate::outcome::Broken;
use crate::weather::Feature;

/// The smallest world that was found, and what it broke.
#[derive(Debug)]
pub struct Shrunk {
    /// What to play it with.
    pub options: Options,
    /// What it breaks.
    pub broken: Broken,
    /// Worlds played on the way.
    pub played: u64,
}

/// Takes away what is not needed to break the promise that `broken` broke.
///
/// `play` plays a world and says what it broke. Each try takes something away and keeps it away if the same promise still
/// breaks, until nothing more can go: the result is smallest piece by piece, and not always smallest of all.
pub fn shrink(broken: Broken, options: Options, play: impl FnMut(&Options) -> Option<Broken>) -> Shrunk {
    let mut search = Search { best: Shrunk { options, broken, played: 0 }, play };
    loop {
        let is_smaller = [
            search.fewer(Fault::ALL, |options| &mut options.without),
            search.fewer(&Feature::ALL, |options| &mut options.without_features),
            search.fewer_devices(),
            search.fewer_steps(),
        ];
        if !is_smaller.contains(&true) {
            return search.best;
        }
    }
}

struct Search<P> {
    best: Shrunk,
    play: P,
}

impl<P: FnMut(&Options) -> Option<Broken>> Search<P> {
    /// Plays a world; if it breaks the same promise it is the best so far.
    fn attempt(&mut self, options: Options) -> bool {
        self.best.played += 1;
        let broken = (self.play)(&options).filter(|broken| broken.promise == self.best.broken.promise);
        let Some(broken) = broken else { return false };
        self.best.broken = broken;
        self.best.options = options;
        true
    }

    /// Takes away what is not needed of `all`: whole halves first, then smaller parts, down to single ones.
    fn fewer<T: Copy + Ord>(&mut self, all: &[T], without: fn(&mut Options) -> &mut BTreeSet<T>) -> bool {
        let left = |search: &Self| -> Vec<T> {
            let mut options = search.best.options.clone();
            let gone = without(&mut options);
            all.iter().copied().filter(|item| !gone.contains(item)).collect()
        };
        let before = left(self).len();
        let mut part = before.div_ceil(2);
        while part > 0 {
            let mut at = 0;
            while at < left(self).len() {
                let mut options = self.best.options.clone();
                without(&mut options).extend(left(self).into_iter().skip(at).take(part));
                // What is left after a part has gone stands where the part was.
                if !self.attempt(options) {
                    at += part;
                }
            }
            part /= 2;
        }
        left(self).len() < before
    }

    fn fewer_devices(&mut self) -> bool {
        let most = self.best.options.devices_max.unwrap_or(DEVICES_MAX);
        (1..most)
            .any(|devices| self.attempt(Options { devices_max: Some(devices), ..self.best.options.clone() }))
    }

    /// Faults that stop sooner: by half of the steps, by a quarter, and so on.
    fn fewer_steps(&mut self) -> bool {
        let before = self.best.options.steps_max.unwrap_or(u64::MAX);
        let mut steps = before.min(self.best.broken.step);
        if steps < before && !self.attempt(Options { steps_max: Some(steps), ..self.best.options.clone() }) {
            return false;
        }
        let mut fewer = steps / 2;
        while fewer > 0 {
            let wanted = steps - fewer;
            if self.attempt(Options { steps_max: Some(wanted), ..self.best.options.clone() }) {
                steps = wanted;
                fewer = fewer.min(steps / 2);
            } else {
                fewer /= 2;
            }
        }
        steps < before
    }
}

/// More devices than any world begins with.
const DEVICES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fired;

    fn broken(promise: &'static str, step: u64) -> Broken {
        Broken {
            seed: 1,
            promise,
            step,
            at: 0,
            what: String::new(),
            fired: Fired::default(),
            events: Vec::new(),
        }
    }

    #[test]
    fn only_what_breaks_the_promise_is_left() {
        let needed = [Fault::Kill, Fault::Partition];
        let play = |options: &Options| {
            let has = needed.iter().all(|fault| !options.without.contains(fault));
            let steps = options.steps_max.unwrap_or(u64::MAX);
            let devices = options.devices_max.unwrap_or(4);
            (has && steps >= 137 && devices >= 2).then(|| broken("I3", 200.min(steps)))
        };
        let Shrunk { options, broken, played } = shrink(broken("I3", 900), Options::default(), play);
        let left: Vec<Fault> =
            Fault::ALL.iter().copied().filter(|fault| !options.without.contains(fault)).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(needed.iter().all(|fault| left.contains(fault)));
        assert_eq!((options.devices_max, options.steps_max, broken.step), (Some(2), Some(137), 137));
        assert!(played < 400, "{played} worlds");
    }

    #[test]
    fn another_promise_is_another_matter() {
        let play = |options: &Options| {
            let promise = if options.without.is_empty() { "I3" } else { "I14" };
            Some(broken(promise, 50))
        };
        let shrunk = shrink(broken("I3", 50), Options::default(), play);
        assert!(shrunk.options.without.is_empty());
        assert_eq!(shrunk.broken.promise, "I3");
    }
}
