//! One target under libFuzzer: inputs that reach where none reached before are kept and changed further.
//!
//! `FUZZ_TARGET` names the target; with `FUZZ_INPUTS`, what is kept for it is written to that folder, and nothing else done.
#![no_main]

use std::sync::LazyLock;

use decoders::{Limited, TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
});

fn write_inputs(folder: &str) {
    for (number, input) in CHOSEN.inputs().iter().enumerate() {
        std::fs::write(format!("{folder}/kept-{number}"), input).expect("the folder can be written to");
    }
}

libfuzzer_sys::fuzz_target!(
    init: {
        if let Ok(folder) = std::env::var("FUZZ_INPUTS") {
            write_inputs(&folder);
            std::process::exit(0);
        }
    },
    |bytes: &[u8]| {
        if let Err(what) = CHOSEN.attempt(bytes) {
            eprintln!("{} breaks: {what}", CHOSEN.name);
            std::process::abort();
        }
    }
);
