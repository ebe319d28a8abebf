//! What happened in a world, told for a person: who wrote, what was lost, who learned what, when all were equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crdt::{CollId, Dot, WriterId};

use crate::event::{Event, What};
use crate::outcome::{Broken, Outcome};
use crate::promise::says;

/// What a reader has to know.
const LEGEND: &str = "m0, m1 ... are machines, s0 is a space. m1/a is the first writer that machine 1 opened (each start opens another), \
m1/a:3 its third commit.
To acknowledge is to promise: whoever wrote it was told that it is durable. A Handle is the home's signed state; what it covers is in \
the base of whoever adopts it.
Kinds of faults (F1 ...) and promises (I1 ...): docs/testing.md.
";

/// What became of a commit.
#[derive(Debug, Default)]
struct Fate {
    machine: usize,
    keys: String,
    written: u64,
    acknowledged: Option<u64>,
    /// Who learned it, when, from whom.
    learned: Vec<(usize, u64, usize)>,
}

/// The story of a world that was played with its events.
pub fn tell(played: &Result<Outcome, Broken>) -> String {
    let (Ok(Outcome { events, .. }) | Err(Broken { events, .. })) = played;
    let mut story = Story::read(events);
    story.begin(events);
    let mut rest = events.as_slice();
    while let Some(event) = rest.first() {
        let many = rest.iter().take_while(|other| is_one_sentence(event, other)).count();
        let (sentence, after) = rest.split_at(many);
        story.sentence(sentence);
        rest = after;
    }
    match played {
        Ok(outcome) => story.end(outcome),
        Err(broken) => story.breaks(broken),
    }
    story.text
}

/// Writes of one machine, and what one machine learns from another, are told together.
fn is_one_sentence(first: &Event, other: &Event) -> bool {
    let same = match (&first.what, &other.what) {
        (
            What::Writes { .. } | What::Acknowledges { .. },
            What::Writes { .. } | What::Acknowledges { .. },
        ) => true,
        (What::Learns { peer, .. }, What::Learns { peer: other, .. }) => peer == other,
        _ => std::ptr::eq(first, other),
    };
    same && first.machine == other.machine
}

#[derive(Default)]
struct Story {
    text: String,
    /// `m1/a` is the first writer that machine 1 opened.
    writers: BTreeMap<WriterId, String>,
    fates: BTreeMap<Dot, Fate>,
    /// What a machine wrote in this life and was not told to be durable.
    open: BTreeMap<usize, Vec<Dot>>,
}

impl Story {
    /// Who wrote what, and what became of it.
    fn read(events: &[Event]) -> Story {
        let mut story = Story::default();
        let mut opened: BTreeMap<usize, u8> = BTreeMap::new();
        for event in events {
            let machine = event.machine.unwrap_or_default();
            match &event.what {
                What::Writes { dot, puts, deletes, .. } => {
                    let count = opened.entry(machine).or_default();
                    story.writers.entry(dot.writer).or_insert_with(|| {
                        *count += 1;
                        name(machine, *count - 1)
                    });
                    let keys = keys(puts, deletes);
                    let fate = Fate { machine, keys, written: event.at, ..Fate::default() };
                    story.fates.insert(*dot, fate);
                }
                What::Acknowledges { dot, .. } => {
                    if let Some(fate) = story.fates.get_mut(dot) {
                        fate.acknowledged = Some(event.at);
                    }
                }
                What::Learns { writer, seq, peer, .. } => {
                    let (from, to) = (Dot { writer: *writer, seq: 1 }, Dot { writer: *writer, seq: *seq });
                    for fate in story.fates.range_mut(from..=to).map(|(_, fate)| fate) {
                        if !fate.learned.iter().any(|(who, ..)| *who == machine) {
                            fate.learned.push((machine, event.at, *peer));
                        }
                    }
                }
                _ => {}
            }
        }
        story
    }

    /// What to know before the first line: the words, and whose home is where.
    fn begin(&mut self, events: &[Event]) {
        self.text.push_str(LEGEND);
        let homes: BTreeSet<(usize, usize)> = events
            .iter()
            .filter_map(|event| match (&event.what, event.machine) {
                (What::Makes { space, .. }, Some(machine)) => Some((*space, machine)),
                _ => None,
            })
            .collect();
        for (space, machine) in homes {
            self.line(&format!("m{machine} is the home of s{space}."));
        }
    }

    fn sentence(&mut self, events: &[Event]) {
        let first = &events[0];
        let machine = first.machine.unwrap_or_default();
        let what = match &first.what {
            What::Writes { .. } | What::Acknowledges { .. } => self.writes(machine, events),
            What::Learns { peer, .. } => Some(self.learns(*peer, events)),
            What::Starts { .. } => Some(format!("{}{}", first.what, self.lost(machine))),
            // A connection is a line of its own only if something comes of it.
            What::Calls { .. } => None,
            What::HangsUp { reason, .. } if reason.is_empty() => None,
            other => Some(other.to_string()),
        };
        let Some(what) = what else { return };
        let what = self.named(&what);
        let who = first.machine.map_or_else(String::new, |machine| format!("m{machine} "));
        self.line(&format!("{:>10.3} s  {who}{what}", first.at as f64 / 1000.0));
    }

    fn writes(&mut self, machine: usize, events: &[Event]) -> Option<String> {
        let mut written = Vec::new();
        for event in events {
            match &event.what {
                What::Writes { dot, .. } => {
                    written.push(*dot);
                    self.open.entry(machine).or_default().push(*dot);
                }
                What::Acknowledges { dot, .. } => {
                    self.open.entry(machine).or_default().retain(|other| other != dot);
                }
                _ => {}
            }
        }
        let is_durable = |dot: &Dot| self.fates.get(dot).is_some_and(|fate| fate.acknowledged.is_some());
        let (durable, open): (Vec<Dot>, Vec<Dot>) = written.into_iter().partition(is_durable);
        let said = match (durable.is_empty(), open.is_empty()) {
            (true, true) => return None,
            (false, true) => format!("writes {}", self.list(&durable)),
            (true, false) => format!("writes {}, and is never told that it is durable", self.list(&open)),
            (false, false) => {
                format!(
                    "writes {}; of {} it is never told that it is durable",
                    self.list(&durable),
                    self.list(&open)
                )
            }
        };
        Some(said)
    }

    fn learns(&self, peer: usize, events: &[Event]) -> String {
        let mut up_to: BTreeMap<WriterId, u64> = BTreeMap::new();
        for event in events {
            if let What::Learns { writer, seq, .. } = &event.what {
                let known = up_to.entry(*writer).or_default();
                *known = (*known).max(*seq);
            }
        }
        let list: Vec<String> =
            up_to.iter().map(|(writer, seq)| format!("{} up to {seq}", self.writer(writer))).collect();
        format!("learns from m{peer}: {}", list.join(", "))
    }

    /// What a life that is over had written and was never told to be durable.
    fn lost(&mut self, machine: usize) -> String {
        let open = self.open.remove(&machine).unwrap_or_default();
        if open.is_empty() { String::new() } else { format!("; nobody was promised {}", self.list(&open)) }
    }

    fn end(&mut self, outcome: &Outcome) {
        let written = self.fates.len();
        let promised = self.fates.values().filter(|fate| fate.acknowledged.is_some()).count();
        self.line(&format!(
            "All are equal {:.3} s after the faults stopped. {written} commits were written, {promised} of them promised; none \
             of these is missing anywhere.",
            outcome.converged as f64 / 1000.0
        ));
    }

    fn breaks(&mut self, broken: &Broken) {
        let what = self.named(&broken.what);
        self.line(&format!("\n{} is broken at step {}: {what}", broken.promise, broken.step));
        if let Some(says) = says(broken.promise) {
            self.line(&format!("{} says: {says}", broken.promise));
        }
        let fates: Vec<String> = self
            .fates
            .iter()
            .filter(|(dot, _)| is_named_in(&broken.what, dot))
            .map(|(dot, fate)| self.life(dot, fate))
            .collect();
        fates.iter().for_each(|life| self.line(life));
    }

    fn life(&self, dot: &Dot, fate: &Fate) -> String {
        let seconds = |at: u64| format!("{:.3} s", at as f64 / 1000.0);
        let mut life = format!(
            "{} ({}) was written at m{} at {}",
            self.dot(dot),
            fate.keys,
            fate.machine,
            seconds(fate.written)
        );
        match fate.acknowledged {
            Some(at) => write!(life, ", durable at {}", seconds(at)),
            None => write!(life, ", never told to be durable"),
        }
        .expect("a string takes all");
        for (machine, at, peer) in &fate.learned {
            write!(life, ", learned by m{machine} from m{peer} at {}", seconds(*at))
                .expect("a string takes all");
        }
        life
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A text with writers by their short names.
    fn named(&self, text: &str) -> String {
        let long =
            |text: String, (writer, name): (&WriterId, &String)| text.replace(&writer.to_string(), name);
        self.writers.iter().fold(text.to_owned(), long)
    }

    fn writer(&self, writer: &WriterId) -> String {
        self.writers.get(writer).cloned().unwrap_or_else(|| match writer.is_home() {
            true => "the home".to_owned(),
            false => writer.to_string(),
        })
    }

    fn dot(&self, dot: &Dot) -> String {
        format!("{}:{}", self.writer(&dot.writer), dot.seq)
    }

    /// Dots with neighbours drawn together: `m1/a:3-5`.
    fn list(&self, dots: &[Dot]) -> String {
        let follows = |a: &Dot, b: &Dot| a.writer == b.writer && a.seq + 1 == b.seq;
        let runs = dots.chunk_by(follows).map(|run| match run {
            [dot] => self.dot(dot),
            run => format!("{}-{}", self.dot(&run[0]), run[run.len() - 1].seq),
        });
        runs.collect::<Vec<_>>().join(", ")
    }
}

fn is_named_in(text: &str, dot: &Dot) -> bool {
    let dot = dot.to_string();
    text.split(|c: char| !c.is_ascii_hexdigit() && c != ':').any(|word| word == dot)
}

/// What a commit does: the keys it puts, and with a minus those it deletes.
fn keys(puts: &[(CollId, Vec<u8>)], deletes: &[(CollId, Vec<u8>)]) -> String {
    let puts = puts.iter().map(|(_, key)| crdt::key::display(key).to_string());
    let deletes = deletes.iter().map(|(_, key)| format!("-{}", crdt::key::display(key)));
    puts.chain(deletes).collect::<Vec<_>>().join(" ")
}

/// The short name of a machine's n-th writer: a, b, and so on, then by number.
fn name(machine: usize, n: u8) -> String {
    match n {
        0..26 => format!("m{machine}/{}", char::from(b'a' + n)),
        n => format!("m{machine}/{n}"),
    }
}

#[cfg(test)]
mod tests {
    use crdt::Class;
    use crdt::key::Element;

    use super::*;
    use crate::faults::Fired;

    fn dot(writer: u8, seq: u64) -> Dot {
        Dot { writer: WriterId([writer; 24]), seq }
    }

    fn event(at: u64, machine: usize, what: What) -> Event {
        Event { step: at, at, machine: Some(machine), what }
    }

    fn writes(dot: Dot) -> What {
        let key = crdt::key::encode(&[Element::Int(40 + dot.seq as i64)]).expect("a key");
        let puts = vec![(CollId([0; 16]), key)];
        What::Writes { space: 0, dot, class: Class::Normal, puts, deletes: Vec::new() }
    }

    fn broken(what: String, events: Vec<Event>) -> Result<Outcome, Broken> {
        Err(Broken { seed: 7, promise: "I3", step: 9, at: 9, what, fired: Fired::default(), events })
    }

    #[test]
    fn a_story_says_who_wrote_what_was_lost_and_who_learned_what() {
        let learns = |seq| What::Learns { space: 0, writer: dot(5, 1).writer, seq, peer: 1 };
        let found = "from slot 0".to_owned();
        let events = vec![
            event(1_000, 1, writes(dot(5, 1))),
            event(1_001, 1, writes(dot(5, 2))),
            event(1_002, 1, What::Acknowledges { space: 0, dot: dot(5, 1) }),
            event(1_002, 1, What::Acknowledges { space: 0, dot: dot(5, 2) }),
            event(2_000, 0, learns(1)),
            event(2_000, 0, learns(2)),
            event(3_000, 1, writes(dot(5, 3))),
            event(3_500, 1, What::Stops { reason: "the power went".into() }),
            event(4_000, 1, What::Starts { space: 0, version: 3, found }),
            event(4_500, 0, What::Makes { space: 0, version: 4 }),
            event(5_000, 1, writes(dot(6, 1))),
        ];
        let told = tell(&broken(format!("m2 lacks {}, acknowledged at m1", dot(5, 2)), events));
        let told = told.strip_prefix(LEGEND).expect("the words come first");
        let promise = says("I3").expect("it is in the list");
        assert!(promise.starts_with("what was acknowledged"), "{promise}");
        let expected = format!(
            "m0 is the home of s0.
     1.000 s  m1 writes m1/a:1-2
     2.000 s  m0 learns from m1: m1/a up to 2
     3.000 s  m1 writes m1/a:3, and is never told that it is durable
     3.500 s  m1 stops: the power went
     4.000 s  m1 starts s0 at version 3, from slot 0; nobody was promised m1/a:3
     4.500 s  m0 makes version 4 of s0
     5.000 s  m1 writes m1/b:1, and is never told that it is durable

I3 is broken at step 9: m2 lacks m1/a:2, acknowledged at m1
I3 says: {promise}
m1/a:2 (42) was written at m1 at 1.001 s, durable at 1.002 s, learned by m0 from m1 at 2.000 s
"
        );
        assert_eq!(told, expected);
    }
}
