//! `--key F[:TYPE][,F…]`: which columns name a row, and how each is ordered.

use std::str::FromStr;

use crdt::Element;
use strandline::keytext::{KeyType, element};

/// The columns of a key, in order, and the text they were given as.
#[derive(Debug, Clone)]
pub(crate) struct KeySpec {
    fields: Vec<KeyField>,
    text: String,
}

/// One column, or what stands for a column that is not there.
#[derive(Debug, Clone)]
pub(crate) struct KeyField {
    name: String,
    key_type: Option<KeyType>,
}

impl FromStr for KeySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<KeySpec, String> {
        let fields = text.split(',').map(str::parse).collect::<Result<Vec<KeyField>, String>>()?;
        if fields.len() > crdt::key::ELEMENTS_MAX {
            return Err(format!("a key has at most {} fields", crdt::key::ELEMENTS_MAX));
        }
        Ok(KeySpec { fields, text: text.to_string() })
    }
}

impl FromStr for KeyField {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyField, String> {
        let (name, key_type) = match text.rsplit_once(':') {
            Some((name, key_type)) => (name, Some(key_type.parse()?)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(format!("{text:?} names no column"));
        }
        Ok(KeyField { name: name.to_string(), key_type })
    }
}

impl KeySpec {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn fields(&self) -> &[KeyField] {
        &self.fields
    }
}

impl KeyField {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The element for a column's text.
    pub(crate) fn column(&self, text: &str) -> Result<Element, String> {
        let key_type = self.key_type.unwrap_or(KeyType::Text);
        element(key_type, text).map_err(|problem| format!("{}: {problem}", self.name))
    }

    /// The element for the file's base name or the number of the row, if this field stands for one of them.
    ///
    /// A row number counts, so it is an int unless the type says otherwise: row 10 comes after row 9.
    pub(crate) fn stand_in(&self, file: &str, row: u64) -> Option<Result<Element, String>> {
        let (text, default) = match self.name.as_str() {
            "file" => (file.to_string(), KeyType::Text),
            "row" => (row.to_string(), KeyType::Int),
            _ => return None,
        };
        let key_type = self.key_type.unwrap_or(default);
        Some(element(key_type, &text).map_err(|problem| format!("{}: {problem}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_carry_their_types() {
        let spec: KeySpec = "file,at:time,n:int".parse().expect("a spec");
        let names: Vec<&str> = spec.fields().iter().map(KeyField::name).collect();
        assert_eq!(names, ["file", "at", "n"]);
        assert_eq!(spec.fields()[2].column("17"), Ok(Element::Int(17)));
        assert!(spec.fields()[2].column("x").is_err());
    }

    #[test]
    fn wrong_specs_say_what_is_wrong() {
        for (text, expected) in
            [("a:date", "int, float, time, text or bytes"), ("a,,b", "no column"), (":int", "no column")]
        {
            let problem = text.parse::<KeySpec>().expect_err("a wrong spec");
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn a_row_number_counts_and_a_file_is_text() {
        let spec: KeySpec = "file,row,row:text".parse().expect("a spec");
        let stand_in = |at: usize| spec.fields()[at].stand_in("a.csv", 9).expect("stands in").expect("fits");
        assert_eq!(stand_in(0), Element::Text("a.csv".to_string()));
        assert_eq!(stand_in(1), Element::Int(9));
        assert_eq!(stand_in(2), Element::Text("9".to_string()));
    }
}
