//! Something between a client and a server that cuts streams, and hears what is asked.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::Random;

/// No cut.
const WHOLE: i64 = i64::MAX;

/// More than an event of these tests has.
const LARGEST: u64 = 64 * 1024;

/// A proxy; its threads end with the test.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    /// Answers to requests with this in their first line are cut.
    what: &'static str,
    /// How many cuts are left, and where the next ones are.
    cuts: Mutex<(usize, Random)>,
    longest: u64,
    heard: Mutex<Vec<String>>,
}

impl Proxy {
    /// Cuts the first answers to such requests after some bytes, at most `longest`.
    pub fn start(server: u16, what: &'static str, cuts: usize, longest: u64, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let cuts = Mutex::new((cuts, Random(seed)));
        let shared = Arc::new(Shared { server, what, cuts, longest, heard: Mutex::default() });
        let own = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, own_port) = (own.clone(), port);
                thread::spawn(move || shared.carry(client, own_port));
            }
        });
        Self { port, shared }
    }

    /// Where it is spoken to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far: its first lines.
    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().expect("no test failed in between").clone()
    }

    /// Cuts that were not needed.
    pub fn left(&self) -> usize {
        self.shared.cuts.lock().expect("no test failed in between").0
    }
}

impl Shared {
    fn carry(&self, mut client: TcpStream, port: u16) {
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).expect("the server");
        let (mut back, mut answers) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
        let left = Arc::new(AtomicI64::new(WHOLE));
        let budget = left.clone();
        thread::spawn(move || answer(&mut answers, &mut back, &budget));
        let mut block = [0; 8192];
        // The requests of these tests arrive in one piece.
        while let Ok(read @ 1..) = client.read(&mut block) {
            let request = String::from_utf8_lossy(&block[..read]).into_owned();
            left.store(self.budget(&request), Ordering::SeqCst);
            let request = request.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", self.server));
            self.heard.lock().expect("no test failed in between").push(request.clone());
            if server.write_all(request.as_bytes()).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }

    fn budget(&self, request: &str) -> i64 {
        let mut cuts = self.cuts.lock().expect("no test failed in between");
        if cuts.0 == 0 || !request.lines().next().is_some_and(|line| line.contains(self.what)) {
            return WHOLE;
        }
        cuts.0 -= 1;
        // Every third answer has room for the largest event: who never gets one gives up, and rightly.
        let room = if cuts.0.is_multiple_of(3) { LARGEST } else { 0 };
        i64::try_from(cuts.1.below(self.longest) + room).expect("small")
    }
}

fn answer(server: &mut TcpStream, client: &mut TcpStream, left: &AtomicI64) {
    let mut block = [0; 8192];
    while let Ok(read @ 1..) = server.read(&mut block) {
        let budget = left.load(Ordering::SeqCst);
        let passed = read.min(usize::try_from(budget).unwrap_or(usize::MAX));
        if client.write_all(&block[..passed]).is_err() || passed < read {
            break;
        }
        if budget != WHOLE {
            left.fetch_sub(passed as i64, Ordering::SeqCst);
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
