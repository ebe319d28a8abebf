//! What a reader cannot see at a glance: a document that names a file that is gone, a test file that nobody includes, a
//! leftover note to oneself. The longest files are printed, and judged by people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the daemon lies in the workspace").to_owned()
}

/// Every file of the tree with this ending, build output left out.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut folders = vec![root()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry of it").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text of the tree")
}

/// The words in backticks that look like files of the tree.
fn named_files(text: &str) -> BTreeSet<&str> {
    let is_file = |word: &&str| {
        let endings = [".rs", ".md", ".txt", ".toml", ".yaml"];
        word.contains('/')
            && endings.iter().any(|ending| word.ends_with(ending))
            && word.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char))
            && !word.starts_with('/')
    };
    text.split('`').skip(1).step_by(2).filter(is_file).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut gone = Vec::new();
    for document in files(".md") {
        for name in named_files(&read(&document)) {
            if !root().join(name).exists() && !document.parent().expect("a folder").join(name).exists() {
                gone.push(format!("{} names {name}", document.display()));
            }
        }
    }
    assert!(gone.is_empty(), "{}", gone.join("\n"));
    let story = read(&root().join("docs/path-of-a-write.md"));
    assert!(named_files(&story).len() > 10, "the path of a write names the files it goes through");
}

#[test]
fn every_test_file_is_included_and_no_note_to_oneself_is_left() {
    let notes = ["FIX".to_owned() + "ME", "TO".to_owned() + "DO", "X".to_owned() + "XX"];
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let text = read(&path);
        for note in &notes {
            let has_it = text.split(|char: char| !char.is_alphanumeric()).any(|word| word == note);
            if has_it {
                wrong.push(format!("{} says {note}", path.display()));
            }
        }
    }
    for folder in ["tests/e2e", "replica/tests/it", "sync/tests/it"] {
        let main = read(&root().join(folder).join("main.rs"));
        for path in files(".rs").iter().filter(|path| path.parent() == Some(&root().join(folder))) {
            let stem = path.file_stem().expect("a source has a name").to_string_lossy();
            if stem != "main" && !main.contains(&format!("mod {stem};")) {
                wrong.push(format!("nobody includes {}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_opens_with_a_sentence_and_the_longest_are_known() {
    let mut lengths = Vec::new();
    for path in files(".rs") {
        let text = read(&path);
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
        lengths.push((text.lines().count(), path));
    }
    lengths.sort();
    for (lines, path) in lengths.iter().rev().take(10) {
        println!("{lines:>5} {}", path.display());
    }
}
