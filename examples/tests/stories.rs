//! Every example is run, as a reader would run it.

use std::process::{Command, Output};

fn told(program: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(program).args(arguments).output().expect("it starts");
    let text = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{status}: {text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

#[test]
fn a_team_agrees_after_a_train_ride() {
    let text = told(env!("CARGO_BIN_EXE_team"), &[]);
    assert!(text.ends_with("every check held; nothing was left behind\n"), "{text}");
}

#[test]
fn a_vehicle_finds_what_it_wrote() {
    let data = std::env::temp_dir().join(format!("strandline-vehicle-{}", std::process::id()));
    let path = data.to_str().expect("text");
    let first = told(env!("CARGO_BIN_EXE_vehicle"), &[path, "1"]);
    assert!(first.contains("holds 0 readings"), "{first}");
    let second = told(env!("CARGO_BIN_EXE_vehicle"), &[path, "0"]);
    assert!(!second.contains("holds 0 readings"), "{second}");
    std::fs::remove_dir_all(&data).expect("it can be removed");
}

#[test]
fn the_library_in_a_few_lines() {
    let text = told(env!("CARGO_BIN_EXE_embed"), &[]);
    assert!(text.contains("sold, and durable as "), "{text}");
    assert!(text.contains("apples = 2"), "{text}");
}
