//! Imports that are killed in the middle, again and again, and still come to what they should.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Daemon, PROGRAM, Place, agree, home, joined, until};
use super::series::Series;

/// How often the power is cut in the middle of an import.
const KILLS: usize = 20;

/// What one import said before it ended.
struct Attempt {
    code: Option<i32>,
    /// Rows that it said are durable.
    durable: usize,
    summary: Option<Value>,
}

/// Runs an import, and kills the daemon when it has said often enough that a batch is durable.
fn import(device: &mut Daemon, arguments: &[&str], kill_after: Option<usize>) -> Attempt {
    let mut child = Command::new(PROGRAM)
        .arg("--data")
        .arg(device.data())
        .args(arguments)
        .args(["--json", "-v"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut durable = 0;
    let mut batches = 0;
    let mut is_killed = false;
    for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
        let line = line.expect("text");
        let Some(rows) = line.strip_prefix("durable ").and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        durable = rows.parse().expect("a number");
        batches += 1;
        if !is_killed && Some(batches) == kill_after {
            device.kill();
            is_killed = true;
        }
    }
    let output = child.wait_with_output().expect("our child");
    let summary = String::from_utf8_lossy(&output.stdout);
    let summary = serde_json::from_str(summary.lines().last().unwrap_or_default()).ok();
    Attempt { code: output.status.code(), durable, summary }
}

#[test]
fn an_import_killed_twenty_times_ends_with_every_row_once() {
    let place = Place::new("import");
    let series = Series::find(&place);
    let mut home = home(&place);
    home.ok(&["collection", "create", "telemetry/moments"]);
    let mut device = joined(&place, "device", &home);
    home.stop();

    let command = series.command("telemetry/readings", "file,row");
    let batches_between = series.rows / 1000 / (KILLS + 2);
    for kill in 0..KILLS {
        let attempt = import(&mut device, &command, Some(1 + kill % 3 + batches_between / 2));
        assert_eq!(attempt.code, Some(5), "the import is cut off by kill {kill}");
        device.start();
        let there = device.count("telemetry/readings");
        assert!(
            there >= attempt.durable,
            "kill {kill}: {} rows were durable, {there} are there",
            attempt.durable
        );
    }
    let last = import(&mut device, &command, None);
    let summary = last.summary.expect("a summary");
    assert_eq!((&summary["rows"], &summary["keys"]), (&series.rows.into(), &series.rows.into()), "{summary}");
    assert_eq!(summary["repeated"], 0, "{summary}");
    assert_eq!(device.count("telemetry/readings"), series.rows);

    let moments = import(&mut device, &series.command("telemetry/moments", "file,timestamp"), None);
    let summary = moments.summary.expect("a summary");
    assert_eq!(summary["keys"], series.moments, "{summary}");
    assert_eq!(summary["repeated"], series.rows - series.moments, "{summary}");
    assert_eq!(device.count("telemetry/moments"), series.moments);
}

#[test]
fn a_second_import_of_the_same_files_writes_nothing() {
    let place = Place::new("again");
    let home = home(&place);
    let file = place.file("a.csv", "t,v\n1,2\n3,4\n");
    let command = ["import", "telemetry/readings", file.to_str().expect("text"), "--key", "t"];
    let first = home.json(&command);
    let before = home.space()["version"].clone();
    home.ok(&["delete", "telemetry/readings", "1"]);
    let second = home.json(&command);
    assert_eq!((&first["rows"], &first["keys"]), (&second["rows"], &second["keys"]));
    assert_eq!(home.get("telemetry/readings", "1"), None, "from {before}");
    let mut again = command.to_vec();
    again.push("--restart");
    home.json(&again);
    assert_eq!(home.get("telemetry/readings", "1").as_deref(), Some("{\"t\":1,\"v\":2}"));
}

#[test]
fn a_broken_row_is_named_and_nothing_before_it_is_lost() {
    let place = Place::new("broken");
    let home = home(&place);
    let file = place.file("broken.csv", "t,v\n1,a\n2,b\n3\n4,d\n");
    let path = file.to_str().expect("text");
    let error = home.fails(1, &["import", "telemetry/readings", path, "--key", "t"]);
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("broken.csv:4: "), "{message}");
    assert_eq!(home.count("telemetry/readings"), 2);
    std::fs::write(&file, "t,v\n1,a\n2,b\n3,c\n4,d\n").expect("mended");
    home.ok(&["import", "telemetry/readings", path, "--key", "t"]);
    assert_eq!(home.count("telemetry/readings"), 4);
}

#[test]
fn repeated_keys_follow_on_duplicate() {
    let place = Place::new("repeated");
    let home = home(&place);
    let file = place.file("r.ndjson", "{\"k\":\"a\",\"v\":1}\n{\"k\":\"a\",\"v\":2}\n");
    let path = file.to_str().expect("text");
    let command = |rule: &str| {
        ["import", "telemetry/readings", path, "--key", "k", "--restart", "--on-duplicate", rule]
            .map(str::to_string)
    };
    for (rule, expected) in [("first", "{\"k\":\"a\",\"v\":1}"), ("last", "{\"k\":\"a\",\"v\":2}")] {
        let command = command(rule);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let summary = home.json(&command);
        assert_eq!((&summary["keys"], &summary["repeated"]), (&1.into(), &1.into()), "{summary}");
        assert_eq!(home.get("telemetry/readings", "a").as_deref(), Some(expected));
    }
    let command = command("error");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let error = home.fails(4, &command);
    assert!(error["message"].as_str().expect("a message").contains("r.ndjson:2: "), "{error}");
}

#[test]
fn a_batch_of_a_hundred_thousand_rows_is_one_transaction_everywhere() {
    const ROWS: usize = 100_000;
    let place = Place::new("import-whole");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    let rows: String = (0..ROWS).map(|n| format!("{n},{n}\n")).collect();
    let file = place.file("rows.csv", &format!("k,v\n{rows}"));
    let import = std::thread::scope(|scope| {
        let import = scope.spawn(|| {
            let file = file.to_str().expect("text");
            let batch = ROWS.to_string();
            device.ok(&["import", "telemetry/readings", file, "--key", "k", "--batch", &batch])
        });
        let mut counts = std::collections::BTreeSet::new();
        until("all rows are at the home", || {
            let count = home.count("telemetry/readings");
            counts.insert(count);
            (count == ROWS).then_some(())
        });
        assert!(counts.iter().all(|count| [0, ROWS].contains(count)), "half a transaction: {counts:?}");
        import.join().expect("the import ends well")
    });
    assert!(import.starts_with("100,000 rows"), "{import}");
    agree(&[&home, &device]);
}
