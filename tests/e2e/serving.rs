//! Starting and stopping: one daemon a directory, a clean end, and settings that are refused with their line.

use std::time::Duration;

use super::harness::{Daemon, Place, append, fails, home, ok};

#[test]
fn a_second_serve_on_one_directory_is_refused() {
    let place = Place::new("second");
    let home = home(&place);
    let mut second = Daemon::of(home.data().to_path_buf());
    // Its output must not take the place of the first one's.
    let refused = fails(home.data(), 4, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused["type"], "in-use", "{refused}");
    home.ok(&["status"]);
    drop(home);
    second.start();
    assert_eq!(second.space()["name"], "telemetry");
}

#[test]
fn sigterm_drains_and_what_was_acknowledged_is_there_afterwards() {
    let place = Place::new("drain");
    let mut home = home(&place);
    let data = home.data().to_path_buf();
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let data = data.clone();
            std::thread::spawn(move || {
                let mut written = Vec::new();
                for number in 0.. {
                    let key = format!("{writer}-{number}");
                    let output = super::harness::run(&data, &["put", "telemetry/readings", &key, "v"]);
                    match output.status.code() {
                        Some(0) => written.push(key),
                        Some(5) => break,
                        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
                    }
                }
                written
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let (code, trace) = home.stop();
    assert_eq!(code, Some(0), "{trace}");
    let written: Vec<String> =
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect();
    assert!(!written.is_empty());
    assert!(!data.join("strandline.sock").exists(), "the socket goes with its daemon");
    home.start();
    let there = home.ok(&["scan", "telemetry/readings", "--keys-only"]);
    for key in written {
        assert!(there.lines().any(|line| line == key), "{key} was acknowledged");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_its_line() {
    let place = Place::new("config");
    let data = place.path("data");
    ok(&data, &["init"]);
    append(&data.join("strandline.yaml"), "lisen: 0.0.0.0:7601\n");
    let line = std::fs::read_to_string(data.join("strandline.yaml")).expect("a file").lines().count();
    let error = fails(&data, 2, &["serve"]);
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&format!("line {line}")) && message.contains("listen"), "{message}");
}

#[test]
fn serve_before_init_says_what_to_do() {
    let place = Place::new("empty");
    let error = fails(&place.path("nothing"), 3, &["serve"]);
    assert!(error["cure"].as_str().expect("a cure").contains("init"), "{error}");
}

#[test]
fn a_taken_port_is_replaced_and_said() {
    let place = Place::new("ports");
    let taken = std::net::UdpSocket::bind("0.0.0.0:7601");
    let data = place.path("data");
    ok(&data, &["init"]);
    let out = std::process::Command::new(super::harness::PROGRAM)
        .arg("--data")
        .arg(&data)
        .arg("serve")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut serving = Guard(out);
    let mut line = String::new();
    let stdout = serving.0.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert!(line.starts_with("ready "), "{line}");
    assert!(!line.contains(":7601 "), "port 7601 is taken: {line}");
    drop(taken);
}

/// A process that ends with the test.
struct Guard(std::process::Child);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("our child");
    }
}
