//! `Mutation`: other bytes out of those at hand, by chance under a seed.
//!
//! It does not look which branches the bytes took, as a fuzzer does: it is good for a quick and even beating on every run
//! of the tests, and for a long one now and then.

use disk::Random;

/// Longest input made: what is longer says little more and costs much.
const LEN_MAX: usize = 4 << 10;

/// Bytes that mean something to a decoder: heads of CBOR with and without lengths behind them, and edges.
const TELLING: [u8; 24] = [
    0x00, 0x01, 0x02, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x40, 0x58, 0x59, 0x5a, 0x5b, 0x80, 0x82, 0x98, 0x9a,
    0x9b, 0xa0, 0xf4, 0xf5, 0xf6, 0x7f, 0xff,
];

/// Inputs made out of others.
pub struct Mutation<'a> {
    inputs: &'a [Vec<u8>],
    random: Random,
}

impl<'a> Mutation<'a> {
    /// From these inputs, of which there is at least one.
    pub fn new(inputs: &'a [Vec<u8>], seed: u64) -> Mutation<'a> {
        assert!(!inputs.is_empty(), "nothing comes of nothing");
        Mutation { inputs, random: Random::new(seed) }
    }

    /// The next input: one of those at hand, bent once or a few times.
    pub fn make(&mut self) -> Vec<u8> {
        let mut bytes = self.any().to_vec();
        for _ in 0..1 + self.random.below(4) {
            self.bend(&mut bytes);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn any(&mut self) -> &'a [u8] {
        &self.inputs[self.random.below(self.inputs.len() as u64) as usize]
    }

    fn bend(&mut self, bytes: &mut Vec<u8>) {
        let at = self.random.below(bytes.len() as u64 + 1) as usize;
        let len = 1 + self.random.below(16) as usize;
        let end = bytes.len().min(at + len);
        match self.random.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, (0..len).map(|_| self.random.next() as u8)).for_each(drop),
            3 => bytes.extend_from_within(at..end),
            4 => {
                let other = self.any();
                let from = self.random.below(other.len() as u64 + 1) as usize;
                let len = self.random.below(256) as usize;
                bytes.splice(at..end, other[from..].iter().take(len).copied()).for_each(drop);
            }
            5 => self.write_number(&mut bytes[at..]),
            6 => bytes[at..end].fill(TELLING[self.random.below(TELLING.len() as u64) as usize]),
            kind => {
                let Some(byte) = bytes.get_mut(at) else { return };
                match kind {
                    7 => *byte ^= 1 << self.random.below(8),
                    _ => *byte = TELLING[self.random.below(TELLING.len() as u64) as usize],
                }
            }
        }
    }

    /// A number near an edge, in either order of bytes, as wide as chance wants it.
    fn write_number(&mut self, bytes: &mut [u8]) {
        let near = self.random.below(5).wrapping_sub(2);
        let number = (1_u64 << self.random.below(64)).wrapping_add(near);
        let width = 1 << self.random.below(4);
        let number =
            if self.random.coin() { number.to_le_bytes() } else { number.swap_bytes().to_le_bytes() };
        let number = if number[0] == 0 { &number[8 - width..] } else { &number[..width] };
        bytes.iter_mut().zip(number).for_each(|(byte, new)| *byte = *new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_and_hardly_one_twice() {
        let inputs = [b"one input".to_vec(), b"and another one".to_vec()];
        let make = |seed| {
            let mut mutation = Mutation::new(&inputs, seed);
            (0..500).map(|_| mutation.make()).collect::<Vec<_>>()
        };
        assert_eq!(make(7), make(7));
        let different: std::collections::BTreeSet<Vec<u8>> = make(7).into_iter().collect();
        assert!(different.len() > 400, "{}", different.len());
    }
}
