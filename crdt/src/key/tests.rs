//! Keys keep the order of tuples, delimit themselves and have one spelling.

use std::cmp::Ordering;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Element {
    Element::Text(text.to_owned())
}

fn big(negative: bool, magnitude: &[u8]) -> Element {
    Element::BigInt { negative, magnitude: magnitude.to_vec() }
}

#[track_caller]
fn check_encoding(element: Element, hex: &str) {
    let key = encode(std::slice::from_ref(&element)).expect("a key");
    assert_eq!(HEXLOWER.encode(&key), format!("{hex}00"));
    assert_eq!(decode(&key), Ok(vec![element]));
}

#[test]
fn each_element_has_the_bytes_of_the_format() {
    check_encoding(Element::Null, "01");
    check_encoding(Element::Bool(false), "02");
    check_encoding(Element::Bool(true), "03");
    check_encoding(Element::Int(0), "0d");
    check_encoding(Element::Int(1), "0e01");
    check_encoding(Element::Int(-1), "0cfe");
    check_encoding(Element::Int(256), "0f0100");
    check_encoding(Element::Int(-256), "0bfeff");
    check_encoding(Element::Int(i64::MAX), "157fffffffffffffff");
    check_encoding(Element::Int(i64::MIN), "057fffffffffffffff");
    check_encoding(big(false, &[0xff; 8]), "15ffffffffffffffff");
    check_encoding(big(true, &[0xff; 8]), "050000000000000000");
    check_encoding(big(false, &[1; 9]), "1609010101010101010101");
    check_encoding(big(true, &[1; 9]), "04f6fefefefefefefefefe");
    check_encoding(Element::Float(0.0), "208000000000000000");
    check_encoding(Element::Float(1.0), "20bff0000000000000");
    check_encoding(Element::Float(-1.0), "20400fffffffffffff");
    check_encoding(Element::Time(0), "288000000000000000");
    check_encoding(Element::Time(-1), "287fffffffffffffff");
    check_encoding(text("a\0b"), "306100ff6200");
    check_encoding(Element::Bytes(vec![0, 0xff, 0]), "3800ffff00ff00");
}

#[test]
fn other_spellings_of_a_key_are_refused() {
    let spelling = [
        ("", 0),                       // nothing
        ("01", 1),                     // no end
        ("0100ff", 1),                 // more after the end
        ("0000", 0),                   // an end where an element should be
        ("0e0000", 0),                 // a magnitude that begins with zero
        ("0cff00", 0),                 // the same below zero
        ("0f0100", 3),                 // no end after a whole integer
        ("1608010101010101010100", 0), // an integer with a length of its own that fits into a tag
        ("04f7fefefefefefefefe00", 0), // the same below zero
        ("160900010101010101010100", 0),
        ("207fffffffffffffff00", 0), // -0
        ("20fff800000000000000", 0), // NaN
        ("2000000000000000", 0),     // half a float
        ("306100", 3),               // text whose end is the last byte
        ("30ff0000", 0),             // text that is not
        ("30c300ffa90000", 0),       // a character with an escape inside
        ("0400", 0),
        ("1000", 0),
        ("3100", 0),
        ("ff00", 0),
    ];
    for (hex, at) in spelling {
        let key = HEXLOWER.decode(hex.as_bytes()).expect("tests write hex");
        assert_eq!(decode(&key), Err(KeyProblem::Spelling { at }), "{hex}");
        assert_eq!(check(&key), Err(KeyProblem::Spelling { at }), "{hex}");
    }
    assert_eq!(decode(&[0]), Err(KeyProblem::Count), "a tuple without elements");
}

#[test]
fn limits_of_a_key_are_kept() {
    assert_eq!(encode(&[]), Err(KeyProblem::Count));
    assert!(encode(&vec![Element::Null; 16]).is_ok());
    assert_eq!(encode(&vec![Element::Null; 17]), Err(KeyProblem::Count));
    assert_eq!(decode(&[[1; 17].as_slice(), &[0]].concat()), Err(KeyProblem::Count));
    let longest = plain(&[b'x'; 1021]);
    assert_eq!((longest.len(), check(&longest)), (KEY_LEN_MAX, Ok(())));
    assert_eq!(check(&plain(&[b'x'; 1022])), Err(KeyProblem::TooLong));
    assert_eq!(encode(&[text(&"x".repeat(1022))]), Err(KeyProblem::TooLong));
    assert_eq!(encode(&[Element::Float(f64::NAN)]), Err(KeyProblem::Nan));
    assert_eq!(encode(&[big(false, &[1; 256])]), Err(KeyProblem::BigInt));
    assert!(encode(&[big(true, &[1; 255])]).is_ok());
}

#[test]
fn equal_numbers_have_equal_keys() {
    assert_eq!(encode(&[big(false, &[0, 0, 7])]), encode(&[Element::Int(7)]));
    assert_eq!(encode(&[big(true, &[])]), encode(&[Element::Int(0)]));
    assert_eq!(encode(&[Element::Float(-0.0)]), encode(&[Element::Float(0.0)]));
}

#[test]
fn plain_key_is_text_or_bytes() {
    assert_eq!(plain(b"a\0"), encode(&[text("a\0")]).expect("a key"));
    assert_eq!(plain(&[0xff, 0]), encode(&[Element::Bytes(vec![0xff, 0])]).expect("a key"));
    assert_eq!(plain_name(&plain(b"a\0")), Some(b"a\0".to_vec()));
    assert_eq!(plain_name(&plain(&[0xff])), Some(vec![0xff]));
    assert_eq!(plain_name(&encode(&[Element::Int(1)]).expect("a key")), None);
    let text_as_bytes = encode(&[Element::Bytes(b"a".to_vec())]).expect("a key");
    assert_eq!(plain_name(&text_as_bytes), None, "plain would have made text of it");
}

#[test]
fn prefixes_select_what_begins_with_them() {
    let key = |elements: &[Element]| encode(elements).expect("a key");
    let tuple = prefix_of_tuple(&[text("a")]).expect("a prefix");
    assert!(key(&[text("a")]).starts_with(&tuple));
    assert!(key(&[text("a"), Element::Int(1)]).starts_with(&tuple));
    assert!(!key(&[text("ab")]).starts_with(&tuple));
    assert!(key(&[text("ab")]).starts_with(&prefix_of_text("a")));
    assert!(key(&[text("")]).starts_with(&prefix_of_text("")));
    assert!(!key(&[Element::Bytes(vec![])]).starts_with(&prefix_of_text("")));
    assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
    assert_eq!(after_prefix(&[0xff]), None);
}

#[test]
fn range_of_a_tuple_ends_before_texts_that_go_on_with_a_zero() {
    let (start, end) = range_of_tuple(&[text("a")]).expect("a range");
    let range = start..end;
    let within = |elements: &[Element]| range.contains(&encode(elements).expect("a key"));
    assert!(within(&[text("a")]) && within(&[text("a"), Element::Null]));
    assert!(within(&[text("a"), Element::Bytes(vec![0xff])]));
    assert!(!within(&[text("a\0")]) && !within(&[text("ab")]) && !within(&[text("")]));
}

#[track_caller]
fn check_display(elements: &[Element], shown: &str) {
    assert_eq!(display(&encode(elements).expect("a key")).to_string(), shown);
}

#[test]
fn keys_are_shown_as_people_write_them() {
    check_display(&[text("mode")], "mode");
    check_display(&[text("a\nb\x1b")], "a\\nb\\u{1b}");
    check_display(&[Element::Int(-5)], "-5");
    check_display(&[text("a"), Element::Int(5), Element::Float(5.0)], "(\"a\", 5, 5.0)");
    check_display(&[Element::Bytes(vec![0xca, 0xfe])], "0xcafe");
    check_display(&[big(true, &[1; 9])], "-0x010101010101010101");
    check_display(&[Element::Null, Element::Bool(true)], "(null, true)");
    check_display(&[Element::Time(1_709_208_000_000_001)], "2024-02-29T12:00:00.000001Z");
    check_display(&[Element::Time(-1_000_000)], "1969-12-31T23:59:59Z");
    assert_eq!(display(&[0xff]).to_string(), "0xff", "bytes that are no key");
}

/// The order of elements, said without their encoding.
fn compare(a: &Element, b: &Element) -> Ordering {
    use Element::{BigInt, Bool, Bytes, Float, Int, Null, Text, Time};
    let type_of = |element: &Element| match element {
        Null => 0,
        Bool(_) => 1,
        Int(_) | BigInt { .. } => 2,
        Float(_) => 3,
        Time(_) => 4,
        Text(_) => 5,
        Bytes(_) => 6,
    };
    let int = |element: &Element| match element {
        Int(int) => i128::from(*int),
        BigInt { negative, magnitude } => {
            let value = magnitude.iter().fold(0, |value: i128, byte| value << 8 | i128::from(*byte));
            if *negative { -value } else { value }
        }
        _ => unreachable!("only integers are compared as such"),
    };
    match (a, b) {
        (Bool(a), Bool(b)) => a.cmp(b),
        (Int(_) | BigInt { .. }, Int(_) | BigInt { .. }) => int(a).cmp(&int(b)),
        (Float(a), Float(b)) => a.partial_cmp(b).expect("no NaN"),
        (Time(a), Time(b)) => a.cmp(b),
        (Text(a), Text(b)) => a.cmp(b),
        (Bytes(a), Bytes(b)) => a.cmp(b),
        _ => type_of(a).cmp(&type_of(b)),
    }
}

fn compare_tuples(a: &[Element], b: &[Element]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    unequal.unwrap_or(a.len().cmp(&b.len()))
}

fn element() -> impl Strategy<Value = Element> {
    let near_zero = prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff), any::<u8>()];
    let bytes = proptest::collection::vec(near_zero, 0..4);
    prop_oneof![
        Just(Element::Null),
        any::<bool>().prop_map(Element::Bool),
        any::<i64>().prop_map(Element::Int),
        (-300i64..300).prop_map(Element::Int),
        (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..13))
            .prop_map(|(negative, magnitude)| Element::BigInt { negative, magnitude }),
        any::<f64>().prop_filter("no NaN", |float| !float.is_nan()).prop_map(Element::Float),
        prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
            .prop_map(Element::Float),
        any::<i64>().prop_map(Element::Time),
        "[\0-\u{3}a-c\u{e9}\u{10ffff}]{0,4}".prop_map(Element::Text),
        bytes.prop_map(Element::Bytes),
    ]
}

fn tuple() -> impl Strategy<Value = Vec<Element>> {
    proptest::collection::vec(element(), 1..4)
}

/// Pairs that share a beginning, where an encoding goes wrong if it does.
fn tuples_alike() -> impl Strategy<Value = (Vec<Element>, Vec<Element>)> {
    let ends = (proptest::collection::vec(element(), 0..3), proptest::collection::vec(element(), 0..3));
    (tuple(), ends).prop_map(|(start, (a, b))| ([start.clone(), a].concat(), [start, b].concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keys_sort_as_tuples_do((a, b) in prop_oneof![(tuple(), tuple()), tuples_alike()]) {
        let (key_a, key_b) = (encode(&a).expect("a key"), encode(&b).expect("a key"));
        prop_assert_eq!(key_a.cmp(&key_b), compare_tuples(&a, &b));
        prop_assert!(key_a == key_b || !key_a.starts_with(&key_b), "a key is the beginning of another");
    }

    #[test]
    fn key_comes_back_as_the_same_tuple(tuple in tuple()) {
        let key = encode(&tuple).expect("a key");
        let decoded = decode(&key).expect("what encodes decodes");
        prop_assert!(compare_tuples(&decoded, &tuple).is_eq());
        prop_assert_eq!(encode(&decoded), Ok(key));
    }

    #[test]
    fn whatever_decodes_has_one_spelling(tuple in tuple(), at: prop::sample::Index, byte: u8) {
        let mut key = encode(&tuple).expect("a key");
        let at = at.index(key.len());
        key[at] = byte;
        prop_assert_eq!(check(&key), decode(&key).map(|_| ()));
        if let Ok(decoded) = decode(&key) {
            prop_assert_eq!(encode(&decoded), Ok(key));
        }
    }

    #[test]
    fn random_bytes_have_one_spelling(bytes in proptest::collection::vec(0u8..0x3a, 0..6)) {
        if let Ok(decoded) = decode(&bytes) {
            prop_assert_eq!(encode(&decoded), Ok(bytes));
        }
    }
}
