//! HTTP as a program would speak it: one connection to the daemon, kept for many requests.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::harness::PATIENCE;

/// A connection to one daemon.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

/// The daemon's socket, or TCP.
trait Stream: Read + Write {}

impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// What the daemon answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(data: &Path) -> io::Result<Connection> {
        let stream = UnixStream::connect(data.join("strandline.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(Box::new(stream)) })
    }

    pub(crate) fn over_tcp(address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(Box::new(stream)) })
    }

    /// Writes a key of `telemetry/readings`; `query` is empty or begins with `?`. An error: nobody knows.
    pub(crate) fn put(&mut self, key: &str, value: &[u8], query: &str) -> io::Result<Answer> {
        self.request("PUT", &format!("/v1/spaces/telemetry/collections/readings/keys/{key}{query}"), value)
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len())
                .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        let status = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut len = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_string()),
        }
    }
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `type` of a refusal, checked for the form programs rely on.
    pub(crate) fn problem(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(document["detail"].is_string() && document["status"] == self.status, "{document}");
        document["type"].as_str().unwrap_or_else(|| panic!("no type in {document}")).to_string()
    }
}
