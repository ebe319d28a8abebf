//! Three-way merge of JSON: what only one side changed is taken, what two changed differently is not decided here.

use serde_json::{Map, Value};

/// All sides as one against what they started from, or the paths that two of them changed differently.
pub(super) fn merge(ancestor: &Value, sides: &[Value]) -> Result<Value, Vec<String>> {
    let mut clashes = Vec::new();
    let mut merged = ancestor.clone();
    for side in sides {
        let mut path = Vec::new();
        let both = three(Some(ancestor), Some(&merged), Some(side), &mut path, &mut clashes);
        merged = both.unwrap_or(Value::Null);
    }
    if clashes.is_empty() { Ok(merged) } else { Err(clashes) }
}

/// One place of the three; none: it is not there. Arrays are taken whole: where an element belongs is a matter of meaning.
fn three(
    ancestor: Option<&Value>,
    a: Option<&Value>,
    b: Option<&Value>,
    path: &mut Vec<String>,
    clashes: &mut Vec<String>,
) -> Option<Value> {
    if a == b || b == ancestor {
        return a.cloned();
    }
    if a == ancestor {
        return b.cloned();
    }
    let (Some(Value::Object(a)), Some(Value::Object(b))) = (a, b) else {
        clashes.push(format!("/{}", path.join("/")));
        return a.cloned();
    };
    let empty = Map::new();
    let ancestor = ancestor.and_then(Value::as_object).unwrap_or(&empty);
    let mut merged = Map::new();
    for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
        path.push(name.replace('~', "~0").replace('/', "~1"));
        if let Some(value) = three(ancestor.get(name), a.get(name), b.get(name), path, clashes) {
            merged.insert(name.clone(), value);
        }
        path.pop();
    }
    Some(Value::Object(merged))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_side_changed_is_taken() {
        let ancestor = json!({"title": "a", "done": false, "tags": ["x"], "at": {"x": 1, "y": 1}});
        let sides = [
            json!({"title": "b", "done": false, "tags": ["x"], "at": {"x": 2, "y": 1}}),
            json!({"title": "a", "done": true, "at": {"x": 1, "y": 3}, "new": 1}),
        ];
        let merged = json!({"title": "b", "done": true, "at": {"x": 2, "y": 3}, "new": 1});
        assert_eq!(merge(&ancestor, &sides), Ok(merged));
    }

    #[test]
    fn what_two_changed_differently_is_named() {
        let ancestor = json!({"a": 1, "n": {"b/c": 1}});
        let sides = [json!({"a": 2, "n": {"b/c": 2}}), json!({"n": {"b/c": 3}})];
        assert_eq!(merge(&ancestor, &sides), Err(vec!["/a".to_string(), "/n/b~1c".to_string()]));
        assert_eq!(merge(&json!(1), &[json!(2), json!(2)]), Ok(json!(2)), "both changed it alike");
    }
}
