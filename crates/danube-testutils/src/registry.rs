//! A real registry of images (Debian's `docker-registry`) on this machine's loopback, ended with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

/// A registry that runs until it is dropped.
pub struct Registry {
    process: Child,
    /// Its host and port, as a reference has them.
    pub host: String,
    dir: Arc<tempfile::TempDir>,
}

impl Registry {
    /// Starts one on loopback. None, said in so many words, where the program is missing.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::serve(Arc::new(tempfile::tempdir().expect("temporary folder")), "127.0.0.1", "")
    }

    /// Another one with the same images, over TLS at this machine's own address, and the certificate to trust. None, said
    /// in so many words, where the machine has no address but loopback.
    #[must_use]
    pub fn over_tls(&self) -> Option<(Self, PathBuf)> {
        let Some(address) = own_address() else {
            eprintln!("skipped: this machine has no address but loopback");
            return None;
        };
        let [key, certificate] = ["key.pem", "cert.pem"].map(|name| self.dir.path().join(name));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=registry",
            "-addext",
        ]);
        openssl.arg(format!("subjectAltName=IP:{address}")).args(["-addext", "basicConstraints=CA:FALSE"]);
        let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null()).status();
        assert!(made.expect("openssl is there").success());
        let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
        Some((Self::serve(self.dir.clone(), &address, &tls)?, certificate))
    }

    fn serve(dir: Arc<tempfile::TempDir>, address: &str, tls: &str) -> Option<Self> {
        let config = dir.path().join("config.yml");
        let store = dir.path().join("store");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}:0\"{tls}}}\n",
            store.display()
        );
        std::fs::write(&config, text).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            eprintln!("skipped: there is no docker-registry on this machine (Debian: apt-get install docker-registry)");
            return None;
        };
        let log = BufReader::new(process.stderr.take().expect("piped"));
        let mut lines = log.lines().map_while(Result::ok);
        let said = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        // Read on, or the registry would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let said = said.expect("the registry listens");
        let host = said.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
        Some(Self { process, host, dir })
    }

    /// Puts the first image of an OCI layout there. Its manifest's digest.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn push(&self, layout: &Path, repository: &str, tag: &str) -> String {
        let index: Value = read(&layout.join("index.json"));
        let manifest = &index["manifests"][0];
        let digest = manifest["digest"].as_str().expect("a digest").to_owned();
        let content = std::fs::read(blob(layout, &digest)).expect("the manifest");
        let parsed: Value = serde_json::from_slice(&content).expect("JSON");
        let layers = parsed["layers"].as_array().expect("layers").iter();
        for part in layers.chain([&parsed["config"]]) {
            self.push_blob(layout, repository, part["digest"].as_str().expect("a digest"));
        }
        let kind = manifest["mediaType"].as_str().expect("a media type");
        let (status, _) = self.ask("PUT", &format!("/v2/{repository}/manifests/{tag}"), kind, &content);
        assert_eq!(status, 201, "the registry takes the manifest");
        digest
    }

    fn push_blob(&self, layout: &Path, repository: &str, digest: &str) {
        let (_, place) = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[]);
        let place = place.expect("a place for the blob");
        let path = place.split_once(&self.host).map_or(place.as_str(), |(_, path)| path).to_owned();
        let separator = if path.contains('?') { '&' } else { '?' };
        let content = std::fs::read(blob(layout, digest)).expect("the blob");
        let path = format!("{path}{separator}digest={digest}");
        assert_eq!(self.ask("PUT", &path, "application/octet-stream", &content).0, 201, "the registry takes the blob");
    }

    /// One request; the status, and where it points to.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Option<String>) {
        let mut stream = TcpStream::connect(&self.host).expect("the registry");
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let place = text.lines().find_map(|line| line.strip_prefix("Location: ")).map(|place| place.trim().to_owned());
        (status, place)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// The address that packets of this machine would have elsewhere; none is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}
