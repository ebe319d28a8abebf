//! Who is in a space, and who is its home: `space revoke`, `leave`, `handover`, `claim`.

use std::time::Duration;

use hyper::Method;
use indicatif::ProgressBar;
use strandline::api::types::{Claim, HandedOver, Handover, Leave, Revoke, Revoked, Space};

use super::Global;
use super::failure::Failure;
use super::output::{count, print_json, print_line, progress_wanted, short};
use super::space::show;
use crate::client::{Body, Client, encode};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn revoke(
    global: &Global,
    client: &mut Client,
    name: &str,
    device: String,
) -> Result<(), Failure> {
    let path = format!("/v1/spaces/{}/revoke", encode(name));
    let revoked: Revoked = client.post(&path, &Revoke { device }).await?;
    if global.json {
        return print_json(&revoked);
    }
    let since = match revoked.version {
        Some(version) => format!("as of version {version}"),
        None => "as of the next version: the registry does not answer just now".to_string(),
    };
    print_line(&format!("revoked {} from {name} {since}", short(&revoked.device)))
}

pub(super) async fn claim(
    global: &Global,
    client: &mut Client,
    name: &str,
    alone: bool,
) -> Result<(), Failure> {
    let path = format!("/v1/spaces/{}/claim", encode(name));
    let body = serde_json::to_string(&Claim { alone }).expect("a flag is always JSON");
    client.request(Method::POST, &path, "application/json", Body::Json(body)).await?;
    if global.json {
        return show(global, client, name).await;
    }
    print_line(&format!("this device is the home of {name} again"))?;
    let space: Space = client.get(&format!("/v1/spaces/{}", encode(name))).await?;
    space.error.map_or(Ok(()), |error| print_line(&error))
}

pub(super) async fn hand_over(
    global: &Global,
    client: &mut Client,
    name: &str,
    wish: Handover,
) -> Result<(), Failure> {
    let path = format!("/v1/spaces/{}/handover", encode(name));
    let handed: HandedOver = client.post(&path, &wish).await?;
    if global.json {
        return print_json(&handed);
    }
    let device = short(&handed.device);
    print_line(&match handed.taken_up {
        true => format!("{device} is the home of {name} from version {} on", handed.from_version),
        false => format!(
            "{device} is the home of {name} from version {} on; it has not been heard of since",
            handed.from_version
        ),
    })
}

pub(super) async fn leave(
    global: &Global,
    mut client: Client,
    name: &str,
    timeout: Option<String>,
) -> Result<(), Failure> {
    let path = format!("/v1/spaces/{}", encode(name));
    let mut watcher = if progress_wanted(global.json) { Some(global.client().await?) } else { None };
    let leave_path = format!("{path}/leave");
    let wish = Leave { timeout };
    let asked = client.post::<Space>(&leave_path, &wish);
    let space = match &mut watcher {
        Some(watcher) => tokio::select! {
            left = asked => left?,
            never = show_tail(watcher, &path) => never,
        },
        None => asked.await?,
    };
    if global.json {
        return print_json(&space);
    }
    print_line(&format!("left {name}: everything is still here to be read, and nothing more is exchanged"))
}

/// Shows how much is yet to be anchored, until it is dropped.
async fn show_tail(client: &mut Client, path: &str) -> Space {
    let bar = ProgressBar::new_spinner();
    loop {
        // Whoever waits for the answer is told what went wrong.
        if let Ok(space) = client.get::<Space>(path).await {
            bar.set_message(format!("{} commits to be anchored", count(space.tail_commits)));
        }
        bar.tick();
        tokio::time::sleep(LOOK).await;
    }
}
