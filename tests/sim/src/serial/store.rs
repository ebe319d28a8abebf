//! The model of transactions on one replica: an ordered map, and each transaction's steps on it in one go.

use std::collections::BTreeMap;
use std::fmt;

use super::Model;

/// Names and values.
pub type State = BTreeMap<String, String>;

/// What a transaction did, and what it saw of what others had written, its own writes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A name was read; none: nothing was there.
    Get(String, Option<String>),
    /// Up to so many names from one on, up to before another, either way.
    Scan {
        /// The first name that may be in it.
        from: String,
        /// The first name after it.
        to: String,
        /// Whether the largest came first.
        is_descending: bool,
        /// No more than this.
        limit: usize,
        /// What was there, in the order it came.
        found: Vec<(String, String)>,
    },
    /// A value was set.
    Put(String, String),
    /// A name was taken away.
    Delete(String),
}

/// Whether a transaction was to change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All its steps count.
    Committed,
    /// It was refused or given up: what it wrote is gone, yet what it saw must have been there at one moment.
    Dropped,
}

/// A transaction: its steps, of which all or none happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// In the order they were made.
    pub steps: Vec<Step>,
    /// How it ended.
    pub ending: Ending,
}

/// The map starts empty.
#[derive(Debug, Clone, Copy)]
pub struct Store;

impl Model for Store {
    type State = State;
    type Call = Transaction;

    fn start(&self) -> State {
        State::new()
    }

    fn step(&self, state: &State, call: &Transaction) -> Option<State> {
        let mut after = state.clone();
        let fits = call.steps.iter().all(|step| take(&mut after, step));
        let left = match call.ending {
            Ending::Committed => after,
            Ending::Dropped => state.clone(),
        };
        fits.then_some(left)
    }
}

/// Does one step; false: it would have seen something else.
fn take(state: &mut State, step: &Step) -> bool {
    match step {
        Step::Get(name, value) => state.get(name) == value.as_ref(),
        Step::Scan { from, to, is_descending, limit, found } => {
            let range = state.range(from.clone()..to.clone());
            let pair = |(name, value): (&String, &String)| (name.clone(), value.clone());
            let seen: Vec<_> = match is_descending {
                false => range.take(*limit).map(pair).collect(),
                true => range.rev().take(*limit).map(pair).collect(),
            };
            seen == *found
        }
        Step::Put(name, value) => {
            state.insert(name.clone(), value.clone());
            true
        }
        Step::Delete(name) => {
            state.remove(name);
            true
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match step {
                Step::Get(name, value) => {
                    write!(f, "{separator}{name} is {}", value.as_deref().unwrap_or("-"))?
                }
                Step::Scan { from, to, is_descending, limit, found } => {
                    let arrow = if *is_descending { "<-" } else { "->" };
                    write!(f, "{separator}{from} {arrow} {to} (up to {limit}) is {found:?}")?;
                }
                Step::Put(name, value) => write!(f, "{separator}{name} = {value}")?,
                Step::Delete(name) => write!(f, "{separator}no {name}")?,
            }
        }
        f.write_str(if self.ending == Ending::Dropped { " (dropped)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::{Fate, Span, order};

    fn get(name: &str, value: &str) -> Step {
        Step::Get(name.into(), (!value.is_empty()).then(|| value.into()))
    }

    fn put(name: &str, value: &str) -> Step {
        Step::Put(name.into(), value.into())
    }

    fn scan(found: &[(&str, &str)]) -> Step {
        let found = found.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Step::Scan { from: "a".into(), to: "n".into(), is_descending: false, limit: 9, found }
    }

    fn committed(steps: Vec<Step>) -> Transaction {
        Transaction { steps, ending: Ending::Committed }
    }

    /// Transactions with the moments between which they happened.
    fn is_serial(history: Vec<(u64, u64, Vec<Step>)>) -> bool {
        let span = |(from, to, steps)| Span { call: committed(steps), from, to, fate: Fate::Answered };
        order(&Store, &history.into_iter().map(span).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn lost_update_has_no_order() {
        let rival = |value| (2, 5, vec![get("x", "0"), put("x", value)]);
        assert!(!is_serial(vec![(0, 1, vec![put("x", "0")]), rival("1"), rival("2")]));
        let later = (2, 5, vec![get("x", "1"), put("x", "2")]);
        assert!(is_serial(vec![(0, 1, vec![put("x", "0")]), rival("1"), later]));
    }

    #[test]
    fn write_skew_has_no_order() {
        let skew = |read: &str, write: &str| (0, 9, vec![get(read, ""), put(write, "1")]);
        assert!(!is_serial(vec![skew("x", "y"), skew("y", "x")]));
        assert!(is_serial(vec![skew("x", "y"), skew("x", "z")]));
    }

    #[test]
    fn phantom_has_no_order() {
        let insert = |name: &str| (0, 9, vec![scan(&[]), put(name, "1")]);
        assert!(!is_serial(vec![insert("b"), insert("c")]));
        assert!(is_serial(vec![insert("b"), insert("x")]));
    }

    #[test]
    fn half_a_transaction_has_no_order() {
        let both = (0, 9, vec![put("x", "1"), put("y", "1")]);
        assert!(!is_serial(vec![both.clone(), (0, 9, vec![get("x", "1"), get("y", "")])]));
        assert!(is_serial(vec![both, (0, 9, vec![get("x", "1"), get("y", "1")])]));
    }

    #[test]
    fn what_was_answered_before_is_seen_by_what_begins_after() {
        let write = |to| (0, to, vec![put("x", "1")]);
        let read = (3, 4, vec![get("x", "")]);
        assert!(!is_serial(vec![write(2), read.clone()]));
        assert!(is_serial(vec![write(3), read]));
    }

    #[test]
    fn what_is_unknown_happened_in_its_time_or_never() {
        let history = |late: Step| {
            let span = |fate, from, to, step| Span { call: committed(vec![step]), from, to, fate };
            vec![
                span(Fate::Unknown, 0, 3, put("x", "1")),
                span(Fate::Answered, 4, 5, get("x", "")),
                span(Fate::Answered, 6, 7, late),
            ]
        };
        assert_eq!(order(&Store, &history(get("x", ""))), Ok(vec![1, 2]));
        // Gone after the crash, it must not come back.
        let stuck = order(&Store, &history(get("x", "1"))).unwrap_err();
        assert_eq!((stuck.order, stuck.next), (vec![1], vec![2]));
    }

    #[test]
    fn what_was_dropped_saw_one_moment_and_changed_nothing() {
        let write = committed(vec![put("x", "1"), put("y", "1")]);
        let drop = |steps| Transaction { steps, ending: Ending::Dropped };
        let history = |second| {
            let span = |call| Span { call, from: 0, to: 9, fate: Fate::Answered };
            order(&Store, &[span(write.clone()), span(second)])
        };
        assert!(history(drop(vec![put("x", "2"), get("x", "2"), get("y", "1")])).is_ok());
        assert!(history(drop(vec![get("x", "1"), get("y", "")])).is_err());
        assert!(history(committed(vec![put("x", "2"), get("y", "")])).is_ok());
    }

    #[test]
    fn range_ends_where_its_limit_says() {
        let found = vec![("b".to_owned(), "1".to_owned())];
        let range = |is_descending| Step::Scan {
            from: "a".into(),
            to: "z".into(),
            is_descending,
            limit: 1,
            found: found.clone(),
        };
        let writes = vec![put("b", "1"), put("c", "1")];
        assert!(is_serial(vec![(0, 1, writes.clone()), (2, 3, vec![range(false)])]));
        assert!(!is_serial(vec![(0, 1, writes), (2, 3, vec![range(true)])]));
    }
}
