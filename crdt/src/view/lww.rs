//! The latest write wins, and what it won against is still there to see.

use crate::clock::Hlc;
use crate::commit::Payload;
use crate::id::Dot;

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
    let mut by_rank: Vec<&Live> = live.iter().collect();
    by_rank.sort_unstable_by_key(|live| std::cmp::Reverse(live.rank()));
    let mut by_rank = by_rank.into_iter();
    let winner = by_rank.next()?;
    Some(Reading { winner, losers: by_rank.collect() })
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
