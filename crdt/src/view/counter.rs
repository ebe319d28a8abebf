//! A counter: each writer's live dot is its running total, and the value is their sum.

use crate::codec::{Decoder, Encoder};
use crate::commit::Payload;
use crate::view::lww::Live;

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
}

/// The value of a counter with these live dots.
pub fn sum(live: &[Live]) -> i128 {
    let value = |total: Total| i128::from(total.plus) - i128::from(total.minus.unwrap_or(0));
    live.iter().filter_map(|live| Total::of(&live.payload)).map(value).sum()
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
    }
}
