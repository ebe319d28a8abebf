//! A counter: each writer's live dot is its running total, and the value is their sum.

use crate::codec::{Decoder, Encoder};
use crate::commit::Payload;
use crate::view::lww::Live;
use planted::Bug;

/// What one writer has counted since it was opened, up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Everything added.
    pub plus: u64,
    /// Everything taken away; none on a counter that only grows.
    pub minus: Option<u64>,
}

impl Total {
    /// Its bytes: a number, or two in an array on a counter that also falls.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self.minus {
            None => out.uint(self.plus),
            Some(minus) => out.array(2).uint(self.plus).uint(minus),
        };
        out.finish()
    }

    /// Reads a payload. One that is no total counts for nothing, everywhere alike.
    pub fn of(payload: &Payload) -> Option<Total> {
        let Payload::Inline(bytes) = payload else { return None };
        one(bytes).or_else(|| two(bytes))
    }

    /// What was counted since `below`; none if that is more.
    pub fn minus(&self, below: &Total) -> Option<Total> {
        let plus = self.plus.checked_sub(below.plus)?;
        let minus = match (self.minus, below.minus) {
            (None, None) => None,
            (own, below) => Some(own.unwrap_or(0).checked_sub(below.unwrap_or(0))?),
        };
        Some(Total { plus, minus })
    }

    /// It with as much more; none where that is beyond what a writer can count to.
    pub fn plus(&self, more: &Total) -> Option<Total> {
        let plus = self.plus.checked_add(more.plus)?;
        let minus = match (self.minus, more.minus) {
            (None, None) => None,
            (own, more) => Some(own.unwrap_or(0).checked_add(more.unwrap_or(0))?),
        };
        Some(Total { plus, minus })
    }
}

/// The value of a counter that only grows; none where nobody has counted. A total that could fall is none of it.
pub fn grown(live: &[Live]) -> Option<i128> {
    sum(live, |total| total.minus.is_none().then_some(i128::from(total.plus)))
}

/// The value of a counter that also falls; none where nobody has counted.
pub fn balance(live: &[Live]) -> Option<i128> {
    let fallen = |minus: Option<u64>| match minus {
        None if planted::is(Bug::CountNonsense) => Some(0),
        Some(_) if planted::is(Bug::RiseOnly) => Some(0),
        minus => minus,
    };
    sum(live, |total| Some(i128::from(total.plus) - i128::from(fallen(total.minus)?)))
}

fn sum(live: &[Live], value: impl Fn(Total) -> Option<i128>) -> Option<i128> {
    live.iter().filter_map(|live| value(Total::of(&live.payload)?)).reduce(|a, b| a + b)
}

fn one(bytes: &[u8]) -> Option<Total> {
    let mut from = Decoder::new(bytes);
    let plus = from.uint().ok()?;
    from.finish().ok()?;
    Some(Total { plus, minus: None })
}

fn two(bytes: &[u8]) -> Option<Total> {
    let mut from = Decoder::new(bytes);
    from.array_of(2).ok()?;
    let (plus, minus) = (from.uint().ok()?, from.uint().ok()?);
    from.finish().ok()?;
    Some(Total { plus, minus: Some(minus) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_comes_back_as_it_went_and_other_bytes_count_nothing() {
        for total in [Total { plus: 7, minus: None }, Total { plus: 300, minus: Some(0) }] {
            assert_eq!(Total::of(&Payload::Inline(total.encode())), Some(total));
        }
        for bytes in [&[][..], b"x", &[0x82, 1], &[0x83, 1, 2, 3], &[1, 1]] {
            assert_eq!(Total::of(&Payload::Inline(bytes.to_vec())), None);
        }
    }

    #[test]
    fn difference_of_totals_is_what_was_counted_between() {
        let total = |plus, minus| Total { plus, minus };
        assert_eq!(total(12, None).minus(&total(9, None)), Some(total(3, None)));
        assert_eq!(total(12, Some(5)).minus(&Total::default()), Some(total(12, Some(5))));
        assert_eq!(total(12, Some(5)).minus(&total(12, Some(6))), None);
        assert_eq!(total(9, None).plus(&total(3, None)), Some(total(12, None)));
        assert_eq!(total(9, Some(1)).plus(&total(0, Some(3))), Some(total(9, Some(4))));
        assert_eq!(total(u64::MAX, None).plus(&total(1, None)), None);
    }

    #[test]
    fn counter_adds_up_what_each_writer_counted_in_its_own_form() {
        let live = |total: Total, writer| Live {
            dot: crate::id::Dot::new(crate::id::WriterId([writer; 24]), 1),
            hlc: crate::clock::Hlc(1),
            payload: Payload::Inline(total.encode()),
        };
        let grows = live(Total { plus: 7, minus: None }, 1);
        let falls = live(Total { plus: 1, minus: Some(5) }, 2);
        let both = [grows, falls];
        assert_eq!((grown(&both), balance(&both)), (Some(7), Some(-4)));
        assert_eq!((grown(&both[1..]), balance(&[])), (None, None));
    }
}
