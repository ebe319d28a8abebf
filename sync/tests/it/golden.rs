//! The bytes of every frame, as they are on the wire for ever, read a second time by somebody else's CBOR.

use std::fmt::Write;

use ciborium::Value;
use expect_test::expect_file;
use sync::Frame;
use sync::frame::HEADER_LEN;

use crate::samples;

#[test]
fn every_frame_has_the_bytes_it_always_had() {
    let mut text = String::new();
    for frame in samples::all() {
        let bytes = frame.encode();
        let value = read_again(&bytes[HEADER_LEN..]);
        writeln!(text, "# {} ({})", frame.name(), frame.number()).expect("a string takes all");
        writeln!(text, "{}", hex(&bytes)).expect("a string takes all");
        writeln!(text, "{}\n", show(&value)).expect("a string takes all");
    }
    expect_file!["../../golden/frames.txt"].assert_eq(&text);
}

#[test]
fn golden_bytes_decode_to_the_frames_they_were_made_of() {
    let text = include_str!("../../golden/frames.txt");
    let lines = text.lines().filter(|line| line.starts_with("0") && line.len() > 12);
    let decoded = lines.map(|line| {
        let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hex");
        let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
        Frame::decode(bytes[4], &bytes[HEADER_LEN..]).expect("golden bytes decode")
    });
    assert_eq!(decoded.collect::<Vec<_>>(), samples::all());
}

/// The payload as another implementation of CBOR sees it; it writes the very same bytes again.
fn read_again(payload: &[u8]) -> Value {
    let value: Value = ciborium::from_reader(payload).expect("payloads are CBOR");
    let mut again = Vec::new();
    ciborium::into_writer(&value, &mut again).expect("a vector takes all");
    assert_eq!(again, payload);
    value
}

fn show(value: &Value) -> String {
    match value {
        Value::Integer(number) => i128::from(*number).to_string(),
        Value::Bytes(bytes) if bytes.is_empty() => "''".into(),
        Value::Bytes(bytes) if bytes.len() > 64 => format!("h'{}..{} bytes'", hex(&bytes[..4]), bytes.len()),
        Value::Bytes(bytes) => format!("h'{}'", hex(bytes)),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => panic!("{other:?} is not of the subset"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
