//! A server that answers what a test says, right or wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

/// Answers each request by its path; gives its address.
pub fn start(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut block = [0; 8192];
            let read = client.read(&mut block).unwrap_or(0);
            let request = String::from_utf8_lossy(&block[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            // A client that wants no more is none of the test's business.
            let _ = client.write_all(answer(path).as_bytes());
        }
    });
    url
}

/// An answer.
pub fn says(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// A JSON answer.
pub fn json(body: &serde_json::Value) -> String {
    says("200 OK", "application/json", &body.to_string())
}

/// Danube's own words for an error.
pub fn refusal(status: &str, message: &str) -> String {
    let body = serde_json::json!({"error": {"code": "x", "message": message, "request_id": "req-7"}});
    says(status, "application/json", &body.to_string())
}
