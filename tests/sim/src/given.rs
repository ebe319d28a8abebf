//! `Given`: the flags of a command line with their values, and the limits of a world among them.

use std::collections::BTreeSet;

use sim::{Fault, Feature, Options};

/// Flags that change the world of a seed: all but the first make it smaller.
pub(crate) const LIMITS: [&str; 5] = ["--often", "--faults", "--features", "--devices", "--steps"];

/// An empty list, as it is typed.
const NONE: &str = "none";

/// Flags with their values; a switch has none.
#[derive(Debug)]
pub(crate) struct Given<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Given<'a> {
    /// Reads arguments that may be these flags, each with a value, and these switches.
    pub(crate) fn read(
        arguments: &'a [String],
        flags: &[&str],
        switches: &[&str],
    ) -> Result<Given<'a>, String> {
        let mut given = Vec::new();
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(name) = rest.next() {
            if switches.contains(&name) {
                given.push((name, ""));
            } else if flags.contains(&name) {
                given.push((name, rest.next().ok_or_else(|| format!("{name} lacks its value"))?));
            } else {
                return Err(format!("{name} is not known here"));
            }
        }
        Ok(Given(given))
    }

    /// The value of a flag.
    pub(crate) fn text(&self, flag: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| *name == flag).map(|(_, value)| *value)
    }

    /// The value of a flag that is a number.
    pub(crate) fn number(&self, flag: &str) -> Result<Option<u64>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("{flag} {text} is no number"));
        self.text(flag).map(parse).transpose()
    }

    /// The value of a flag that has to be there.
    pub(crate) fn needed(&self, flag: &str) -> Result<u64, String> {
        self.number(flag)?.ok_or_else(|| format!("{flag} is needed"))
    }

    /// What is taken away from the world.
    pub(crate) fn limits(&self) -> Result<Options, String> {
        let fault = |name: &str| {
            let found = Fault::ALL.iter().copied().find(|fault| format!("F{}", fault.number()) == name);
            let last = Fault::ALL.len();
            found.ok_or_else(|| format!("{name} is no fault; the first is F1, the last F{last}"))
        };
        let feature = |name: &str| {
            let found = Feature::ALL.into_iter().find(|feature| format!("{feature:?}") == name);
            found.ok_or_else(|| format!("{name} is no feature; all of them: {:?}", Feature::ALL))
        };
        let often = self.text("--often").into_iter().flat_map(|list| list.split(','));
        Ok(Options {
            favoured: often.map(fault).collect::<Result<_, String>>()?,
            without: self.all_but("--faults", Fault::ALL, fault)?,
            without_features: self.all_but("--features", &Feature::ALL, feature)?,
            devices_max: self.number("--devices")?.map(|devices| devices as usize),
            steps_max: self.number("--steps")?,
            ..Options::default()
        })
    }

    /// Those that a flag does not list; none, where the flag is not given.
    fn all_but<T: Copy + Ord>(
        &self,
        flag: &str,
        all: &[T],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<BTreeSet<T>, String> {
        let Some(list) = self.text(flag) else { return Ok(BTreeSet::new()) };
        let listed = list.split(',').filter(|name| *name != NONE).map(parse);
        let listed = listed.collect::<Result<BTreeSet<T>, String>>()?;
        Ok(all.iter().copied().filter(|item| !listed.contains(item)).collect())
    }
}

/// The limits as they are typed, each with a space before it.
pub(crate) fn typed(options: &Options) -> String {
    let mut typed = String::new();
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            typed += &format!(" {flag} {value}");
        }
    };
    let often = options.favoured.iter().map(|fault| format!("F{}", fault.number())).collect::<Vec<_>>();
    add("--often", (!often.is_empty()).then(|| often.join(",")));
    add("--faults", listed(Fault::ALL, &options.without, |fault| format!("F{}", fault.number())));
    add("--features", listed(&Feature::ALL, &options.without_features, |feature| format!("{feature:?}")));
    add("--devices", options.devices_max.map(|devices| devices.to_string()));
    add("--steps", options.steps_max.map(|steps| steps.to_string()));
    typed
}

/// The list that leaves out what is gone; there is none where nothing is.
fn listed<T: Ord>(all: &[T], gone: &BTreeSet<T>, name: impl Fn(&T) -> String) -> Option<String> {
    let left: Vec<String> = all.iter().filter(|item| !gone.contains(item)).map(name).collect();
    match left.as_slice() {
        [] => Some(NONE.to_owned()),
        left if left.len() == all.len() => None,
        left => Some(left.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Given::read(&arguments, &LIMITS, &[])?.limits()
    }

    #[test]
    fn limits_are_read_as_they_are_typed() {
        for line in [
            "",
            " --often F46,F49",
            " --faults F1,F44 --features Row,Mesh --devices 2 --steps 310",
            " --faults none",
        ] {
            assert_eq!(typed(&read(line).expect("limits")), line);
        }
        let options = read("--faults F17").expect("limits");
        assert_eq!(options.without.len(), Fault::ALL.len() - 1);
        assert!(!options.without.contains(&Fault::Kill));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let last = Fault::ALL.len();
        for (line, error) in [
            ("--faults F0", &*format!("F0 is no fault; the first is F1, the last F{last}")),
            ("--faults Kill", &*format!("Kill is no fault; the first is F1, the last F{last}")),
            ("--steps many", "--steps many is no number"),
            ("--steps", "--steps lacks its value"),
            ("--machines 3", "--machines is not known here"),
        ] {
            assert_eq!(read(line).expect_err(line), error);
        }
    }
}
