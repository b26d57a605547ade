//! The network by name, with real sockets in a real namespace. Runs as root and as an ordinary user.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod job;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use danube_core::egress::EgressVerdict::{Allowed, DeniedName, DeniedPrivate, DeniedServerName, Unreachable};
use danube_core::egress::{EgressMode, EgressPolicy};
use danube_sandbox::egress::{Proxies, RESOLVER};
use job::{Job, Outside, policy};
use sha2::{Digest, Sha256};

const NO_SUCH_NAME: u8 = 3;

#[test]
#[ignore = "the process inside the namespaces, started by the other tests"]
fn inside_the_job() {
    job::inside();
}

/// A server of the outside that gives each connection to a function.
fn server(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Sends back what it gets, and ends when the other side has ended.
fn echo(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let _ = io::copy(&mut reader, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

fn enforce(rules: &[String]) -> EgressPolicy {
    policy(EgressMode::Enforce, rules)
}

/// A job that may reach `echo.test`, which is this machine.
fn job_with(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> (Job, u16) {
    let port = server(serve);
    let rules = [format!("echo.test:{port} private")];
    let outside = Outside::with_names(&[("echo.test", "127.0.0.1"), ("other.test", "127.0.0.1")]);
    (Job::start(enforce(&rules), outside), port)
}

fn is_reset(mut stream: TcpStream) -> bool {
    let read = stream.read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn an_allowed_name_is_reached_and_recorded() {
    let (job, port) = job_with(echo);
    let mut stream = job.connect("Echo.TEST", port);
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello", "what comes after the end of the one direction still passes in the other");
    assert_eq!(job.event(), ("echo.test".into(), None, Allowed));
    assert_eq!(job.event(), ("echo.test".into(), Some(port), Allowed));
}

#[test]
fn a_server_may_speak_first() {
    let (job, port) = job_with(|mut stream| {
        stream.write_all(b"SSH-2.0-test\r\n").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"SSH-");
    });
    let mut stream = job.connect("echo.test", port);
    let mut banner = [0; 14];
    stream.read_exact(&mut banner).unwrap();
    stream.write_all(b"SSH-").unwrap();
    assert_eq!(stream.read(&mut banner).unwrap(), 0);
}

#[test]
fn a_name_that_is_not_listed_does_not_exist_and_is_recorded() {
    let (job, _) = job_with(echo);
    assert_eq!(job.look_up("other.test"), Err(NO_SUCH_NAME));
    assert_eq!(job.event(), ("other.test".into(), None, DeniedName));
    assert_eq!(job.look_up("secrets.of.the.job.evil.example"), Err(NO_SUCH_NAME));
    assert_eq!(job.event(), ("secrets.of.the.job.evil.example".into(), None, DeniedName));
}

#[test]
fn private_addresses_need_a_rule_that_says_so() {
    let port = server(echo);
    let names = [("marked.test", "127.0.0.1"), ("bare.test", "127.0.0.1"), ("metadata.test", "169.254.169.254")];
    let rules = [format!("marked.test:{port} private"), "bare.test".into()];
    let job = Job::start(policy(EgressMode::Record, &rules), Outside::with_names(&names));
    job.connect("marked.test", port);
    assert_eq!(job.event(), ("marked.test".into(), None, Allowed));
    assert_eq!(job.event(), ("marked.test".into(), Some(port), Allowed));
    for name in ["bare.test", "metadata.test"] {
        assert_eq!(job.look_up(name), Err(NO_SUCH_NAME), "{name}");
        assert_eq!(job.event(), (name.into(), None, DeniedPrivate));
    }
    // `private` holds for the rule's own port only.
    let address = job.look_up("marked.test").unwrap();
    assert!(is_reset(job.connect_to(address, 443).unwrap()));
    assert_eq!(job.event(), ("marked.test".into(), Some(443), DeniedPrivate));
}

#[test]
fn a_port_without_a_rule_is_refused_though_another_rule_opened_it() {
    let port = server(echo);
    let rules = [format!("a.test:{port} private"), "b.test:1 private".into()];
    let job = Job::start(enforce(&rules), Outside::with_names(&[("a.test", "127.0.0.1"), ("b.test", "127.0.0.1")]));
    assert!(is_reset(job.connect("b.test", port)));
    assert_eq!(job.event(), ("b.test".into(), None, Allowed));
    assert_eq!(job.event(), ("b.test".into(), Some(port), DeniedName));
    assert!(is_reset(job.connect("b.test", 1)), "nothing listens there");
    assert_eq!(job.event(), ("b.test".into(), Some(1), Unreachable));
}

#[test]
fn there_is_no_way_around_the_names() {
    let (job, port) = job_with(echo);
    let kind = |result: io::Result<TcpStream>| result.map(drop).unwrap_err().kind();
    for address in ["1.1.1.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "198.17.0.1", "198.20.0.1"] {
        let address: Ipv4Addr = address.parse().unwrap();
        assert_eq!(kind(job.connect_to(address, 443)), ErrorKind::NetworkUnreachable, "{address}");
        let datagrams = job.datagrams_to(address, 53).map(drop);
        assert_eq!(datagrams.unwrap_err().kind(), ErrorKind::NetworkUnreachable, "DNS by {address}");
    }
    let quic = job.datagrams_to(job.look_up("echo.test").unwrap(), port).unwrap();
    quic.send(b"hello").unwrap();
    assert_eq!(quic.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(job.event(), ("echo.test".into(), None, Allowed));
    assert!(is_reset(job.connect_to(Ipv4Addr::LOCALHOST, port).unwrap()), "the job's loopback is not the host's");
    let unnamed = Ipv4Addr::new(198, 19, 3, 4);
    assert!(is_reset(job.connect_to(unnamed, port).unwrap()), "an address that no name has");
    assert_eq!(job.event(), ("198.19.3.4".into(), Some(port), DeniedName));
    let other_port = job.connect_to(job.look_up("echo.test").unwrap(), 9).map(drop);
    assert_eq!(other_port.unwrap_err().kind(), ErrorKind::ConnectionRefused, "a port that no rule opens");
}

/// A client hello for a name, as OpenSSL would begin.
fn hello(name: &str) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let list = counted(&[&[0][..], &counted(name.as_bytes())].concat());
    let extensions = counted(&[&[0, 0][..], &counted(&list)].concat());
    let body = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0], &extensions].concat();
    let message = [&[1, 0][..], &counted(&body)].concat();
    [&[22, 3, 1][..], &counted(&message)].concat()
}

#[test]
fn a_tls_client_must_ask_for_the_name_it_looked_up() {
    let (job, port) = job_with(echo);
    let right = hello("echo.test");
    let mut stream = job.connect("echo.test", port);
    for byte in &right {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut echoed = vec![0; right.len()];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, right);
    assert_eq!(job.event(), ("echo.test".into(), None, Allowed));
    assert_eq!(job.event(), ("echo.test".into(), Some(port), Allowed));
    for wrong in ["other.test", "echo.test.evil.example", "127.0.0.1", ""] {
        let mut stream = job.connect("echo.test", port);
        stream.write_all(&hello(wrong)).unwrap();
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).unwrap();
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, 49], "`{wrong}` is answered access denied, and not echoed");
    }
    assert_eq!(job.event(), ("echo.test".into(), Some(port), DeniedServerName));
}

#[test]
fn clients_that_never_finish_their_hello_stop_nobody_else() {
    let (job, port) = job_with(echo);
    let address = job.look_up("echo.test").unwrap();
    let slow: Vec<TcpStream> = (0..100).map(|_| job.connect_to(address, port).unwrap()).collect();
    slow.iter().for_each(|mut stream| stream.write_all(&[22, 3, 1, 0]).unwrap());
    let mut endless = job.connect_to(address, port).unwrap();
    let record = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][..], &[0; 16 * 1024]].concat();
    let _ = endless.write_all(&record);
    let mut alert = Vec::new();
    let _ = endless.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&21), "a hello that has no end in sight is refused");
    let mut stream = job.connect_to(address, port).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(slow);
}

#[test]
fn five_hundred_connections_run_at_once() {
    raise_descriptor_limit();
    let (job, port) = job_with(echo);
    let address = job.look_up("echo.test").unwrap();
    let mut streams: Vec<TcpStream> = (0..500).map(|_| job.connect_to(address, port).unwrap()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(number as u64).to_be_bytes()).unwrap();
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut echoed = [0; 8];
        stream.read_exact(&mut echoed).unwrap();
        assert_eq!(u64::from_be_bytes(echoed), number as u64);
    }
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// 100 MB that do not repeat within a buffer.
fn blocks() -> impl Iterator<Item = [u8; 32 * 1024]> {
    (0u32..3200)
        .map(|number| std::array::from_fn(|at| (number.wrapping_mul(2_654_435_761) >> (at % 25)) as u8 ^ at as u8))
}

#[test]
fn a_hundred_megabytes_arrive_unchanged_both_ways() {
    let (job, port) = job_with(echo);
    let mut stream = job.connect("echo.test", port);
    let mut writer = stream.try_clone().unwrap();
    let sent = thread::spawn(move || {
        let mut hash = Sha256::new();
        for block in blocks() {
            hash.update(block);
            writer.write_all(&block).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
        hash.finalize()
    });
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        length += read;
        hash.update(&buffer[..read]);
    }
    assert_eq!(length, 3200 * 32 * 1024);
    assert_eq!(hash.finalize(), sent.join().unwrap());
}

#[test]
fn a_slow_reader_slows_its_writer_and_loses_nothing() {
    const WORDS: u32 = 8 << 20;
    let (job, port) = job_with(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        let all: Vec<u8> = (0..WORDS).flat_map(u32::to_be_bytes).collect();
        stream.write_all(&all).unwrap();
    });
    let mut stream = job.connect("echo.test", port);
    // With little room here and more sent than all buffers between hold, the relay cannot write all it has read.
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 256 * 1024).unwrap();
    stream.write_all(b"x").unwrap();
    let (mut word, mut buffer) = (0u32, [0; 4096]);
    while word < WORDS {
        stream.read_exact(&mut buffer).unwrap();
        for bytes in buffer.chunks_exact(4) {
            assert_eq!(bytes, word.to_be_bytes());
            word += 1;
        }
    }
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
}

#[test]
fn a_broken_transfer_does_not_look_complete() {
    let (job, port) = job_with(|mut stream| {
        stream.write_all(b"half").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    });
    let mut stream = job.connect("echo.test", port);
    stream.read_exact(&mut [0; 4]).unwrap();
    stream.write_all(b"x").unwrap();
    assert!(is_reset(stream));
}

#[test]
fn the_resolver_also_answers_over_streams_and_refuses_endless_names() {
    let (job, _) = job_with(echo);
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
    let mut stream = job.connect_to(RESOLVER, 53).unwrap();
    for _ in 0..3 {
        stream.write_all(&framed(&job::question("echo.test"))).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(job::address_in(&reply), job.look_up("echo.test"));
    }
    let endless = job::question(&vec!["a".repeat(63); 1000].join("."));
    let _ = stream.write_all(&framed(&endless));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    assert!(job.look_up("echo.test").is_ok(), "and the resolver lives");
}

#[test]
fn the_hosts_proxy_is_used_with_its_password() {
    let port = server(echo);
    let proxy = server(move |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let target = if head.starts_with("CONNECT good.test:443 ") { port } else { 0 };
        let authorized = head.contains("\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n");
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", target))
            .and_then(|s| authorized.then_some(s).ok_or(ErrorKind::Other.into()))
        else {
            return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n").unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut from, &mut to).map(|_| to.shutdown(Shutdown::Write)));
        let _ = io::copy(&mut server, &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    });
    let variable = ("HTTPS_PROXY".to_owned(), format!("http://me:p%40ss@proxy.host:{proxy}"));
    let mut outside = Outside::with_names(&[("proxy.host", "127.0.0.1"), ("private.test", "10.0.0.1")]);
    outside.proxies = Proxies::from_env([variable]).unwrap();
    let job = Job::start(enforce(&["good.test".into(), "bad.test".into(), "private.test".into()]), outside);
    let mut stream = job.connect("good.test", 443);
    stream.write_all(b"through").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "through");
    assert_eq!(job.event(), ("good.test".into(), None, Allowed));
    assert_eq!(job.event(), ("good.test".into(), Some(443), Allowed));
    assert!(is_reset(job.connect("bad.test", 443)), "the proxy refuses it");
    assert_eq!(job.event(), ("bad.test".into(), None, Allowed));
    assert_eq!(job.event(), ("bad.test".into(), Some(443), Unreachable));
    assert_eq!(job.look_up("private.test"), Err(NO_SUCH_NAME), "a proxy is no way to a private address");
}

#[test]
fn ordinary_tools_work_and_fail_clearly() {
    let (job, port) = job_with(|mut stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes");
    });
    let output = job.run("getent ahosts echo.test");
    assert!(output.starts_with("198.18.1.1 ") && output.ends_with("exit 0\n"), "{output}");
    assert!(job.run("getent ahosts other.test").ends_with("exit 2\n"), "not found, and not: try again");
    let output = job.run(&format!("openssl s_client -connect echo.test:{port} -servername other.test"));
    assert!(output.contains("alert access denied"), "{output}");
    let fetch = |name: &str| {
        format!("python3 -c 'import urllib.request as u;print(u.urlopen(\"http://{name}:{port}/\").read())'")
    };
    let output = job.run(&fetch("echo.test"));
    assert!(output.contains("b'yes'"), "{output}");
    let output = job.run(&fetch("other.test"));
    assert!(output.contains("Name or service not known"), "{output}");
}
