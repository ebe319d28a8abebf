//! Between the corpus as it is committed and as a fuzzer wants it: `decoders unpack DIR`, `decoders pack DIR`.

use std::path::Path;
use std::process::ExitCode;

use decoders::{TARGETS, seeds, stored};

/// Longest input that is kept: a longer one says little more and costs much.
const KEPT_LEN_MAX: usize = 1_500;
/// Most bytes kept for one target.
const KEPT_MAX: usize = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["unpack", dir] => {
            TARGETS.iter().try_for_each(|target| unpack(target.name, &Path::new(dir).join(target.name)))
        }
        ["pack", dir] => {
            TARGETS.iter().try_for_each(|target| pack(target.name, &Path::new(dir).join(target.name)))
        }
        _ => {
            eprintln!(
                "usage: decoders unpack DIR | decoders pack DIR     DIR holds a folder for each target"
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decoders: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the stored inputs and the seeds of a target, a file each.
fn unpack(target: &str, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for input in stored::read(target).into_iter().chain(seeds::of(target)) {
        let name = blake3::hash(&input).to_hex();
        std::fs::write(dir.join(&name[..16]), input)?;
    }
    Ok(())
}

/// Keeps the shortest inputs of a folder.
fn pack(target: &str, dir: &Path) -> std::io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        inputs.push(std::fs::read(entry?.path())?);
    }
    inputs.retain(|input| input.len() <= KEPT_LEN_MAX);
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut left = KEPT_MAX;
    inputs.retain(|input| {
        let fits = input.len() <= left;
        left = left.saturating_sub(input.len());
        fits
    });
    stored::write(target, &inputs)
}
