//! The committed corpus: one text file for a target, an input a line, in hex.

use std::path::PathBuf;

use data_encoding::HEXLOWER;

/// The inputs kept for a target. Lines that begin with `#` say what the next one once broke, or what is wrong with it.
pub(crate) fn read(target: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(format!("{}/corpus/{target}.txt", env!("CARGO_MANIFEST_DIR")));
    if !path.exists() {
        return Vec::new();
    }
    let text = std::fs::read_to_string(path).expect("a text of the tree");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| HEXLOWER.decode(line.trim().as_bytes()).expect("a line of hex")).collect()
}
