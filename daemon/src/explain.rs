//! The story of a key: what is alive, who replaced what, and why this value is shown.

mod reading;

use std::collections::BTreeMap;

use crdt::view::lww::Live;
use crdt::view::{Manner, copies};
use crdt::{DeviceId, Dot, Hlc, Op, Payload, Policy};
use disk::RealDisk;
use replica::{KeyRange, Order, Place, Snapshot, Touch};

use crate::api::types::{Explained, Key, StoryWrite};
use crate::document;
use crate::slot::{Error, Turn};
use crate::space::Space;
use crate::told;
use reading::{Reading, State};

/// Longest value that the story tells.
const VALUE_LEN_MAX: u64 = 64 << 10;

/// Which write, and at which key: a commit may have touched several.
type At = (Dot, Vec<u8>);

/// What was done at a key, as far as it is known.
struct Write {
    hlc: Hlc,
    payload: Option<Payload>,
    supersedes: Vec<Dot>,
}

/// A key, or all keys of a document or a set, at one moment.
struct Scene {
    snapshot: Snapshot<RealDisk>,
    here: DeviceId,
    place: Place,
    manner: Manner,
    /// What is alive, by key.
    live: BTreeMap<Vec<u8>, Vec<Live>>,
    /// That, and what log and archive still tell of.
    writes: BTreeMap<At, Write>,
}

/// The story; none: nothing here tells of the key. It reads log and archive, and blocks.
pub(crate) fn explain(space: &Space, collection: &str, place: &Place) -> Result<Option<Explained>, Error> {
    let scene = Scene::of(space, place)?;
    if scene.writes.is_empty() {
        return Ok(None);
    }
    let read = Reading::of(&scene)?;
    let mut replaced: BTreeMap<At, Vec<String>> = BTreeMap::new();
    for ((dot, key), write) in &scene.writes {
        for old in &write.supersedes {
            replaced.entry((*old, key.clone())).or_default().push(dot.to_string());
        }
    }
    let mut ordered: Vec<(&At, &Write)> = scene.writes.iter().collect();
    ordered.sort_by_key(|(at, write)| (write.hlc, *at));
    let told = ordered.into_iter().map(|(at, write)| {
        let superseded_by = replaced.get(at).cloned().unwrap_or_default();
        scene.tell(at, write, read.states.get(at), superseded_by)
    });
    let entry = scene.snapshot.entry(scene.place.coll, scene.manner, &scene.place.key)?;
    Ok(Some(Explained {
        space: space.name.clone(),
        collection: collection.to_string(),
        key: Key(scene.place.key.clone()),
        policy: scene.manner.policy.to_string(),
        value: entry.map(|entry| document::shown(entry.value)),
        why: read.why,
        writes: told.collect::<Result<_, _>>()?,
    }))
}

impl Scene {
    fn of(space: &Space, place: &Place) -> Result<Scene, Error> {
        // Acknowledged writes are to be in it, whatever the flush policy.
        drop(space.slot.snapshot_blocking()?);
        let (here, past, snapshot) = space.slot.call_blocking(0, |owner, _| {
            let live = owner.live();
            Turn::Done(
                live.map(|live| (live.replica.device().id(), live.replica.past(), live.replica.snapshot())),
            )
        })?;
        let manner = snapshot.manner(place.coll)?.unwrap_or_default();
        let mut place = place.clone();
        // A copy lives at the key it is a copy of.
        if let Some(original) = copies::original(&place.key).filter(|_| manner.policy == Policy::Copies) {
            place.key = original;
        }
        let range = KeyRange::of(manner.policy, &place.key);
        let mut live = BTreeMap::new();
        for read in snapshot.scan(place.coll, &range, Order::Ascending)? {
            let read = read?;
            live.insert(read.key, [vec![read.winner], read.losers].concat());
        }
        let writes = known(&live, past.touches(place.coll, &range)?);
        Ok(Scene { snapshot, here, place, manner, live, writes })
    }

    fn tell(
        &self,
        (dot, key): &At,
        write: &Write,
        state: Option<&State>,
        superseded_by: Vec<String>,
    ) -> Result<StoryWrite, Error> {
        let payload = write.payload.as_ref();
        let (state, part, reason) = match state {
            Some(State { word, name, reason }) => (*word, name.clone(), *reason),
            None => ("superseded", None, None),
        };
        Ok(StoryWrite {
            dot: dot.to_string(),
            device: told::device(&dot.writer),
            here: dot.writer.device() == self.here,
            hlc: write.hlc.0,
            op: if payload.is_some() { "put" } else { "delete" }.to_string(),
            part: part.or_else(|| told::part(&self.manner, key)),
            value: told::value(&self.snapshot, &self.manner, key, payload, VALUE_LEN_MAX)?,
            len: told::len(payload),
            state: state.to_string(),
            reason: reason.map(str::to_string),
            supersedes: write.supersedes.iter().map(ToString::to_string).collect(),
            superseded_by,
        })
    }
}

/// What is alive and what is told of, together.
fn known(live: &BTreeMap<Vec<u8>, Vec<Live>>, touches: Vec<Touch>) -> BTreeMap<At, Write> {
    let mut writes = BTreeMap::new();
    for (key, live) in live.iter().flat_map(|(key, all)| all.iter().map(move |live| (key, live))) {
        let (hlc, payload) = (live.hlc, Some(live.payload.clone()));
        writes.insert((live.dot, key.clone()), Write { hlc, payload, supersedes: Vec::new() });
    }
    for Touch { key, dot, hlc, op, supersedes } in touches {
        let payload = match op {
            Op::Put(payload) => Some(payload),
            Op::Delete => None,
        };
        writes.insert((dot, key), Write { hlc, payload, supersedes });
    }
    writes
}

#[cfg(test)]
mod tests {
    use crdt::view::counter::Total;
    use crdt::{Class, Descriptor};

    use super::*;
    use crate::config::Settings;
    use crate::identity::Identity;
    use crate::scratch::Scratch;
    use crate::space::{DiskOwner, create_collection};
    use crate::spaces::Spaces;
    use crate::verbs::{Verb, carry_out};

    /// What is told of a key where somebody who does not know the collection wrote these bytes, and this verb came later.
    fn story(policy: Policy, key: &Key, bytes: &'static [u8], name: &Key, verb: Verb) -> Explained {
        let data = Scratch::new("explain");
        Identity::create(data.path()).unwrap();
        let settings = Settings::load(data.path()).unwrap();
        let spaces = Spaces::open(data.path(), settings, replica::Mode::ReadWrite).unwrap();
        let space = spaces.create("mine").unwrap();
        let descriptor = Descriptor::new("things", policy).unwrap();
        let (coll, key) = (descriptor.id(), key.clone());
        // Of another class, and so another writer, as on another device.
        let stray = move |owner: &mut DiskOwner, now| {
            let mut write = || {
                let live = owner.live_to_write()?;
                let mut transaction = live.replica.begin();
                transaction.put(coll, &key.0, bytes)?;
                Ok(live.replica.commit(now, transaction, Class::Bulk)?)
            };
            write().into()
        };
        space.slot.call_blocking(0, stray).unwrap();
        space.slot.call_blocking(0, create_collection(descriptor)).unwrap();
        let condition = crate::space::Condition::None;
        space.slot.call_blocking(0, carry_out(coll, name.0.clone(), verb, condition)).unwrap();
        let place = Place { coll, key: name.0.clone() };
        let explained = explain(&space, "things", &place).unwrap().expect("a story");
        spaces.close_blocking();
        spaces.release();
        explained
    }

    #[test]
    fn what_counts_for_nothing_is_told_with_the_reason() {
        let plain = Key::plain("k");
        let field = Key::parse_json(r#"["k","n"]"#).unwrap();
        let put = || Verb::Put(br#"{"m":1}"#.to_vec());
        let add = || Verb::Add(vec![crdt::Element::Text("x".to_owned())]);
        let grown: &'static [u8] = Total { plus: 7, minus: None }.encode().leak();
        let cases = [
            (Policy::PnCounter, &plain, b"junk".as_slice(), Verb::Increment(3), "no total", "3"),
            (Policy::PnCounter, &plain, grown, Verb::Increment(3), "taken away", "3"),
            (Policy::Map, &field, b"junk".as_slice(), put(), "no value of a field", r#"{"m":1}"#),
            (Policy::OrSet, &plain, b"junk".as_slice(), add(), "no element", r#"["x"]"#),
            (Policy::TwoPhaseSet, &plain, b"junk".as_slice(), add(), "no element", r#"["x"]"#),
        ];
        for (policy, key, bytes, verb, reason, reads) in cases {
            let told = story(policy, key, bytes, &plain, verb);
            let ignored: Vec<&StoryWrite> =
                told.writes.iter().filter(|write| write.state == "ignored").collect();
            assert_eq!(ignored.len(), 1, "{policy}: {told:?}");
            assert!(
                ignored[0].reason.as_deref().is_some_and(|why| why.contains(reason)),
                "{policy}: {told:?}"
            );
            assert_eq!(told.value.map(|value| value.to_bytes().unwrap()), Some(reads.as_bytes().to_vec()));
            assert!(told.why.contains("count for nothing"), "{policy}: {}", told.why);
        }
    }
}
