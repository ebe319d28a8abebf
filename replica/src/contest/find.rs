//! Finding every key with a conflict, by reading a whole state once.

use std::ops::Bound;
use std::sync::Arc;

use btree::Direction;
use crdt::view::Manner;
use crdt::{CollId, Policy};
use disk::Disk;

use super::document::{Glance, name_of};
use super::{Contest, Place};
use crate::error::Error;
use crate::snapshot::Snapshot;

/// A key being read, with what is known of it so far.
enum Seen {
    Register { key: Vec<u8>, payload: Arc<[u8]>, differs: bool },
    Document(Glance),
}

impl Seen {
    fn key(&self) -> &[u8] {
        match self {
            Seen::Register { key, .. } => key,
            Seen::Document(glance) => &glance.name,
        }
    }

    fn is_suspect(&self) -> bool {
        match self {
            Seen::Register { differs, .. } => *differs,
            Seen::Document(glance) => glance.is_suspect(),
        }
    }
}

impl<D: Disk> Snapshot<D> {
    /// Every place with a conflict and what disagrees there, in order, as long as `visit` wants more. Linear in the entries.
    pub fn contested(&self, mut visit: impl FnMut(Place, Vec<Contest>) -> bool) -> Result<(), Error> {
        let mut entries = self.0.entries((Bound::Unbounded, Bound::Unbounded), Direction::Forward)?;
        let (mut of, mut manner): (Option<CollId>, Option<Manner>) = (None, None);
        let mut seen: Option<Seen> = None;
        while let Some((physical, added)) = entries.next().transpose()? {
            let (coll, key, _) =
                crdt::split_physical(&physical).ok_or(Error::BadEntry { reason: "its key" })?;
            if of != Some(coll) {
                if !self.look_closer(of, seen.take(), &mut visit)? {
                    return Ok(());
                }
                (of, manner) = (Some(coll), self.contestable(coll)?);
            }
            let Some(manner) = manner else { continue };
            let is_map = manner.policy == Policy::Map;
            let name = match is_map.then(|| name_of(key)).flatten() {
                Some(name) => name,
                // No field has such a key, and so none of the document's values is there.
                None if is_map => continue,
                None => key.to_vec(),
            };
            if seen.as_ref().is_some_and(|seen| seen.key() != name)
                && !self.look_closer(of, seen.take(), &mut visit)?
            {
                return Ok(());
            }
            match &mut seen {
                Some(Seen::Register { payload, differs, .. }) => *differs |= *payload != added.payload,
                Some(Seen::Document(glance)) => glance.see(key, added.payload),
                None if is_map => {
                    let mut glance = Glance::of(name);
                    glance.see(key, added.payload);
                    seen = Some(Seen::Document(glance));
                }
                None => {
                    seen = Some(Seen::Register { key: name, payload: added.payload, differs: false });
                }
            }
        }
        self.look_closer(of, seen, &mut visit).map(drop)
    }

    /// Passes on what disagrees at a key that was read to its end; whether more is wanted.
    fn look_closer(
        &self,
        coll: Option<CollId>,
        seen: Option<Seen>,
        visit: &mut impl FnMut(Place, Vec<Contest>) -> bool,
    ) -> Result<bool, Error> {
        let (Some(coll), Some(seen)) = (coll, seen.filter(Seen::is_suspect)) else { return Ok(true) };
        let place = Place { coll, key: seen.key().to_vec() };
        let contests = self.contests(&place)?;
        Ok(contests.is_empty() || visit(place, contests))
    }
}
