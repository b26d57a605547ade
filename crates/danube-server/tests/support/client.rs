//! A small HTTP client: what it sends is what the test says, right or wrong.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{House, TOKEN};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: String,
}

/// A stream that is read event by event.
pub struct Events {
    pub reader: BufReader<TcpStream>,
    text: Vec<u8>,
}

impl Ask {
    /// With a token that may do everything.
    pub fn new(method: &str, path: &str) -> Self {
        Self::nobody(method, path).header("Authorization", &format!("Bearer {TOKEN}"))
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str, body: &str) -> Self {
        let mut ask = Self::new("POST", path);
        ask.body = body.into();
        if body.is_empty() { ask } else { ask.header("Content-Type", "application/json") }
    }

    /// Without any token.
    pub fn nobody(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Connects and sends.
    pub async fn send(&self, house: &House) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let names = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !names("host") {
            head += &format!("Host: {}\r\n", house.address);
        }
        if !names("content-length") && !names("transfer-encoding") && !self.body.is_empty() {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| value != "-") {
            head += &format!("{name}: {value}\r\n");
        }
        head += "Connection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses the head need not take the body.
        let _ = stream.write_all(&self.body).await;
        BufReader::new(stream)
    }

    /// The whole answer.
    pub async fn answer(&self, house: &House) -> Answer {
        let mut reader = self.send(house).await;
        let (status, headers) = head(&mut reader).await;
        let mut body = Vec::new();
        if self.method != "HEAD" && status != 204 && status != 304 {
            body = read_body(&mut reader, &headers).await;
        }
        Answer { status, headers, body }
    }

    /// The events of an answer that is a stream.
    pub async fn events(&self, house: &House) -> Events {
        let mut reader = self.send(house).await;
        let (status, headers) = head(&mut reader).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&read_body(&mut reader, &headers).await));
        Events { reader, text: Vec::new() }
    }
}

async fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

async fn head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let status = line(reader).await.split(' ').nth(1).expect("a status line").parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let line = line(reader).await;
        let Some((name, value)) = line.split_once(':') else { return (status, headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn read_body(reader: &mut BufReader<TcpStream>, headers: &[(String, String)]) -> Vec<u8> {
    let mut body = Vec::new();
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        while let Some(chunk) = chunk(reader).await {
            body.extend(chunk);
        }
        return body;
    }
    let len = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, len)| len.parse().unwrap());
    body.resize(len, 0);
    reader.read_exact(&mut body).await.unwrap();
    body
}

/// A chunk of a body; none after the last. A connection that ends without one panics.
async fn chunk(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let len = usize::from_str_radix(&line(reader).await, 16).expect("the stream ends properly");
    let mut chunk = vec![0; len + 2];
    reader.read_exact(&mut chunk).await.unwrap();
    chunk.truncate(len);
    (len > 0).then_some(chunk)
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The stable code of an error, which must have everything that an error has.
    pub fn code(&self) -> String {
        let error = self.json()["error"].clone();
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 5), "{error}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        error["code"].as_str().unwrap().to_owned()
    }
}

impl Events {
    /// The next event; none when the stream has ended properly. Comments are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8(block).expect("events are UTF-8")) {
                    return Some(event);
                }
            }
            self.text.extend(chunk(&mut self.reader).await?);
        }
    }

    /// All events up to the stream's end.
    pub async fn all(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        lines.map(str::to_owned).next()
    };
    Some(Event { id: field("id")?, name: field("event")?, data: field("data")? })
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}
