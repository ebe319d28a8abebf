//! The latest write wins, and what it won against is still there to see.

use crate::clock::Hlc;
use crate::commit::Payload;
use crate::id::Dot;
use planted::Bug;

/// One live dot of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its name.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// Its value.
    pub payload: Payload,
}

impl Live {
    /// No two dots are equal, so of every set of dots one ranks highest, and everywhere the same.
    fn rank(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }
}

/// What a key reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The value.
    pub winner: &'a Live,
    /// The other live dots, the highest first: the key's part of the inbox.
    pub losers: Vec<&'a Live>,
}

/// Reads a key; nothing lives under it if the key is absent.
pub fn lww(live: &[Live]) -> Option<Reading<'_>> {
    let mut by_rank = by_rank(live).into_iter();
    let winner = by_rank.next()?;
    Some(Reading { winner, losers: by_rank.collect() })
}

/// The live dots, the highest first.
pub(crate) fn by_rank(live: &[Live]) -> Vec<&Live> {
    let mut by_rank: Vec<&Live> = live.iter().collect();
    by_rank.sort_unstable_by_key(|live| std::cmp::Reverse(live.rank()));
    if planted::is(Bug::EarliestWins) {
        by_rank.reverse();
    }
    by_rank
}

/// What becomes of the losers of a key when somebody writes to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Losers {
    /// They are replaced with the winner, as the writer saw them.
    #[default]
    Replace,
    /// They stay until somebody resolves the key or the home lets them go.
    Keep,
}

/// What a put supersedes that is to be (`hlc`, `dot`) and saw `live`, sorted.
///
/// Kept losers stay, but the winner goes, and whatever would beat the new write: a write never loses to what
/// its writer saw.
pub fn supersedes_put(live: &[Live], losers: Losers, hlc: Hlc, dot: Dot) -> Vec<Dot> {
    match losers {
        Losers::Replace => supersedes_delete(live),
        Losers::Keep if planted::is(Bug::DropKeptLosers) => supersedes_delete(live),
        Losers::Keep => {
            let winner = live.iter().map(Live::rank).max();
            let goes = |live: &&Live| Some(live.rank()) == winner || live.rank() > (hlc, dot);
            sorted(live.iter().filter(goes))
        }
    }
}

/// What a delete or an explicit resolution supersedes that saw `live`: all of it, sorted.
pub fn supersedes_delete(live: &[Live]) -> Vec<Dot> {
    sorted(live.iter())
}

fn sorted<'a>(live: impl Iterator<Item = &'a Live>) -> Vec<Dot> {
    let mut dots: Vec<Dot> = live.map(|live| live.dot).collect();
    dots.sort_unstable();
    dots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WriterId;

    fn dot(writer: u8, seq: u64) -> Dot {
        Dot::new(WriterId([writer; 24]), seq)
    }

    fn live(writer: u8, seq: u64, hlc: u64) -> Live {
        Live { dot: dot(writer, seq), hlc: Hlc(hlc), payload: Payload::Inline(vec![writer]) }
    }

    #[test]
    fn absent_key_has_no_reading() {
        assert_eq!(lww(&[]), None);
    }

    #[test]
    fn latest_wins_then_the_larger_dot_and_the_rest_is_listed() {
        let live = [live(2, 1, 5), live(1, 9, 7), live(3, 1, 7), live(3, 2, 7)];
        let reading = lww(&live).expect("four live");
        assert_eq!(reading.winner.dot, dot(3, 2));
        let losers: Vec<Dot> = reading.losers.iter().map(|live| live.dot).collect();
        assert_eq!(losers, [dot(3, 1), dot(1, 9), dot(2, 1)]);
    }

    #[test]
    fn put_replaces_all_it_saw_unless_losers_are_kept() {
        let live = [live(1, 5, 100), live(2, 9, 120)];
        let new = (Hlc(130), dot(3, 1));
        assert_eq!(supersedes_put(&live, Losers::Replace, new.0, new.1), [dot(1, 5), dot(2, 9)]);
        assert_eq!(supersedes_put(&live, Losers::Keep, new.0, new.1), [dot(2, 9)]);
        assert_eq!(supersedes_delete(&live), [dot(1, 5), dot(2, 9)]);
    }

    #[test]
    fn put_replaces_every_dot_that_would_beat_it() {
        let live = [live(1, 5, 9000), live(2, 9, 120), live(4, 1, 8000)];
        assert_eq!(supersedes_put(&live, Losers::Keep, Hlc(130), dot(3, 1)), [dot(1, 5), dot(4, 1)]);
        let equal = [live[1].clone()];
        assert_eq!(supersedes_put(&equal, Losers::Keep, Hlc(120), dot(1, 1)), [dot(2, 9)]);
        assert_eq!(supersedes_put(&[], Losers::Keep, Hlc(1), dot(1, 1)), []);
    }
}
