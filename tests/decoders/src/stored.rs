//! The committed corpus: one text file for each target, an input a line, in hex.
//!
//! A file a target instead of a file an input: thousands of nameless little files help nobody who reads the tree.

use std::path::PathBuf;

use data_encoding::HEXLOWER;

fn path(target: &str) -> PathBuf {
    PathBuf::from(format!("{}/corpus/{target}.txt", env!("CARGO_MANIFEST_DIR")))
}

/// The inputs kept for a target. Lines that begin with `#` say what the next one once broke.
pub fn read(target: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path(target)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| HEXLOWER.decode(line.trim().as_bytes()).expect("a line of hex")).collect()
}

/// Keeps these inputs for a target beside those that once broke something.
pub fn write(target: &str, inputs: &[Vec<u8>]) -> std::io::Result<()> {
    let text = std::fs::read_to_string(path(target)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let findings = lines.windows(2).filter(|pair| pair[0].starts_with('#')).map(|pair| pair.join("\n"));
    let inputs = inputs.iter().map(|input| HEXLOWER.encode(input));
    let all: Vec<String> = findings.chain(inputs).collect();
    std::fs::write(path(target), all.join("\n") + "\n")
}
