//! What the demo asks of the two daemons, and how long it waits for an answer.

use std::time::{Duration, Instant};

use hyper::Method;
use strandline::api::types::{Entry, Peer, PeerChoice, PeersChanged, Space, Written};

use crate::cli::failure::{EXIT_NOT_FOUND, Failure};
use crate::cli::target::{Query, Target};
use crate::client::{Body, Client, Lines};

/// Two daemons on one machine agree within a second; a busy machine gets a while.
const AGREE_MAX: Duration = Duration::from_secs(30);

/// How often something that comes by itself is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A claim that did not hold is a failure of the demo.
pub(crate) fn check(held: bool, claim: impl FnOnce() -> String) -> Result<(), Failure> {
    if held { Ok(()) } else { Err(Failure::failed("check", format!("this does not hold: {}", claim()))) }
}

pub(crate) async fn put(client: &mut Client, target: &Target, key: &str, value: &str) -> Result<(), Failure> {
    let body = Body::Octets(value.as_bytes().to_vec().into());
    let _: Written = client.json(Method::PUT, &target.key_path(key), body).await?;
    Ok(())
}

pub(crate) async fn delete(client: &mut Client, target: &Target, key: &str) -> Result<(), Failure> {
    let _: Written = client.json(Method::DELETE, &target.key_path(key), Body::Empty).await?;
    Ok(())
}

/// Everything alive under a key, or nothing.
pub(crate) async fn get(client: &mut Client, target: &Target, key: &str) -> Result<Option<Entry>, Failure> {
    let mut query = Query::default();
    query.set_flag("all", true);
    match client.get(&format!("{}{}", target.key_path(key), query.as_str())).await {
        Ok(entry) => Ok(Some(entry)),
        Err(failure) if failure.exit == EXIT_NOT_FOUND => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn space(client: &mut Client) -> Result<Space, Failure> {
    client.get("/v1/spaces/telemetry").await
}

pub(crate) async fn peers(client: &mut Client) -> Result<Vec<Peer>, Failure> {
    client.get("/v1/peers").await
}

/// `pause` cuts every link, `resume` mends it.
pub(crate) async fn link(client: &mut Client, verb: &str) -> Result<(), Failure> {
    let _: PeersChanged = client.post(&format!("/v1/peers/{verb}"), &PeerChoice { peer: None }).await?;
    Ok(())
}

/// A whole collection as its export: lines of text, in order.
pub(crate) async fn export(client: &mut Client, target: &Target) -> Result<Vec<String>, Failure> {
    let path = format!("{}/keys?read=false", target.path());
    let response = client.request(Method::GET, &path, "application/x-ndjson", Body::Empty).await?;
    let mut lines = Lines::new(response);
    let mut export = Vec::new();
    while let Some(line) = lines.next().await? {
        export.push(String::from_utf8_lossy(line).into_owned());
    }
    Ok(export)
}

/// Waits until both replicas have one version, the same roots, and nothing that a Handle does not cover.
pub(crate) async fn agree(home: &mut Client, device: &mut Client) -> Result<Space, Failure> {
    let started = Instant::now();
    loop {
        let (ours, theirs) = (space(home).await?, space(device).await?);
        let is_equal = (ours.version, &ours.data_root, &ours.vv_root)
            == (theirs.version, &theirs.data_root, &theirs.vv_root);
        if is_equal && ours.tail_commits + theirs.tail_commits == 0 {
            return Ok(ours);
        }
        check(started.elapsed() < AGREE_MAX, || {
            format!("home and device agree within {} s: {ours:?} is not {theirs:?}", AGREE_MAX.as_secs())
        })?;
        tokio::time::sleep(LOOK).await;
    }
}
