//! How the policy of a collection reads what is alive: which writes show, which count for nothing, and why in a sentence.

use std::collections::{BTreeMap, BTreeSet};

use crdt::view::lww::{Live, lww};
use crdt::view::{Shown, copies, ignored, map, set, show};
use crdt::{Dot, Policy};

use super::{At, Scene};
use crate::clock;
use crate::keytext::Key;
use crate::slot::Error;

/// A write that is so far ahead of this device's clock was made under a wrong one.
const AHEAD_MS: u64 = 5 * 60 * 1_000;

/// What a live write is to a reader.
pub(super) struct State {
    /// `shown`, `live`, `hidden` or `ignored`.
    pub(super) word: &'static str,
    /// The name it has of its own.
    pub(super) name: Option<String>,
    /// Why it is ignored.
    pub(super) reason: Option<&'static str>,
}

impl State {
    fn of(word: &'static str) -> State {
        State { word, name: None, reason: None }
    }
}

/// How a scene is read.
pub(super) struct Reading {
    /// What each live write is.
    pub(super) states: BTreeMap<At, State>,
    /// Why it reads so.
    pub(super) why: String,
}

impl Reading {
    pub(super) fn of(scene: &Scene) -> Result<Reading, Error> {
        let (mut states, why) = match scene.manner.policy {
            Policy::Map => document(scene)?,
            Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet => elements(scene),
            Policy::GCounter | Policy::PnCounter => counter(scene),
            _ => register(scene),
        };
        let mut passed = 0;
        for (key, live) in all(scene) {
            if let Some(reason) = scene.ignored(key, live)? {
                passed += 1;
                let state = State { reason: Some(reason), ..State::of("ignored") };
                states.insert((live.dot, key.clone()), state);
            }
        }
        let why = match passed {
            0 => why,
            count => format!("{why}; {count} of the live writes count for nothing, on every device alike"),
        };
        Ok(Reading { states, why })
    }
}

impl Scene {
    fn ignored(&self, key: &[u8], live: &Live) -> Result<Option<&'static str>, Error> {
        match self.snapshot.value(&live.payload) {
            Ok(bytes) => Ok(ignored(self.manner.policy, key, &live.payload, &bytes)),
            // What it is shows once it is here.
            Err(replica::Error::NotLocal { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The latest delete that is told of, if nothing is alive.
    fn gone(&self) -> String {
        let deletes = self.writes.iter().filter(|(_, write)| write.payload.is_none());
        match deletes.max_by_key(|(at, write)| (write.hlc, *at)) {
            Some(((dot, _), _)) => format!("nothing is alive: {dot} deleted it"),
            None => "nothing is alive".to_string(),
        }
    }
}

fn all(scene: &Scene) -> impl Iterator<Item = (&Vec<u8>, &Live)> {
    scene.live.iter().flat_map(|(key, live)| live.iter().map(move |live| (key, live)))
}

fn every(scene: &Scene, word: impl Fn(&Vec<u8>, &Live) -> &'static str) -> BTreeMap<At, State> {
    all(scene).map(|(key, live)| ((live.dot, key.clone()), State::of(word(key, live)))).collect()
}

fn register(scene: &Scene) -> (BTreeMap<At, State>, String) {
    let live = scene.live.get(&scene.place.key).map_or(&[][..], Vec::as_slice);
    let Some(read) = lww(live) else { return (BTreeMap::new(), scene.gone()) };
    if scene.manner.policy == Policy::Mv {
        let why = match live.len() {
            1 => format!("{} is the only live write", read.winner.dot),
            count => format!("all {count} live writes are shown: none had seen another"),
        };
        return (every(scene, |_, _| "shown"), why);
    }
    let mut states = every(scene, |_, live| if live.dot == read.winner.dot { "shown" } else { "live" });
    if scene.manner.policy == Policy::Copies {
        // A key too long for the names of copies, which nobody honest writes, has none.
        for copy in copies::copies(&scene.place.key, live).unwrap_or_default() {
            let state = State { name: Some(Key(copy.key).to_string()), ..State::of("shown") };
            states.insert((copy.live.dot, scene.place.key.clone()), state);
        }
    }
    let mut why = match live.len() {
        1 => format!("{} is the only live write", read.winner.dot),
        count => format!(
            "{} is the latest of {count} live writes that had not seen each other, by time, then by name",
            read.winner.dot
        ),
    };
    let ahead = read.winner.hlc.time().0.saturating_sub(clock::now().0);
    if ahead > AHEAD_MS {
        why.push_str(&format!("; its writer's clock was {} s ahead of this one's", ahead / 1_000));
    }
    (states, why)
}

fn counter(scene: &Scene) -> (BTreeMap<At, State>, String) {
    let live = scene.live.get(&scene.place.key).map_or(&[][..], Vec::as_slice);
    let Shown::Count(sum) = show(&scene.manner, live) else {
        return (BTreeMap::new(), "nobody has counted".to_string());
    };
    let writers: BTreeSet<_> = live.iter().map(|live| live.dot.writer).collect();
    let writers = match writers.len() {
        1 => "one writer has counted".to_string(),
        count => format!("{count} writers have counted, each by itself"),
    };
    (every(scene, |_, _| "shown"), format!("{sum} is the sum of what {writers}"))
}

fn elements(scene: &Scene) -> (BTreeMap<At, State>, String) {
    let is_in = |live: &Vec<Live>| show(&scene.manner, live) == Shown::Present;
    let states = every(scene, |key, _| if scene.live.get(key).is_some_and(is_in) { "shown" } else { "live" });
    let present = scene.live.iter().filter(|(key, live)| set::split(key).is_some() && is_in(live)).count();
    let rule = match scene.manner.policy {
        Policy::TwoPhaseSet => "what was removed once stays out",
        Policy::GSet => "nothing is ever taken out",
        _ => "an element is in it while an add of it is alive that no remove had seen",
    };
    let count = match (set::split(&scene.place.key).is_some(), present) {
        (true, 0) => "the element is not in the set".to_string(),
        (true, _) => "the element is in the set".to_string(),
        (false, 1) => "1 element is in the set".to_string(),
        (false, count) => format!("{count} elements are in the set"),
    };
    (states, format!("{count}: {rule}"))
}

fn document(scene: &Scene) -> Result<(BTreeMap<At, State>, String), Error> {
    let Some((document, at)) = map::split(&scene.place.key) else {
        return Ok((BTreeMap::new(), "no document or field has such a key".to_string()));
    };
    let (parts, _) = scene.snapshot.parts_here(scene.place.coll, &document)?;
    let read = parts.read(&scene.manner);
    let hidden: BTreeSet<_> = read.hidden.iter().collect();
    let is_latest = |path: &map::Path, dot: Dot| {
        path.is_empty() || parts.fields.get(path).is_some_and(|values| values[0].live.dot == dot)
    };
    let states = every(scene, |key, live| match map::split(key) {
        Some((_, path)) if hidden.contains(&path) => "hidden",
        Some((_, path)) if is_latest(&path, live.dot) => "shown",
        _ => "live",
    });
    let why = match (read.value.is_some(), parts.marker.first()) {
        (true, Some(marker)) => {
            let shown = parts.fields.len() - read.hidden.len();
            format!(
                "the document is there, since {} is alive, with {shown} fields, each the latest of its writes",
                marker.dot
            )
        }
        (true, None) => {
            "the document was deleted, and is there again with what whoever deleted it had not seen"
                .to_string()
        }
        (false, _) if read.hidden.is_empty() => scene.gone(),
        (false, _) => format!(
            "the document was deleted; what whoever deleted it had not seen is hidden, {} of its fields",
            read.hidden.len()
        ),
    };
    let why = match parts.cover(&at).filter(|_| !at.is_empty()) {
        Some((path, shown)) => {
            format!("{} at /{} was written later and shows instead", shown.live.dot, path.join("/"))
        }
        None => match parts.fields.get(&at) {
            Some(values) if read.value.is_some() => {
                format!("{} is the latest of {} live writes of the field", values[0].live.dot, values.len())
            }
            _ => why,
        },
    };
    Ok((states, why))
}
