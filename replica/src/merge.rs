//! Entries of the local tree and of the overlay, as one sequence in order.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use btree::{Cursor, Direction, Value};
use disk::Disk;

use crate::error::Error;
use crate::overlay::{Added, Overlay};

/// A physical key and what is stored under it.
pub(crate) type Entry = (Arc<[u8]>, Added);

/// The tree without what the overlay removed, with what it added.
pub(crate) struct Merged<'a, D: Disk> {
    tree: Peekable<Cursor<'a, D>>,
    overlay: Peekable<OverlayRange<'a>>,
    direction: Direction,
}

type Added_<'a> = (&'a Arc<[u8]>, &'a Option<Added>);

/// A range of the overlay, either way.
enum OverlayRange<'a> {
    Forward(imbl::ordmap::RangedIter<'a, Arc<[u8]>, Option<Added>, imbl::shared_ptr::DefaultSharedPtr>),
    Backward(imbl::ordmap::RangedIter<'a, Arc<[u8]>, Option<Added>, imbl::shared_ptr::DefaultSharedPtr>),
}

impl<'a> Iterator for OverlayRange<'a> {
    type Item = Added_<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Forward(range) => range.next(),
            Self::Backward(range) => range.next_back(),
        }
    }
}

impl<'a, D: Disk> Merged<'a, D> {
    /// Both over the same range.
    pub(crate) fn new(
        tree: Cursor<'a, D>,
        overlay: &'a Overlay,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Self {
        let range = overlay.entries.range::<_, [u8]>(bounds);
        let range = match direction {
            Direction::Forward => OverlayRange::Forward(range),
            Direction::Backward => OverlayRange::Backward(range),
        };
        Self { tree: tree.peekable(), overlay: range.peekable(), direction }
    }

    /// Which of the two is at the next key.
    fn side(&mut self) -> Option<Side> {
        let tree = match self.tree.peek() {
            Some(Ok((key, _))) => Some(key),
            // An error surfaces at once: what comes after it cannot be trusted to be next.
            Some(Err(_)) => return Some(Side::Tree),
            None => None,
        };
        let overlay = self.overlay.peek().map(|(key, _)| *key);
        let order = match (tree, overlay) {
            (None, None) => return None,
            (Some(_), None) => return Some(Side::Tree),
            (None, Some(_)) => return Some(Side::Overlay),
            (Some(tree), Some(overlay)) => tree.as_slice().cmp(overlay),
        };
        let order = if matches!(self.direction, Direction::Backward) { order.reverse() } else { order };
        Some(match order {
            std::cmp::Ordering::Less => Side::Tree,
            std::cmp::Ordering::Equal => Side::Both,
            std::cmp::Ordering::Greater => Side::Overlay,
        })
    }

    fn next_in_overlay(&mut self) -> Option<Entry> {
        let (key, added) = self.overlay.next()?;
        added.as_ref().map(|added| (key.clone(), added.clone()))
    }
}

#[derive(Clone, Copy)]
enum Side {
    Tree,
    Overlay,
    Both,
}

impl<D: Disk> Iterator for Merged<'_, D> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.side()? {
                Side::Tree => return self.tree.next().map(|entry| Ok(entry.map(stored)?)),
                Side::Both => drop(self.tree.next()),
                Side::Overlay => {}
            }
            if let Some(entry) = self.next_in_overlay() {
                return Some(Ok(entry));
            }
        }
    }
}

/// An entry as the tree stores it.
pub(crate) fn stored((key, value): (Vec<u8>, Value)) -> Entry {
    (key.into(), Added { hlc: value.hlc, payload: value.payload.into() })
}
