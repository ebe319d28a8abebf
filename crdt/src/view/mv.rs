//! All values that nobody has replaced, and what a writer has to have seen to replace them.

use std::collections::BTreeSet;

use crate::codec::{Decoder, Encoder};
use crate::commit::SUPERSEDES_MAX;
use crate::error::{Error, Problem};
use crate::id::{Dot, WriterId};
use crate::view::lww::Live;
use planted::Bug;

/// What somebody saw at a key: given back with a write, it replaces exactly that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(Vec<Dot>);

impl Context {
    /// What a reader of these dots saw.
    pub fn of(live: &[Live]) -> Context {
        let mut dots: Vec<Dot> = live.iter().map(|live| live.dot).collect();
        dots.sort_unstable();
        Context(dots)
    }

    /// What a reader of this and of those saw.
    pub fn and(&self, dots: &BTreeSet<Dot>) -> Context {
        let all: BTreeSet<Dot> = self.0.iter().chain(dots).copied().collect();
        Context(all.into_iter().collect())
    }

    /// The dots it names, in order.
    pub fn dots(&self) -> &[Dot] {
        &self.0
    }

    /// What a write with this context supersedes: all of it, gone or not. Whoever replaced it first may be cut off, and who asks
    /// what all sides of a conflict had seen finds it by both.
    pub fn supersedes(&self, live: &[Live]) -> Vec<Dot> {
        if planted::is(Bug::ReplaceUnseen) {
            return self.and(&live.iter().map(|live| live.dot).collect()).0;
        }
        self.0.clone()
    }

    /// Whether any of these was seen.
    pub fn names_any(&self, live: &[Live]) -> bool {
        live.iter().any(|live| self.0.binary_search(&live.dot).is_ok())
    }

    /// Its bytes. Opaque to whoever carries them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(4 + self.0.len() * 36);
        out.array(self.0.len());
        for dot in &self.0 {
            out.array(2).bytes(&dot.writer.0).uint(dot.seq);
        }
        out.finish()
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Result<Context, Error> {
        let mut from = Decoder::new(bytes);
        let count = from.array_up_to(SUPERSEDES_MAX, "dots in a context")?;
        let mut dots: Vec<Dot> = Vec::with_capacity(count);
        for _ in 0..count {
            let at = from.position();
            from.array_of(2)?;
            let dot = Dot::new(WriterId(from.fixed()?), from.uint()?);
            if dots.last().is_some_and(|last| *last >= dot) {
                return Err(Error::encoding(at, Problem::Order));
            }
            dots.push(dot);
        }
        from.finish()?;
        Ok(Context(dots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;
    use crate::commit::Payload;

    fn live(writer: u8, seq: u64) -> Live {
        let dot = Dot::new(WriterId([writer; 24]), seq);
        Live { dot, hlc: Hlc(seq), payload: Payload::Inline(vec![writer]) }
    }

    #[test]
    fn write_replaces_what_its_writer_saw_and_nothing_else() {
        let seen = Context::of(&[live(3, 1), live(1, 4)]);
        assert_eq!(seen.supersedes(&[live(1, 4), live(2, 9)]), seen.dots(), "what came since stays");
        assert_eq!(Context::default().supersedes(&[live(1, 4)]), []);
        assert!(seen.names_any(&[live(2, 9), live(1, 4)]) && !seen.names_any(&[live(2, 9)]));
    }

    #[test]
    fn context_comes_back_and_other_spellings_are_refused() {
        let seen = Context::of(&[live(3, 1), live(1, 4)]);
        assert_eq!(Context::decode(&seen.encode()), Ok(seen.clone()));
        let twice = Context(vec![live(1, 4).dot, live(1, 4).dot]);
        assert!(Context::decode(&twice.encode()).is_err());
        assert!(Context::decode(&[&seen.encode()[..], &[0]].concat()).is_err());
    }

    #[test]
    fn context_names_no_more_dots_than_a_write_may_replace() {
        let of = |count: usize| Context((1..=count as u64).map(|seq| live(1, seq).dot).collect());
        let most = of(SUPERSEDES_MAX);
        assert_eq!(Context::decode(&most.encode()), Ok(most));
        assert!(Context::decode(&of(SUPERSEDES_MAX + 1).encode()).is_err());
    }
}
