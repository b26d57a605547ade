use super::*;
use proptest::prelude::*;

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    [&[0, 0][..], &counted(&counted(&[&[0][..], &counted(name)].concat()))].concat()
}

/// A hello with these extensions, in records of at most `record` bytes.
fn hello(extensions: Option<&[u8]>, record: usize) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
    if let Some(extensions) = extensions {
        body.extend_from_slice(&counted(extensions));
    }
    let message = [&[1, 0][..], &counted(&body)].concat();
    message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &counted(part)].concat()).collect()
}

fn named(name: &str) -> Seen {
    Seen::Hello(Some(name.to_owned()))
}

#[test]
fn the_server_name_is_read_however_the_hello_is_cut() {
    let extensions = [&[0, 43, 0, 3, 2, 3, 4][..], &name_extension(b"pip.example"), &[0, 16, 0, 0]].concat();
    for record in [1, 2, 3, 4, 5, 40, 16_000] {
        let bytes = hello(Some(&extensions), record);
        assert_eq!(see(&bytes), named("pip.example"), "records of {record}");
        for cut in 1..bytes.len() {
            let Seen::More(more) = see(&bytes[..cut]) else { panic!("cut at {cut} of records of {record}") };
            assert!((1..=bytes.len() - cut).contains(&more), "cut at {cut}: {more} more");
        }
    }
    let with_early_data = [hello(Some(&extensions), 16_000), vec![23, 3, 3, 0, 1, 0]].concat();
    assert_eq!(see(&with_early_data), named("pip.example"));
}

#[test]
fn a_hello_need_not_name_a_server() {
    assert_eq!(see(&hello(None, 16_000)), Seen::Hello(None));
    assert_eq!(see(&hello(Some(&[0, 43, 0, 3, 2, 3, 4]), 16_000)), Seen::Hello(None));
}

#[test]
fn other_protocols_are_not_tls() {
    for first in
        [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"0032git", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\x16\x02", b"\x80"]
    {
        assert_eq!(see(first), Seen::NotTls, "{first:?}");
    }
    assert_eq!(see(b"\x16"), Seen::More(2));
}

#[test]
fn what_two_readers_could_understand_differently_is_malformed() {
    let (a, b) = (name_extension(b"a.example"), name_extension(b"b.example"));
    let two_in_one =
        [&[0, 0][..], &counted(&counted(&[&[0][..], &counted(b"a"), &[0], &counted(b"b")].concat()))].concat();
    let plain = hello(Some(&a), 16_000);
    let mut trailing = plain.clone();
    trailing[4] += 1;
    trailing[8] += 1;
    trailing.push(0);
    for (what, bytes) in [
        ("two extensions", hello(Some(&[a.clone(), b].concat()), 16_000)),
        ("two names", hello(Some(&two_in_one), 16_000)),
        ("another kind of name", hello(Some(&[0, 0, 0, 4, 0, 2, 1, 0]), 16_000)),
        ("an extension beyond the end", hello(Some(&[0, 0, 0, 9]), 16_000)),
        ("bytes after the extensions", trailing),
        ("an alert first", [&[21, 3, 1, 0, 2, 1, 90][..], &plain].concat()),
        ("a change of ciphers first", [&[20, 3, 1, 0, 1, 1][..], &plain].concat()),
        ("an alert within", [&hello(Some(&a), 10)[..15], &[21, 3, 1, 0, 2, 1, 90]].concat()),
        ("an empty record", [&[22, 3, 1, 0, 0][..], &plain].concat()),
        ("a record too long", vec![22, 3, 1, 0x40, 1]),
        ("another message", vec![22, 3, 1, 0, 4, 2, 0, 0, 0]),
        ("a message too long", vec![22, 3, 1, 0, 4, 1, 0xff, 0, 0]),
    ] {
        assert_eq!(see(&bytes), Seen::Malformed, "{what}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        see(&bytes);
        see(&[&[22, 3, 1][..], &counted(&bytes)].concat());
        server_name(&bytes);
    }

    #[test]
    fn no_damage_to_a_hello_makes_another_name_of_it(at in any::<prop::sample::Index>(), byte: u8, record in 1usize..200) {
        let mut bytes = hello(Some(&name_extension(b"a.example")), record);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Seen::Hello(Some(name)) = see(&bytes) {
            prop_assert!(name.len() <= 9);
        }
    }
}
