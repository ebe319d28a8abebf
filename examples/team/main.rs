//! A team: three laptops and the office server, one task list, edits on a train, and one agreement in the end.
//!
//! `cargo build --release -p strandline -p examples && target/release/team` starts four daemons in a temporary directory,
//! and shows each command with its answer. What it claims it checks; the exit code is 0 only if everything held.

mod desk;

use anyhow::{Context, bail, ensure};
use desk::{Desk, Office};
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let office = Office::open(["office", "ada", "ben", "cleo"])?;
    tell(&office).with_context(|| format!("everything is left in {}", office.dir().display()))?;
    office.close()
}

fn tell(office: &Office) -> anyhow::Result<()> {
    let [server, ada, ben, cleo] = office.desks();

    office.chapter("The office server is home of the space; a ticket lets each laptop in")?;
    server.run(&["space", "create", "team"])?;
    for laptop in [ada, ben, cleo] {
        let ticket = server.ask(&["space", "invite", "team"])?;
        laptop.ask(&["space", "join", ticket.trim()])?;
    }
    // A task that is deleted while somebody edits it comes back: no edit is lost to a tidy colleague.
    server.run(&["collection", "create", "team/tasks", "--policy", "map", "--deletes", "revive"])?;
    for (key, task) in [
        ("t1", json!({"title": "order filters", "done": false})),
        ("t2", json!({"title": "call the landlord", "owner": "ada"})),
        ("t3", json!({"title": "water the plants"})),
    ] {
        ada.run(&["put", "team/tasks", key, &task.to_string()])?;
    }
    office.agree()?;
    ensure!(tasks(cleo)?.len() == 3, "everybody has the list");

    office.chapter("All three are on a train without network, and write what they like")?;
    for laptop in [ada, ben, cleo] {
        laptop.run(&["peer", "pause", "--all"])?;
    }
    ada.run(&["put", "team/tasks", "t1", r#"{"title":"order six filters","done":false}"#])?;
    ben.run(&["put", "team/tasks", "t1", r#"{"title":"order filters","done":true}"#])?;
    ben.run(&["put", "team/tasks", "t2", r#"{"title":"call the landlord","owner":"ben"}"#])?;
    cleo.run(&["put", "team/tasks", "t2", r#"{"title":"call the landlord","owner":"cleo"}"#])?;
    cleo.run(&["delete", "team/tasks", "t3"])?;
    ada.run(&["put", "team/tasks", "t3", r#"{"title":"water the plants, the big one twice"}"#])?;
    ben.run(&["put", "team/tasks", "t4", r#"{"title":"book a room"}"#])?;

    office.chapter("Back in the office: everybody reads the same, and no edit is lost")?;
    for laptop in [ada, ben, cleo] {
        laptop.run(&["peer", "resume", "--all"])?;
    }
    office.agree()?;
    cleo.run(&["scan", "team/tasks"])?;
    for desk in office.desks() {
        let tasks = tasks(desk)?;
        ensure!(
            tasks["t1"] == json!({"title": "order six filters", "done": true}),
            "different fields do not meet"
        );
        ensure!(tasks["t3"]["title"] == "water the plants, the big one twice", "an edit outlives the delete");
        ensure!(tasks["t4"]["title"] == "book a room", "a new task is there");
    }

    office.chapter(
        "Left to people, in the inbox of all four: a task that two took, a delete that did not hold",
    )?;
    cleo.run(&["conflicts", "team"])?;
    let open = conflicts(cleo)?;
    let [owner, revived] = open.as_slice() else { bail!("not two conflicts: {open:?}") };
    ensure!(conflicts(ben)? == open, "everybody has them under the same ids");
    ben.run(&["conflicts", "show", owner])?;
    ben.run(&["resolve", owner, "--value", r#""ben and cleo""#])?;
    cleo.run(&["discard", revived])?;
    office.agree()?;
    for desk in office.desks() {
        ensure!(tasks(desk)?["t2"]["owner"] == "ben and cleo", "the decision is everywhere");
        ensure!(tasks(desk)?.contains_key("t3"), "what is shown stays");
        ensure!(conflicts(desk)?.is_empty(), "nothing is left to settle");
    }
    ada.run(&["scan", "team/tasks"])?;
    ada.run(&["conflicts", "team"])
}

/// The task list as a desk reads it.
fn tasks(desk: &Desk) -> anyhow::Result<serde_json::Map<String, Value>> {
    let text = desk.ask(&["scan", "team/tasks"])?;
    text.lines()
        .map(|line| {
            let (key, task) = line.split_once('\t').unwrap_or((line, "null"));
            Ok((key.to_string(), serde_json::from_str(task)?))
        })
        .collect()
}

/// The ids of what is open.
fn conflicts(desk: &Desk) -> anyhow::Result<Vec<String>> {
    let text = desk.ask(&["conflicts", "team", "--json"])?;
    let ids = text.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?["id"].to_string()));
    ids.map(|id: anyhow::Result<String>| Ok(id?.trim_matches('"').to_string())).collect()
}
