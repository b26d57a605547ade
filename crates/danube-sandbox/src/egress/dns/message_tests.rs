use super::*;
use proptest::prelude::*;

/// A question as a resolver library writes it.
pub(super) fn ask(name: &[&[u8]], kind: u16, edns: Option<u8>) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name {
        message.push(label.len() as u8);
        message.extend_from_slice(label);
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if let Some(version) = edns {
        message.extend_from_slice(&[0, 0, 41, 16, 0, 0, version, 0, 0, 0, 0]);
    }
    message
}

fn query(message: &[u8]) -> Query<'_> {
    match read(message) {
        Incoming::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

fn refused(message: &[u8]) -> u8 {
    match read(message) {
        Incoming::Refused(reply) => reply[3] & 0xf,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_reply_repeats_the_question_in_its_own_letters() {
    let message = ask(&[b"PiP", b"eXample"], 1, None);
    let query = query(&message);
    assert_eq!((query.name.as_str(), query.kind), ("pip.example", Kind::A));
    let reply = query.reply(Answer::Address(Ipv4Addr::new(198, 18, 1, 1)));
    let question = &message[12..];
    assert_eq!(reply[..12], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(&reply[12..12 + question.len()], question);
    assert_eq!(reply[12 + question.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 18, 1, 1]);
}

#[test]
fn a_refusal_says_why_to_who_can_read_it() {
    let message = ask(&[b"evil", b"example"], 1, Some(0));
    let reply = query(&message).reply(Answer::Blocked("not in the egress list"));
    assert_eq!(reply[3] & 0xf, 3, "NXDOMAIN");
    assert_eq!(reply[11], 1, "one additional record");
    assert!(reply.ends_with(b"\0\x0fnot in the egress list"));
    let plain = ask(&[b"evil", b"example"], 1, None);
    assert_eq!(query(&plain).reply(Answer::Blocked("x")).len(), plain.len());
}

#[test]
fn what_is_not_one_plain_question_is_refused() {
    let good = ask(&[b"a", b"example"], 1, None);
    let with = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    assert_eq!(refused(&with(2, 0x28)), 4, "another operation");
    assert_eq!(refused(&with(5, 0)), 1, "no question");
    assert_eq!(refused(&with(5, 2)), 1, "two questions");
    assert_eq!(refused(&with(11, 1)), 1, "a record that is not there");
    assert_eq!(refused(&with(10, 255)), 1, "65280 records that are not there");
    assert_eq!(refused(&with(12, 0xc0)), 1, "a pointer to itself");
    assert_eq!(refused(&with(12, 64)), 1, "a reserved kind of label");
    assert_eq!(refused(&with(12, 63)), 1, "a label beyond the end");
    assert_eq!(refused(&with(good.len() - 1, 3)), 4, "the CHAOS class");
    assert_eq!(refused(&good[..good.len() - 1]), 1, "cut short");
    assert_eq!(refused(&ask(&[b"a"], 1, Some(1))), 0, "EDNS 1 is answered BADVERS, whose low bits are 0");
    for ignored in [&good[..11], &[], &with(2, 0x81)] {
        assert!(matches!(read(ignored), Incoming::Ignored));
    }
}

#[test]
fn a_name_of_64_kilobytes_is_refused() {
    let label = [b'a'; 63];
    let message = ask(&vec![label.as_slice(); 1024], 1, None);
    assert!(message.len() > 65_000);
    assert_eq!(refused(&message), 1);
    assert_eq!(query(&ask(&[&label, &label, &label, &label[..61]], 1, None)).name.len(), 253);
    assert_eq!(refused(&ask(&[&label, &label, &label, &label[..62]], 1, None)), 1);
}

#[test]
fn bytes_that_no_host_name_has_cannot_pass_for_dots() {
    let message = ask(&[b"pip.example", b"evil\0"], 1, None);
    assert_eq!(query(&message).name, "pip\\046example.evil\\000");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
    }

    #[test]
    fn no_damage_to_a_good_question_makes_the_reader_panic(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in 0usize..80,
    ) {
        let mut message = ask(&[b"some", b"name", b"example"], 28, Some(0));
        at.iter().for_each(|(at, byte)| { let at = at.index(message.len()); message[at] = *byte; });
        message.truncate(message.len().saturating_sub(cut));
        check(&message);
    }
}

fn check(bytes: &[u8]) {
    match read(bytes) {
        Incoming::Ignored => {}
        Incoming::Refused(reply) => assert!(reply.len() <= 23 && reply[2] & 0x80 != 0),
        Incoming::Query(query) => {
            assert!(query.name.len() <= 4 * 255);
            let answers = [Answer::Failed, Answer::Nothing, Answer::Blocked("not in the egress list of this job")];
            for answer in answers.into_iter().chain([Answer::Address(Ipv4Addr::LOCALHOST)]) {
                assert!(query.reply(answer).len() <= 512);
            }
        }
    }
}
