//! Questions, answers and proofs about writers that are said to have forked.

use std::sync::Arc;

use crdt::{Class, CommitId, DeviceKey, Dot, Evidence, Fork, Header, Hlc, Open, Seal, Strand, WriterId};
use sync::frame::ForkFrame;
use sync::{Frame, Store};

use super::{Liar, Lie, Occasion};

impl Liar {
    /// What is said about a fork that is none; none: it is about something else, or nothing is known of anybody.
    pub(super) fn accuse(&mut self, lie: Lie, occasion: &Occasion<'_>) -> Option<Frame> {
        let dot = self.nowhere(occasion);
        let frame = match lie {
            Lie::AsksNothing => ForkFrame::Ask { writer: dot.writer, seq: u64::MAX },
            Lie::UnaskedAnswer => {
                let (writer, seq, _) = self.held_of_another(occasion)?;
                let shown = occasion.replica.strand(&writer, seq)?;
                ForkFrame::Shown { writer, seq, shown: Some(Box::new(shown)) }
            }
            Lie::FalseProof => ForkFrame::Proof(Arc::new(self.false_proof(occasion)?)),
            Lie::ForeignProof => ForkFrame::Proof(Arc::new(self.foreign_proof()?)),
            _ => return None,
        };
        Some(Frame::Fork(frame))
    }

    /// A question, over and over.
    pub(super) fn questions(&mut self, count: usize) -> Vec<u8> {
        let writer = WriterId::new(self.key.id(), self.run(), Class::Normal);
        let ask = |seq| Frame::Fork(ForkFrame::Ask { writer, seq }).encode();
        (1..=count as u64).flat_map(ask).collect()
    }

    /// A true history of another device, and one that the liar makes of it and seals itself.
    fn false_proof(&mut self, occasion: &Occasion<'_>) -> Option<Evidence> {
        let (writer, seq, _) = self.held_of_another(occasion)?;
        let shown = occasion.replica.strand(&writer, seq)?;
        let mut header = shown.strand.headers[0].clone();
        header.body_hash = [self.random.next() as u8; 32];
        let other = strand(header, &self.key);
        Fork::find(shown.public, &shown.strand, &other).map(Evidence::Fork)
    }

    /// A true fork, of a device that nobody admitted.
    fn foreign_proof(&mut self) -> Option<Evidence> {
        let stranger = DeviceKey::from_seed([0x80 | self.random.next() as u8; 32]);
        let header = |body| Header {
            space: self.space,
            writer: WriterId::new(stranger.id(), [1; 7], Class::Normal),
            seq: 1,
            prev: CommitId::ZERO,
            hlc: Hlc(1 << 16),
            base: 1,
            body_hash: [body; 32],
            open: Some(Open { device_key: stranger.public(), closes: Vec::new(), reissues: None }),
        };
        let (one, other) = (strand(header(1), &stranger), strand(header(2), &stranger));
        Fork::find(stranger.public(), &one, &other).map(Evidence::Fork)
    }

    /// The last commit held of some device that is not the liar.
    fn held_of_another(&mut self, occasion: &Occasion<'_>) -> Option<(WriterId, u64, CommitId)> {
        let is_another =
            |(writer, ..): &(WriterId, u64, CommitId)| !writer.is_home() && writer.device() != self.key.id();
        let tail: Vec<_> = occasion.replica.tail().into_iter().filter(is_another).collect();
        let index = self.random.below(tail.len().max(1) as u64) as usize;
        tail.get(index).copied()
    }
}

/// One header with a seal on it.
fn strand(header: Header, key: &DeviceKey) -> Strand {
    let Dot { writer, seq } = Dot::new(header.writer, header.seq);
    let seal = Seal::sign(key, header.space, writer, seq, header.id());
    Strand { headers: vec![header], seal }
}
