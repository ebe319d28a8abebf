//! Where a node ends: decided by content, not by history.
//!
//! After the last row of each name (a key without its dot), a hash of the name is compared with a threshold that
//! grows with the fourth power of the node's size, so sizes gather closely around the target. Integers only: a
//! cut must fall in the same place on every machine. Siblings (rows of one name) are parted by the caps alone.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Scale of the Weibull distribution of node weights: a mean of 4 KiB is 0.906 of it, the gamma function of 5/4.
const SCALE: u64 = 4520;
const SCALE_FOURTH: u64 = SCALE * SCALE * SCALE * SCALE;

/// Rows a node holds at most, however light: bounds the search, and what mined keys can do to it.
pub(crate) const ROWS_MAX: usize = 1024;

/// A node ends once it weighs this much: four times the target, which no honest key sequence meets.
pub(crate) const WEIGHT_MAX: usize = 16 * 1024;

/// Children a branch has at least, unless it is the last of its level. Keys mined to cut everywhere at every
/// level still give a tree of at most [`LEVEL_MAX`] levels for 8^10 leaves.
pub(crate) const BRANCH_ROWS_MIN: usize = 8;

/// The highest level of a branch; leaves are level 0.
pub(crate) const LEVEL_MAX: u8 = 10;

/// What a row costs beyond its name and payload, near enough: offsets, sequence number, time.
const ROW_OVERHEAD: usize = 12;

/// What a row adds to its node's weight: a function of the row alone, so that one row's neighbours cannot move
/// another row's cut.
pub(crate) fn weight(name_len: usize, payload_len: usize) -> usize {
    name_len + payload_len + ROW_OVERHEAD
}

/// The rule for one level of one space's trees.
#[derive(Clone, Copy)]
pub(crate) struct Boundary {
    seed: u64,
    rows_min: usize,
}

impl Boundary {
    pub(crate) fn new(seed: u64, level: u8) -> Boundary {
        // Another seed for each level: else the name that ended a leaf would end its branch, too.
        let seed = seed.wrapping_add(u64::from(level).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Boundary { seed, rows_min: if level == 0 { 1 } else { BRANCH_ROWS_MIN } }
    }

    /// Whether a node of `rows` rows must end whatever the names are.
    pub(crate) fn is_full(&self, rows: usize, weight: usize) -> bool {
        rows >= self.rows_min && (rows >= ROWS_MAX || weight >= WEIGHT_MAX)
    }

    /// Whether a node ends after the last row of `name`, which makes it weigh `weight` and have `rows` rows;
    /// it weighed `weight_before` after the last row of the name before.
    pub(crate) fn cuts(&self, name: &[u8], rows: usize, weight_before: usize, weight: usize) -> bool {
        rows >= self.rows_min && self.draws(name, weight_before as u64, weight as u64)
    }

    /// The chance of a cut is (weight^4 - weight_before^4) / SCALE^4: the hazard of a Weibull distribution of shape
    /// four between two weights. It adds up over rows, so big and small rows give nodes of the same size.
    fn draws(&self, name: &[u8], weight_before: u64, weight: u64) -> bool {
        // A weight stays below 2^15.1 (the cap and one row more), so its fourth power fits.
        let gain = weight.pow(4) - weight_before.pow(4);
        let draw = xxh3_64_with_seed(name, self.seed) >> 32;
        u128::from(draw) * u128::from(SCALE_FOURTH) < u128::from(gain) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights_of_nodes(row: usize, rows: u64) -> Vec<usize> {
        let rule = Boundary::new(42, 0);
        let (mut weights, mut before) = (Vec::new(), 0);
        for i in 0..rows {
            let now = before + row;
            if rule.cuts(&i.to_be_bytes(), 1, before, now) {
                weights.push(now);
                before = 0;
            } else {
                before = now;
            }
        }
        weights.sort_unstable();
        weights
    }

    #[test]
    fn nodes_gather_around_the_target_whatever_the_size_of_a_row() {
        for row in [40, 116, 500] {
            let weights = weights_of_nodes(row, 100_000);
            let mean = weights.iter().sum::<usize>() / weights.len();
            assert!((3900..4500).contains(&mean), "rows of {row}: mean {mean}");
            assert!(weights[weights.len() / 100] > 1000, "rows of {row}: the smallest are too small");
            assert!(weights[weights.len() * 99 / 100] < 7000, "rows of {row}: the largest are too large");
        }
    }

    #[test]
    fn cuts_never_move() {
        let weights = weights_of_nodes(116, 300_000);
        assert_eq!(
            (weights.len(), weights.iter().map(|weight| weight * weight).sum::<usize>()),
            (8422, 154555764016)
        );
    }

    #[test]
    fn a_branch_is_never_cut_below_its_fanout() {
        let rule = Boundary::new(42, 1);
        assert!(!rule.cuts(b"x", BRANCH_ROWS_MIN - 1, 0, WEIGHT_MAX));
        assert!(rule.cuts(b"x", BRANCH_ROWS_MIN, 0, WEIGHT_MAX));
        assert!(!rule.is_full(BRANCH_ROWS_MIN - 1, 2 * WEIGHT_MAX));
    }

    #[test]
    fn the_seed_moves_the_cuts() {
        let cuts = |seed, level| -> Vec<u64> {
            let rule = Boundary::new(seed, level);
            (0..1000u64).filter(|i| rule.cuts(&i.to_be_bytes(), 8, 3000, 3100)).collect()
        };
        assert_ne!(cuts(1, 0), cuts(2, 0));
        assert_ne!(cuts(1, 1), cuts(1, 2));
    }
}
