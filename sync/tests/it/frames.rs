//! Every decoder: any bytes give an error or a frame that encodes back to the same bytes.

use proptest::prelude::*;
use sync::frame::{Cover, FRAME_LEN_MAX, HEADER_LEN};
use sync::{Error, Frame, FrameReader};

use crate::samples;

/// Decodes, and where that works demands the same bytes back.
fn check(number: u8, payload: &[u8]) {
    if let Ok(frame) = Frame::decode(number, payload) {
        assert_eq!(&frame.encode()[HEADER_LEN..], payload, "{frame:?}");
    }
}

#[test]
fn every_frame_comes_back_as_it_was() {
    for frame in samples::all() {
        let bytes = frame.encode();
        assert_eq!(Frame::decode(frame.number(), &bytes[HEADER_LEN..]).expect("own bytes"), frame);
    }
}

#[test]
fn any_single_changed_byte_is_refused_or_is_another_frame() {
    for frame in samples::all() {
        let bytes = frame.encode();
        for at in HEADER_LEN..bytes.len() {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut payload = bytes[HEADER_LEN..].to_vec();
                payload[at - HEADER_LEN] ^= change;
                check(frame.number(), &payload);
            }
        }
    }
}

#[test]
fn a_frame_cut_short_or_with_more_behind_it_is_refused() {
    for frame in samples::all() {
        let payload = frame.encode().split_off(HEADER_LEN);
        for len in 0..payload.len() {
            assert!(Frame::decode(frame.number(), &payload[..len]).is_err(), "{} of {len}", frame.name());
        }
        let longer = [&payload[..], &[0]].concat();
        assert!(Frame::decode(frame.number(), &longer).is_err(), "{}", frame.name());
    }
}

#[test]
fn a_list_out_of_order_or_with_a_writer_twice_is_refused() {
    for frame in samples::all() {
        let Frame::Cover(cover) = frame else { continue };
        for rows in [[1, 0], [0, 0]] {
            let rows = rows.map(|row: usize| cover.rows[row].clone()).to_vec();
            let bytes = Frame::Cover(Cover { rows, more: false }).encode();
            assert!(matches!(Frame::decode(2, &bytes[HEADER_LEN..]), Err(Error::Malformed { .. })));
        }
    }
}

#[test]
fn unknown_numbers_are_refused_at_the_header() {
    for number in [20, 255] {
        let mut reader = FrameReader::new();
        reader.feed(&[0, 0, 0, 1, number]);
        assert!(matches!(reader.pop(), Err(Error::UnknownFrame { frame }) if frame == number));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
    for number in 0..=255 {
        let Some(max) = Frame::len_max(number) else { continue };
        assert!(max + HEADER_LEN <= FRAME_LEN_MAX);
        for len in [max as u32 + 1, u32::MAX] {
            let mut header = len.to_be_bytes().to_vec();
            header.push(number);
            let mut reader = FrameReader::new();
            reader.feed(&header);
            assert!(matches!(reader.pop(), Err(Error::TooLarge { frame, .. }) if frame == number));
        }
    }
}

#[test]
fn counts_that_cannot_be_true_are_refused_before_allocation() {
    // An array that claims 2^32 or 2^64 - 1 items, where each list of each frame begins.
    for claim in [&[0x9a, 0xff, 0xff, 0xff, 0xff][..], &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255][..]] {
        for frame in samples::all() {
            let payload = frame.encode().split_off(HEADER_LEN);
            for at in 0..payload.len() {
                if payload[at] >> 5 == 4 {
                    let lie = [&payload[..at], claim, &payload[at + 1..]].concat();
                    check(frame.number(), &lie);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_payload_is_an_error_or_a_frame(number in 0u8..21, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(number, &payload);
    }

    #[test]
    fn a_spliced_frame_is_an_error_or_a_frame(
        pick in 0usize..64,
        at in any::<prop::sample::Index>(),
        cut in 0usize..8,
        insert in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let frames = samples_once();
        let (number, payload) = &frames[pick % frames.len()];
        let at = at.index(payload.len());
        let end = (at + cut).min(payload.len());
        check(*number, &[&payload[..at], &insert, &payload[end..]].concat());
    }

    #[test]
    fn fragments_do_not_matter_to_the_reader(sizes in proptest::collection::vec(1usize..300, 1..50)) {
        let bytes: Vec<u8> = samples_once().iter().flat_map(|(number, payload)| frame_bytes(*number, payload)).collect();
        let (mut reader, mut rest, mut count) = (FrameReader::new(), &bytes[..], 0);
        for size in sizes.iter().cycle() {
            let (part, after) = rest.split_at((*size).min(rest.len()));
            reader.feed(part);
            rest = after;
            while reader.pop().expect("valid frames").is_some() {
                count += 1;
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(count, samples_once().len());
        prop_assert!(!reader.is_within_frame());
    }
}

fn frame_bytes(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.push(number);
    bytes.extend(payload);
    bytes
}

/// Number and payload of each sample, made once: signatures are slow without optimisation.
fn samples_once() -> &'static [(u8, Vec<u8>)] {
    static SAMPLES: std::sync::OnceLock<Vec<(u8, Vec<u8>)>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        samples::all().iter().map(|frame| (frame.number(), frame.encode().split_off(HEADER_LEN))).collect()
    })
}
