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
        self.request_with(method, path, "", body)
    }

    /// With more headers, each ended by a line break.
    pub(crate) fn request_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let len = body.len();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {len}\r\n\r\n")
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

    /// The headers of a GET, in lower case names, and its body, whatever its length is said by.
    pub(crate) fn stream(&mut self, path: &str) -> io::Result<(Vec<String>, String)> {
        self.stream_with(path, "accept: */*\r\n")
    }

    /// With these headers, each ended by a line break.
    pub(crate) fn stream_with(&mut self, path: &str, headers: &str) -> io::Result<(Vec<String>, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            headers.push(line);
        }
        let len = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
        if let Some(len) = len.map(|len| len.parse().map_err(io::Error::other)).transpose()? {
            let mut body = vec![0; len];
            self.stream.read_exact(&mut body)?;
            return Ok((headers, String::from_utf8(body).map_err(io::Error::other)?));
        }
        let mut body = Vec::new();
        loop {
            let len = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; len + 2];
            self.stream.read_exact(&mut chunk)?;
            if len == 0 {
                return Ok((headers, String::from_utf8(body).map_err(io::Error::other)?));
            }
            body.extend_from_slice(&chunk[..len]);
        }
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
