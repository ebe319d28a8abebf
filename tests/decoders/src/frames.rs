//! What a peer sends: frames one by one, and a stream in pieces.

use crdt::{DeviceId, Time};
use sync::frame::HEADER_LEN;
use sync::{Frame, FrameReader, Local, Reception};

use crate::same;

/// One frame: the first byte is its number.
pub(crate) fn frame(bytes: &[u8]) {
    let Some((number, payload)) = bytes.split_first() else { return };
    let encode = |frame: &Frame| {
        let encoded = frame.encode();
        [&encoded[HEADER_LEN - 1..HEADER_LEN], &encoded[HEADER_LEN..]].concat()
    };
    same(bytes, Frame::decode(*number, payload), encode);
}

/// A stream: read at once or in pieces it is the same frames and the same end, to whoever listens.
pub(crate) fn stream(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    let whole = read(stream, stream.len().max(1));
    assert_eq!(whole, read(stream, piece), "frames depend on how the bytes arrive");
    let mut reception = Reception::new();
    drop(reception.handle_bytes(stream));
    let local = Local { device: DeviceId([1; 16]), instance: [2; 16], peer: DeviceId([3; 16]) };
    let ticket = crate::seeds::ticket();
    let mut joiner = sync::Joiner::new(&local, Time(1), ticket, [4; 32], b"exporter");
    drop(joiner.handle_bytes(stream));
}

fn read(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut reader, mut frames) = (FrameReader::new(), Vec::new());
    for piece in stream.chunks(piece) {
        reader.feed(piece);
        loop {
            match reader.pop() {
                Ok(Some(frame)) => frames.push(frame.encode()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    assert!(stream.starts_with(&frames.concat()), "frames encode to other bytes than came");
    (frames, None)
}
