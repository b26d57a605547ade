//! A job for the tests: a process in namespaces of its own, whose sockets the tests use, and relays that serve it.
//!
//! A socket belongs to the network namespace it was made in, so a test asks the process inside for sockets and uses
//! them itself.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use danube_core::egress::{EgressEvent, EgressMode, EgressPolicy, EgressVerdict};
use danube_sandbox::egress::{EgressSockets, Proxies, RESOLV_CONF, RESOLVER, Relays, Resolver, Upstream, prepare};
use rustix::net as sys;

/// Long enough that only a hang reaches it.
pub const HANG: Duration = Duration::from_secs(60);

pub struct Job {
    inside: Child,
    channel: UnixStream,
    events: mpsc::Receiver<EgressEvent>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    relays: Option<JoinHandle<()>>,
}

/// What the outside is made of.
#[derive(Default)]
pub struct Outside {
    pub names: HashMap<String, Vec<IpAddr>>,
    pub proxies: Proxies,
}

impl Outside {
    pub fn with_names(names: &[(&str, &str)]) -> Self {
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), vec![address.parse().unwrap()]));
        Self { names: names.collect(), proxies: Proxies::default() }
    }
}

pub fn policy(mode: EgressMode, rules: &[String]) -> EgressPolicy {
    EgressPolicy { mode, rules: rules.iter().map(|rule| rule.parse().unwrap()).collect() }
}

impl Job {
    pub fn start(policy: EgressPolicy, outside: Outside) -> Self {
        let (channel, theirs) = UnixStream::pair().unwrap();
        let ports: Vec<String> = policy.ports().iter().map(u16::to_string).collect();
        let inside = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "inside_the_job", "--ignored", "--nocapture"])
            .env("DANUBE_TEST_PORTS", ports.join(","))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sockets = EgressSockets::receive(&channel).unwrap();
        let (sender, events) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let upstream = Upstream::new(Resolver::Fixed(outside.names), outside.proxies);
        let relays = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let relays = Relays::new(policy, sockets, upstream, move |event| drop(sender.send(event)));
                tokio::select! { ended = relays.run() => panic!("{ended:?}"), _ = stopped => {} }
            });
        });
        Self { inside, channel, events, stop: Some(stop), relays: Some(relays) }
    }

    /// The next thing that was decided.
    pub fn event(&self) -> (String, Option<u16>, EgressVerdict) {
        let event = self.events.recv_timeout(HANG).expect("nothing was recorded");
        (event.name, event.port, event.verdict)
    }

    fn socket(&self, kind: u8) -> OwnedFd {
        (&self.channel).write_all(&[kind, b'\n']).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let (mut control, mut byte) = (sys::RecvAncillaryBuffer::new(&mut space), [0]);
        sys::recvmsg(&self.channel, &mut [IoSliceMut::new(&mut byte)], &mut control, sys::RecvFlags::CMSG_CLOEXEC)
            .unwrap();
        let Some(sys::RecvAncillaryMessage::ScmRights(mut sockets)) = control.drain().next() else {
            panic!("no socket")
        };
        sockets.next().unwrap()
    }

    /// Connects from inside to an address.
    pub fn connect_to(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
        let socket = self.socket(b't');
        sys::connect(&socket, &SocketAddrV4::new(address, port))?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(HANG))?;
        Ok(stream)
    }

    /// A datagram socket inside, connected to an address.
    pub fn datagrams_to(&self, address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
        let socket = self.socket(b'u');
        sys::connect(&socket, &SocketAddrV4::new(address, port))?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(HANG))?;
        Ok(socket)
    }

    /// Asks the resolver for a name's address; the error is the response code.
    pub fn look_up(&self, name: &str) -> Result<Ipv4Addr, u8> {
        let socket = self.datagrams_to(RESOLVER, 53).unwrap();
        socket.send(&question(name)).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        address_in(&reply[..length])
    }

    /// Connects from inside to a name.
    pub fn connect(&self, name: &str, port: u16) -> TcpStream {
        let address = self.look_up(name).unwrap_or_else(|code| panic!("{name}: response code {code}"));
        self.connect_to(address, port).unwrap()
    }

    /// Runs a shell command inside; its output and its exit code's text.
    pub fn run(&self, command: &str) -> String {
        (&self.channel).write_all(format!("x{command}\n").as_bytes()).unwrap();
        let mut length = [0; 8];
        (&self.channel).read_exact(&mut length).unwrap();
        let mut output = vec![0; u64::from_ne_bytes(length) as usize];
        (&self.channel).read_exact(&mut output).unwrap();
        String::from_utf8_lossy(&output).into_owned()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.inside.kill();
        let _ = self.inside.wait();
        let ended = self.relays.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the relays failed");
        }
    }
}

pub fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

pub fn address_in(reply: &[u8]) -> Result<Ipv4Addr, u8> {
    let code = reply[3] & 0xf;
    let last: [u8; 4] = reply[reply.len() - 4..].try_into().unwrap();
    if code == 0 { Ok(Ipv4Addr::from(last)) } else { Err(code) }
}

/// The other side of [`Job::start`]: prepares the namespace, then does what it is told.
pub fn inside() {
    let channel = UnixStream::from(rustix::io::dup(io::stdin()).unwrap());
    let ports = std::env::var("DANUBE_TEST_PORTS").unwrap();
    let ports: Vec<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    prepare(&ports).unwrap_or_else(|error| panic!("{error}")).send(&channel).unwrap();
    let resolv = std::env::temp_dir().join(format!("danube-resolv-{}", std::process::id()));
    std::fs::write(&resolv, RESOLV_CONF).unwrap();
    let mounted = Command::new("mount").arg("--bind").arg(&resolv).arg("/etc/resolv.conf").status().unwrap();
    std::fs::remove_file(&resolv).unwrap();
    assert!(mounted.success());
    for line in BufReader::new(&channel).lines() {
        let line = line.unwrap();
        match line.split_at(1) {
            ("t", _) => send(&channel, sys::SocketType::STREAM),
            ("u", _) => send(&channel, sys::SocketType::DGRAM),
            (_, command) => {
                let script = format!("({command}) 2>&1; echo exit $?");
                let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap().stdout;
                (&channel).write_all(&(output.len() as u64).to_ne_bytes()).unwrap();
                (&channel).write_all(&output).unwrap();
            }
        }
    }
}

fn send(channel: &UnixStream, kind: sys::SocketType) {
    let socket = sys::socket_with(sys::AddressFamily::INET, kind, sys::SocketFlags::CLOEXEC, None).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = sys::SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    assert!(control.push(sys::SendAncillaryMessage::ScmRights(&sockets)));
    sys::sendmsg(channel, &[IoSlice::new(&[0])], &mut control, sys::SendFlags::empty()).unwrap();
}
