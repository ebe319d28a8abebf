//! Peers: who they are, whether they are talked to.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use super::answer::{self, Answer, Here};
use super::problem::Problem;
use super::types::{Peer, PeerAdd, PeerChoice, PeersChanged};

pub(super) async fn list(State(here): Here) -> Json<Vec<Peer>> {
    Json(here.0.describe_peers().await)
}

pub(super) async fn add(State(here): Here, body: Bytes) -> Answer<Json<PeersChanged>> {
    let PeerAdd { address } = answer::json(&body)?;
    here.0.peers.add(&address).map_err(|error| Problem::usage(error.to_string()))?;
    Ok(Json(PeersChanged { peers: 1 }))
}

pub(super) async fn remove(State(here): Here, Path(peer): Path<String>) -> Answer<Json<PeersChanged>> {
    match here.0.peers.remove(&peer).map_err(|error| Problem::usage(error.to_string()))? {
        0 => Err(no_peer(&peer)),
        peers => Ok(Json(PeersChanged { peers })),
    }
}

pub(super) async fn pause(State(here): Here, body: Bytes) -> Answer<Json<PeersChanged>> {
    choose(&here, &body, true).await
}

pub(super) async fn resume(State(here): Here, body: Bytes) -> Answer<Json<PeersChanged>> {
    choose(&here, &body, false).await
}

async fn choose(here: &super::answer::Shared, body: &Bytes, is_pause: bool) -> Answer<Json<PeersChanged>> {
    let PeerChoice { peer } = if body.is_empty() { PeerChoice::default() } else { answer::json(body)? };
    let changed = here.0.set_paused(peer.as_deref(), is_pause).await;
    match (changed.map_err(|error| Problem::usage(error.to_string()))?, peer) {
        (0, Some(peer)) => Err(no_peer(&peer)),
        (peers, _) => Ok(Json(PeersChanged { peers })),
    }
}

fn no_peer(peer: &str) -> Problem {
    Problem::new(axum::http::StatusCode::NOT_FOUND, "peer-missing", format!("there is no peer {peer}"))
        .cure("strandline peer list")
}
