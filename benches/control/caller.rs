//! Somebody who asks the API.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::node::Node;

/// A caller of the API on its socket: a request is sent all but its last byte, then that.
pub struct Caller {
    stream: BufReader<UnixStream>,
    last: u8,
}

impl Caller {
    pub fn new(node: &Node) -> Caller {
        let stream = UnixStream::connect(node.api.socket().expect("a socket")).expect("a connection");
        Caller { stream: BufReader::new(stream), last: 0 }
    }

    pub fn begin(&mut self, path: &str, body: &str) {
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        self.last = bytes.pop().expect("a body");
        self.stream.get_mut().write_all(&bytes).expect("it is sent");
        // It has been read by then: what is measured begins with the last byte.
        std::thread::sleep(Duration::from_millis(1));
    }

    pub fn end(&mut self) {
        self.stream.get_mut().write_all(&[self.last]).expect("it is sent");
    }

    /// Reads a reply, which must be one of success.
    pub fn reply(&mut self) {
        let (mut length, mut status) = (0, String::new());
        self.stream.read_line(&mut status).expect("a reply");
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a header");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        assert!(status.starts_with("HTTP/1.1 2"), "{status} {}", String::from_utf8_lossy(&body));
    }
}
