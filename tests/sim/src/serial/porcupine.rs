//! The checker, checked: histories that others recorded and judged. It takes the good and refuses the bad.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Fate, Model, Span, order};

/// One register that clients read, write, and set if it holds what they expect.
struct Register;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Read(Option<u64>),
    Write(u64),
    /// From, to, and whether it did; none: nobody knows.
    Cas(u64, u64, Option<bool>),
}

impl Model for Register {
    type State = Option<u64>;
    type Call = Access;

    fn start(&self) -> Option<u64> {
        None
    }

    fn step(&self, state: &Option<u64>, call: &Access) -> Option<Option<u64>> {
        match *call {
            Access::Read(value) => (*state == value).then_some(*state),
            Access::Write(value) => Some(Some(value)),
            Access::Cas(from, to, outcome) => {
                let is_done = *state == Some(from);
                let fits = outcome.is_none_or(|outcome| outcome == is_done);
                fits.then_some(if is_done { Some(to) } else { *state })
            }
        }
    }
}

/// One text that clients read, set, and append to.
struct Text;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Edit {
    Get(String),
    Put(String),
    Append(String),
}

impl Model for Text {
    type State = String;
    type Call = Edit;

    fn start(&self) -> String {
        String::new()
    }

    fn step(&self, state: &String, call: &Edit) -> Option<String> {
        match call {
            Edit::Get(value) => (state == value).then(|| state.clone()),
            Edit::Put(value) => Some(value.clone()),
            Edit::Append(value) => Some(format!("{state}{value}")),
        }
    }
}

/// A register's history: `process :invoke|:ok|:fail|:info :read|:write|:cas value`, a line for each moment.
fn register(text: &str) -> Vec<Span<Access>> {
    let (mut history, mut open) = (Vec::new(), BTreeMap::new());
    for (moment, line) in (0..).zip(text.lines()) {
        let fields: Vec<&str> = line.rsplit(" - ").next().expect("a part").split('\t').collect();
        let [process, event, verb, value] = fields[..] else { panic!("line {moment}: {line}") };
        let answer = |open: &mut BTreeMap<_, usize>| open.remove(process).expect("it was called");
        match event {
            ":invoke" => {
                open.insert(process.to_owned(), history.len());
                let call = access(verb, value);
                history.push(Span { call, from: moment, to: u64::MAX, fate: Fate::Unknown });
            }
            // A process that was not answered is never heard of again; its call may happen at any time.
            ":info" => drop(answer(&mut open)),
            _ => {
                let span = &mut history[answer(&mut open)];
                span.call = match access(verb, value) {
                    Access::Cas(from, to, _) => Access::Cas(from, to, Some(event == ":ok")),
                    other => other,
                };
                (span.to, span.fate) = (moment, Fate::Answered);
            }
        }
    }
    history
}

fn access(verb: &str, value: &str) -> Access {
    let number = |text: &str| text.parse().expect("a number");
    match verb {
        ":read" => Access::Read(value.parse().ok()),
        ":write" => Access::Write(number(value)),
        _ => {
            let pair = value.trim_matches(['[', ']']).split_once(' ').expect("two numbers");
            Access::Cas(number(pair.0), number(pair.1), None)
        }
    }
}

/// The histories of texts, one for each key: what happens to one says nothing of another.
fn texts(text: &str) -> Vec<Vec<Span<Edit>>> {
    let (mut histories, mut open) = (BTreeMap::<_, Vec<Span<Edit>>>::new(), BTreeMap::new());
    for (moment, line) in (0..).zip(text.lines()) {
        let field = |name: &str| {
            let at = line.find(name).unwrap_or_else(|| panic!("line {moment}: {line}")) + name.len();
            line[at..].trim_end_matches('}').trim_start()
        };
        let word = |name: &str| field(name).split([',', ' ']).next().expect("a part");
        let (key, value) = (word(":key"), field(":value").trim_matches('"').to_owned());
        let call = match word(":f") {
            ":get" => Edit::Get(value),
            ":put" => Edit::Put(value),
            _ => Edit::Append(value),
        };
        let history = histories.entry(key).or_default();
        if word(":type") == ":invoke" {
            open.insert(word(":process"), history.len());
            history.push(Span { call, from: moment, to: u64::MAX, fate: Fate::Unknown });
        } else {
            let span = &mut history[open.remove(word(":process")).expect("it was called")];
            *span = Span { call, from: span.from, to: moment, fate: Fate::Answered };
        }
    }
    histories.into_values().collect()
}

fn is_register(text: &str) -> bool {
    order(&Register, &register(text)).is_ok()
}

fn are_texts(text: &str) -> bool {
    texts(text).iter().all(|history| order(&Text, history).is_ok())
}

/// None, and said loudly, on a machine without the data sets.
#[expect(clippy::disallowed_methods, reason = "where the data sets are is a matter of the machine")]
fn data_sets() -> Option<PathBuf> {
    let Ok(sets) = std::env::var("STRANDLINE_DATA_SETS") else {
        eprintln!(
            "SKIPPED: STRANDLINE_DATA_SETS is not set, and short histories stand in for the recorded ones"
        );
        return None;
    };
    Some(Path::new(&sets).join("porcupine"))
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn recorded_histories_are_judged_as_their_authors_judged_them() {
    let Some(folder) = data_sets() else { return };
    for (name, expected) in [("c01-ok", true), ("c10-ok", true), ("c10-bad", false)] {
        assert_eq!(are_texts(&read(&folder, &format!("{name}.txt"))), expected, "{name}");
    }
    for n in 0..10 {
        let name = format!("etcd_{n:03}.log");
        assert_eq!(is_register(&read(&folder, &name)), [2, 5, 7].contains(&n), "{name}");
    }
}

/// `process verb value`, one line for each moment, as a register's log would have them.
fn log(lines: &str) -> String {
    let line = |line: &str| {
        let fields: Vec<&str> = line.trim().splitn(4, ' ').collect();
        format!("INFO  test - {}\t:{}\t:{}\t{}\n", fields[0], fields[1], fields[2], fields[3])
    };
    lines.split(';').map(line).collect()
}

#[test]
fn short_histories_of_a_register_are_judged() {
    let rivals = "0 invoke write 1; 1 invoke write 2; 0 ok write 1; 1 ok write 2";
    let cas = "0 invoke write 1; 0 ok write 1; 1 invoke cas [1 2]; 2 invoke cas [1 3]; 1 ok cas [1 2]";
    let lost = "0 invoke write 1; 0 info write :timed-out";
    for (history, expected) in [
        ("0 invoke read nil; 0 ok read nil".to_owned(), true),
        ("0 invoke read nil; 0 ok read 4".to_owned(), false),
        (format!("{rivals}; 2 invoke read nil; 2 ok read 1"), true),
        (format!("{rivals}; 2 invoke read nil; 2 ok read 2"), true),
        // Two clients one after the other must agree on who came last.
        (format!("{rivals}; 2 invoke read nil; 2 ok read 1; 3 invoke read nil; 3 ok read 2"), false),
        (format!("{cas}; 2 fail cas [1 3]"), true),
        (format!("{cas}; 2 ok cas [1 3]"), false),
        (format!("{lost}; 1 invoke read nil; 1 ok read nil"), true),
        (format!("{lost}; 1 invoke read nil; 1 ok read nil; 1 invoke read nil; 1 ok read 1"), true),
        (format!("{lost}; 1 invoke read nil; 1 ok read 1; 1 invoke read nil; 1 ok read nil"), false),
    ] {
        assert_eq!(is_register(&log(&history)), expected, "{history}");
    }
}

#[test]
fn short_histories_of_texts_are_judged() {
    let line = |(process, kind, verb, key, value): (u8, &str, &str, u8, &str)| {
        let value = if kind == "invoke" && verb == "get" { "nil".into() } else { format!("\"{value}\"") };
        format!("{{:process {process}, :type :{kind}, :f :{verb}, :key \"{key}\", :value {value}}}\n")
    };
    let history = |second: &'static str| -> String {
        let both = [
            (0, "invoke", "append", 7, "a b "),
            (1, "invoke", "append", 7, "c"),
            (2, "invoke", "put", 8, "d"),
            (0, "ok", "append", 7, "a b "),
            (1, "ok", "append", 7, "c"),
            (0, "invoke", "get", 7, ""),
            (2, "ok", "put", 8, "d"),
            (0, "ok", "get", 7, second),
        ];
        both.map(line).concat()
    };
    for (second, expected) in
        [("a b c", true), ("ca b ", true), ("a b ", false), ("c", false), ("a b cd", false)]
    {
        assert_eq!(are_texts(&history(second)), expected, "{second}");
    }
}
