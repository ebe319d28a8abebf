//! A whole daemon in one process: two of them meet, stop and start, and the API answers as the manual says.

use std::time::Duration;

use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::*;
use crate::config;
use crate::identity::Identity;
use crate::membership::Membership;
use crate::scratch::Scratch;

/// A daemon in this process, asked through its socket.
struct Node {
    data: Scratch,
    running: Option<Running>,
}

impl Node {
    async fn new(name: &str) -> Node {
        let data = Scratch::new(name);
        Identity::create(data.path()).unwrap();
        let text = config::Settings::default_text(None)
            .replace("# retry: { initial: 1s,", "retry: { initial: 50ms,");
        std::fs::write(data.path().join(config::FILE_NAME), text).unwrap();
        let mut node = Node { data, running: None };
        node.start().await;
        node
    }

    async fn start(&mut self) {
        let options = ServeOptions {
            data: self.data.path().to_path_buf(),
            listen: Some("127.0.0.1:0".to_string()),
            ..ServeOptions::default()
        };
        self.running = Some(Running::start(&options).await.unwrap());
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    fn daemon(&self) -> Arc<Daemon> {
        self.running.as_ref().unwrap().daemon.clone()
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        self.ask_with(method, path, body, &[]).await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, String)],
    ) -> (StatusCode, String) {
        let stream = UnixStream::connect(self.data.path().join(listen::SOCKET)).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = Full::new(bytes::Bytes::from(body.to_string()));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(body).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let is_cbor = response.headers().get("content-type").is_some_and(|kind| kind == "application/cbor");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        if is_cbor {
            let value: Value = ciborium::from_reader(bytes.as_ref()).expect("CBOR where CBOR is said");
            return (status, format!("cbor {value}"));
        }
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, text) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Asks until the answer is this one.
    async fn eventually(&self, path: &str, wanted: &str) {
        let mut last = String::new();
        for _ in 0..500 {
            let (_, text) = self.ask("GET", path, "").await;
            if text == wanted {
                return;
            }
            last = text;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} is {last}, not {wanted}; status {}", self.ask("GET", "/v1/status", "").await.1);
    }
}

const KEYS: &str = "/v1/spaces/fleet/collections/notes/keys";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_put_read_listed_and_deleted() {
    let node = Node::new("http").await;
    node.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    node.json("POST", "/v1/spaces/fleet/collections", r#"{"name":"notes"}"#).await;
    let written = node.json("PUT", &format!("{KEYS}/a%2Fb"), "one").await;
    assert_eq!(node.ask("GET", &format!("{KEYS}/a%2Fb"), "").await, (StatusCode::OK, "one".to_string()));
    let all = node.json("GET", &format!("{KEYS}/a%2Fb?all=true"), "").await;
    assert_eq!((&all["dot"], all["siblings"].as_u64()), (&written["dot"], Some(1)));
    let (_, lines) = node.ask("GET", KEYS, "").await;
    assert_eq!(lines.lines().count(), 2, "the key, and what was read for a transaction");
    assert!(lines.starts_with(r#"{"key":"a/b","value":"one""#), "{lines}");
    assert_eq!(node.ask("DELETE", &format!("{KEYS}/a%2Fb"), "").await.0, StatusCode::OK);
    assert_eq!(node.ask("DELETE", &format!("{KEYS}/a%2Fb"), "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(node.ask("GET", &format!("{KEYS}/a%2Fb"), "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_accepts_cbor_gets_the_same_documents_and_problems_in_it() {
    let node = Node::new("cbor").await;
    let cbor = [("accept", "application/cbor".to_string())];
    let (status, problem) = node.ask_with("GET", "/v1/spaces/nowhere", "", &cbor).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem.starts_with("cbor {") && problem.contains("nowhere"), "{problem}");
    node.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    let json = node.json("GET", "/v1/spaces", "").await;
    assert_eq!(node.ask_with("GET", "/v1/spaces", "", &cbor).await, (StatusCode::OK, format!("cbor {json}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_in_one_directory_is_refused() {
    let node = Node::new("lock").await;
    let options = ServeOptions { data: node.data.path().to_path_buf(), ..ServeOptions::default() };
    let refused = Running::start(&options).await.err().expect("refused").to_string();
    assert!(refused.contains("in use by another daemon"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_hold_the_same_after_a_join_a_cut_and_a_restart() {
    let (mut home, mut truck) = (Node::new("home").await, Node::new("truck").await);
    home.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    home.json("POST", "/v1/spaces/fleet/collections", r#"{"name":"notes"}"#).await;
    home.json("PUT", &format!("{KEYS}/old"), "from home").await;
    let invited = home.json("POST", "/v1/spaces/fleet/invite", "{}").await;
    let join = serde_json::json!({ "ticket": invited["ticket"], "name": "fleet" }).to_string();
    truck.json("POST", "/v1/join", &join).await;
    truck.eventually(&format!("{KEYS}/old"), "from home").await;
    let waited = truck.json("PUT", &format!("{KEYS}/new?wait=anchored&timeout=10s"), "from truck").await;
    assert_eq!(waited["waited"], "anchored");
    home.eventually(&format!("{KEYS}/new"), "from truck").await;

    home.stop().await;
    truck.json("PUT", &format!("{KEYS}/alone"), "offline").await;
    truck.stop().await;
    home.start().await;
    truck.start().await;
    // The home has another port now, so only its call back can help: the truck's address of it is old.
    let address = home.daemon().reachable_addresses()[0].clone();
    truck.json("POST", "/v1/peers", &serde_json::json!({ "address": address }).to_string()).await;
    home.eventually(&format!("{KEYS}/alone"), "offline").await;
    for _ in 0..500 {
        let roots = [&home, &truck].map(|node| node.daemon());
        let (a, b) = (roots[0].describe_spaces().await, roots[1].describe_spaces().await);
        if a[0].data_root == b[0].data_root && b[0].tail_commits == 0 && a[0].version > 2 {
            home.stop().await;
            truck.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("roots differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_daemon_reads_and_refuses_to_write() {
    let mut node = Node::new("read-only").await;
    node.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    node.json("POST", "/v1/spaces/fleet/collections", r#"{"name":"notes"}"#).await;
    node.json("PUT", &format!("{KEYS}/a"), "kept").await;
    node.stop().await;
    let options =
        ServeOptions { data: node.data.path().to_path_buf(), is_read_only: true, ..ServeOptions::default() };
    node.running = Some(Running::start(&options).await.unwrap());
    node.eventually(&format!("{KEYS}/a"), "kept").await;
    let (status, text) = node.ask("PUT", &format!("{KEYS}/a"), "changed").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains(r#""type":"read-only""#), "{text}");
    assert_eq!(node.ask("POST", "/v1/spaces", r#"{"name":"b"}"#).await.0, StatusCode::FORBIDDEN);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_does_not_hold_changes_nothing() {
    let node = Node::new("condition").await;
    node.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    node.json("POST", "/v1/spaces/fleet/collections", r#"{"name":"notes"}"#).await;
    let path = format!("{KEYS}/a");
    let star = [("if-none-match", "*".to_string())];
    assert_eq!(node.ask_with("PUT", &path, "first", &star).await.0, StatusCode::OK);
    assert_eq!(node.ask_with("PUT", &path, "second", &star).await.0, StatusCode::PRECONDITION_FAILED);
    let dot = node.json("GET", &format!("{path}?all=true"), "").await["dot"].as_str().unwrap().to_string();
    let tag = [("if-match", format!("\"{dot}\""))];
    assert_eq!(node.ask_with("PUT", &path, "third", &tag).await.0, StatusCode::OK);
    assert_eq!(node.ask_with("PUT", &path, "fourth", &tag).await.0, StatusCode::PRECONDITION_FAILED);
    assert_eq!(node.ask("GET", &path, "").await.1, "third");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_peer_hears_nothing_until_it_is_resumed() {
    let (home, truck) = (Node::new("home").await, Node::new("truck").await);
    home.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    home.json("POST", "/v1/spaces/fleet/collections", r#"{"name":"notes"}"#).await;
    let invited = home.json("POST", "/v1/spaces/fleet/invite", "").await;
    let join = serde_json::json!({ "ticket": invited["ticket"], "name": "fleet" }).to_string();
    truck.json("POST", "/v1/join", &join).await;
    truck.json("POST", "/v1/peers/pause", "").await;
    truck.json("PUT", &format!("{KEYS}/a"), "kept back").await;
    let peers = truck.json("GET", "/v1/peers", "").await;
    assert_eq!(
        (peers[0]["state"].as_str(), peers[0]["id"].as_str().map(str::len)),
        (Some("paused"), Some(32))
    );
    assert_eq!(home.ask("GET", &format!("{KEYS}/a"), "").await.0, StatusCode::NOT_FOUND);
    truck.json("POST", "/v1/peers/resume", "").await;
    home.eventually(&format!("{KEYS}/a"), "kept back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_without_a_grant_gets_nothing() {
    let (home, stranger) = (Node::new("home").await, Node::new("stranger").await);
    home.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    let invited = home.json("POST", "/v1/spaces/fleet/invite", r#"{"uses":1}"#).await;
    let join = serde_json::json!({ "ticket": invited["ticket"], "name": "fleet" }).to_string();
    let guest = Node::new("guest").await;
    guest.json("POST", "/v1/join", &join).await;
    let (status, text) = stranger.ask("POST", "/v1/join", &join).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text.contains(r#""type":"ticket-spent""#), "{text}");
    assert_eq!(stranger.json("GET", "/v1/spaces", "").await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_without_hearing_of_it_can_leave_again() {
    let (mut home, truck) = (Node::new("left-home").await, Node::new("left-truck").await);
    home.json("POST", "/v1/spaces", r#"{"name":"fleet"}"#).await;
    let invited = home.json("POST", "/v1/spaces/fleet/invite", r#"{"uses":3}"#).await;
    let join = serde_json::json!({ "ticket": invited["ticket"], "name": "fleet" }).to_string();
    truck.json("POST", "/v1/join", &join).await;
    let space = truck.daemon().spaces.find("fleet").unwrap();
    // The home takes it out, and the answer is lost.
    let asked = Membership::Leaving([7; 16]);
    space.set_membership(asked).await.unwrap();
    assert_eq!(truck.json("POST", "/v1/spaces/fleet/leave", "").await["membership"], "left");
    space.set_membership(asked).await.unwrap();
    // It asks to come back, and whether the home heard of it nobody knows.
    home.stop().await;
    let in_vain = serde_json::json!({ "ticket": invited["ticket"], "timeout": "200ms" }).to_string();
    assert_eq!(truck.ask("POST", "/v1/join", &in_vain).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let since = space.membership();
    assert!(matches!(since, Membership::Leaving(_)) && since != asked, "{since:?}");
    // It had: the home lists it, and takes it out once more.
    home.start().await;
    let invited = home.json("POST", "/v1/spaces/fleet/invite", "").await;
    let join = serde_json::json!({ "ticket": invited["ticket"] }).to_string();
    truck.json("POST", "/v1/join", &join).await;
    space.set_membership(since).await.unwrap();
    let members = async || home.json("GET", "/v1/spaces/fleet", "").await["members"].as_array().map(Vec::len);
    assert_eq!(members().await, Some(2));
    assert_eq!(truck.json("POST", "/v1/spaces/fleet/leave", "").await["membership"], "left");
    assert_eq!(members().await, Some(1));
}
