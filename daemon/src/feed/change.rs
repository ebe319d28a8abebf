//! What the feed says of one write: as the policy of the collection reads it, and not as it is stored.

use crdt::view::lww::lww;
use crdt::view::{Manner, Shown, ignored, set, show};
use crdt::{Payload, Policy};
use disk::RealDisk;
use replica::{Place, Snapshot};

use crate::api::types::Value;
use crate::document;
use crate::slot::Error;
use crate::told;

/// Longest value that an event carries.
const VALUE_LEN_MAX: u64 = 64 << 10;

/// What a write did, in the words of an event.
pub(super) struct What {
    pub(super) op: &'static str,
    pub(super) value: Option<Value>,
    pub(super) len: u64,
    /// Why it counts for nothing.
    pub(super) ignored: Option<&'static str>,
}

impl What {
    /// What was put at a place, or none where writes there were taken away.
    pub(super) fn of(
        snapshot: &Snapshot<RealDisk>,
        place: &Place,
        payload: Option<&Payload>,
    ) -> Result<What, Error> {
        let manner = snapshot.manner(place.coll)?.unwrap_or_default();
        match payload {
            Some(payload) => put(snapshot, &manner, place, payload),
            None => gone(snapshot, &manner, place),
        }
    }
}

fn put(
    snapshot: &Snapshot<RealDisk>,
    manner: &Manner,
    place: &Place,
    payload: &Payload,
) -> Result<What, Error> {
    let len = told::len(Some(payload));
    let bytes = match snapshot.value(payload) {
        Ok(bytes) => Some(bytes),
        Err(replica::Error::NotLocal { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let ignored = bytes.and_then(|bytes| ignored(manner.policy, &place.key, payload, &bytes));
    let is_counter = matches!(manner.policy, Policy::GCounter | Policy::PnCounter);
    let is_removal =
        manner.policy == Policy::TwoPhaseSet && *payload == Payload::Inline(set::REMOVED.to_vec());
    let value = match ignored {
        None if is_removal => return Ok(What { op: "delete", value: None, len, ignored }),
        None if is_counter => count(snapshot, manner, place)?,
        _ => told::value(snapshot, manner, &place.key, Some(payload), VALUE_LEN_MAX)?,
    };
    Ok(What { op: "put", value, len, ignored })
}

/// Writes went: if others live on at the key, they are what is read there now.
fn gone(snapshot: &Snapshot<RealDisk>, manner: &Manner, place: &Place) -> Result<What, Error> {
    let live = snapshot.live(place.coll, &place.key)?;
    let Some(read) = lww(&live) else {
        return Ok(What { op: "delete", value: None, len: 0, ignored: None });
    };
    let payload = Some(&read.winner.payload);
    let value = told::value(snapshot, manner, &place.key, payload, VALUE_LEN_MAX)?;
    Ok(What { op: "discard", value, len: told::len(payload), ignored: None })
}

/// What a counter reads as: a writer's own total says little, and whoever keeps the latest value of a key wants the sum.
fn count(snapshot: &Snapshot<RealDisk>, manner: &Manner, place: &Place) -> Result<Option<Value>, Error> {
    Ok(match show(manner, &snapshot.live(place.coll, &place.key)?) {
        Shown::Count(count) => Some(document::shown(replica::Value::Count(count))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::api::types::Event;
    use crate::embed::{Collection, Replica};
    use crate::feed::Start;
    use crate::scratch::Scratch;

    /// What one `work` is told as: key, op and value of each change.
    fn told(policy: crdt::Policy, work: impl Fn(&Collection)) -> Vec<(Json, String, Json)> {
        let data = Scratch::new("feed-change");
        let replica = Replica::open(data.path()).unwrap();
        let space = replica.space("mine").unwrap();
        let things = space.collection_of("things", policy).unwrap();
        let mut follower = space.watch(Start::Now).unwrap();
        work(&things);
        let changes = |event: Event| event.data.changes;
        let told = follower.next_events().unwrap().into_iter().flat_map(changes).map(|change| {
            assert_eq!(change.ignored, None);
            (json!(change.key), change.op, json!(change.value))
        });
        told.collect()
    }

    #[test]
    fn values_are_those_of_the_policy() {
        use crdt::Policy;
        let (put, gone) = ("put".to_string(), "delete".to_string());
        let sets = told(Policy::TwoPhaseSet, |tags| {
            tags.add("s", "x").unwrap();
            tags.remove("s", "x").unwrap();
        });
        let element = json!(["s", "x"]);
        assert_eq!(sets[0], (element.clone(), put.clone(), json!(true)));
        assert_eq!(sets[1], (element, gone, Json::Null));
        let counts = told(Policy::PnCounter, |stock| {
            stock.increment("k", 7).unwrap();
            stock.increment("k", -2).unwrap();
        });
        assert_eq!(counts, vec![(json!("k"), put.clone(), json!(5)); 2], "the sum as it is now");
        let fields = told(Policy::Map, |tasks| {
            tasks.put("t", r#"{"a":{"b":[1]}}"#).unwrap();
        });
        assert_eq!(fields[0], (json!("t"), put.clone(), json!(true)));
        assert_eq!(fields[1], (json!(["t", "a", "b"]), put, json!([1])));
    }
}
