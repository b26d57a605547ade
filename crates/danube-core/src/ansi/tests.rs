//! Sequences as programs write them, and as nobody should.

use proptest::prelude::*;

use super::*;

/// Tokens with neighbouring texts joined, as words.
fn tokens<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut parser, mut out) = (Parser::default(), Vec::<(bool, Vec<u8>)>::new());
    let mut take = |token: Token<'_>| match token {
        Token::Text(bytes) => match out.last_mut() {
            Some((true, text)) => text.extend_from_slice(bytes),
            _ => out.push((true, bytes.to_vec())),
        },
        other => out.push((false, format!("{other:?}").into_bytes())),
    };
    for chunk in chunks {
        parser.feed(chunk, &mut take);
    }
    parser.finish(&mut take);
    let words = |(is_text, bytes): (bool, Vec<u8>)| {
        let words = bytes.escape_ascii().to_string();
        if is_text { format!("\"{words}\"") } else { words.replace("\\\"", "\"") }
    };
    out.into_iter().map(words).collect()
}

fn style(sequences: &str) -> Style {
    let mut tracker = Tracker::default();
    tracker.feed(sequences.as_bytes());
    tracker.style()
}

fn codes(params: &str) -> Style {
    style(&format!("\x1b[{params}m"))
}

fn csi(params: &str, end: u8) -> String {
    format!("{:?}", Token::Csi { params: params.as_bytes(), end })
}

#[test]
fn text_and_sequences_are_told_apart() {
    assert_eq!(tokens([&b"a\x1b[31mb\x1b[0mc"[..]]), ["\"a\"", &csi("31", b'm'), "\"b\"", &csi("0", b'm'), "\"c\""]);
    assert_eq!(tokens([&b"\x1b(Ba\x1b=b\x1b7c"[..]]), ["\"abc\""], "what means nothing to a log is dropped");
    assert_eq!(tokens([&b"\x1bPwords\x1b\\a\x1b_w\x07b"[..]]), ["\"ab\""]);
    let osc = |words: &str| format!("{:?}", Token::Osc(words.as_bytes()));
    assert_eq!(tokens([&b"\x1b]0;title\x07a"[..]]), [osc("0;title"), "\"a\"".into()]);
    assert_eq!(tokens([&b"\x1b]8;;http://x\x1b\\a"[..]]), [osc("8;;http://x"), "\"a\"".into()]);
    assert_eq!(tokens([&b"a\x1bcb"[..]]), ["\"a\"", "Reset", "\"b\""]);
}

#[test]
fn what_has_no_end_is_text() {
    assert_eq!(tokens([&b"\x1b]0;hidden\nshown"[..]]), [r#""\x1b]0;hidden\nshown""#]);
    assert_eq!(tokens([&b"\x1bPhidden\x1bMx"[..]]), [r#""\x1bPhiddenx""#], "another sequence may begin there");
    assert_eq!(tokens([&b"\x1b[31"[..]]), [r#""\x1b[31""#]);
    assert_eq!(tokens([&b"\x1b[31\x1b[1mx"[..]]), [r#""\x1b[31""#, &csi("1", b'm'), "\"x\""]);
    assert_eq!(tokens([&b"\x1b\x1b[1mx"[..]]), [r#""\x1b""#, &csi("1", b'm'), "\"x\""]);
    assert_eq!(tokens([&b"\x1b\xe2\x82\xac"[..]]), [r#""\x1b\xe2\x82\xac""#]);
    let long = [&b"\x1b]"[..], &[b'x'; LONGEST], b"\x07"].concat();
    assert_eq!(tokens([&long[..]]).len(), 1, "too long to be a sequence");
}

#[test]
fn each_code_sets_what_it_names() {
    use Attribute::{Bold, Dim, Inverse, Italic, Strike, Underline};
    let attributes = [Bold, Dim, Italic, Underline, Inverse, Strike];
    for (code, off, attribute) in
        [(1, 22, Bold), (2, 22, Dim), (3, 23, Italic), (4, 24, Underline), (7, 27, Inverse), (9, 29, Strike)]
    {
        let set: Vec<_> = attributes.into_iter().filter(|each| codes(&code.to_string()).is(*each)).collect();
        assert_eq!(set, [attribute]);
        assert_eq!(codes(&format!("{code};{off}")), Style::default());
    }
    for code in [5, 6, 8, 10, 21, 25, 28, 50, 53, 58, 99, 108, 999, u32::MAX] {
        assert_eq!(codes(&code.to_string()), Style::default(), "{code} changes nothing");
    }
    for n in 0..8_u8 {
        assert_eq!(codes(&format!("{}", 30 + n)).fg(), Some(n));
        assert_eq!(codes(&format!("{}", 90 + n)).fg(), Some(8 + n));
        assert_eq!(codes(&format!("{}", 40 + n)).bg(), Some(n));
        assert_eq!(codes(&format!("{}", 100 + n)).bg(), Some(8 + n));
    }
    for n in 0..=255_u8 {
        for form in [format!("38;5;{n}"), format!("38:5:{n}"), format!("1;38;5;{n};22"), format!("48;5;1;38;5;{n};49")]
        {
            assert_eq!((codes(&form).fg(), codes(&form).bg()), (Some(n), None), "{form}");
        }
        assert_eq!(codes(&format!("48;5;{n}")).bg(), Some(n));
    }
    assert_eq!(codes("31;41;39").fg(), None);
    assert_eq!(codes("31;41;39").bg(), Some(1));
    assert_eq!(codes("31;1;;").fg(), None, "nothing is 0");
    assert_eq!(codes(""), Style::default());
    assert_eq!(style("\x1b[31m\x1bc"), Style::default());
    assert_eq!(codes("4:3").is(Underline), codes("4").is(Underline));
    assert!(!codes("4;4:0").is(Underline));
}

#[test]
fn a_colour_of_millions_becomes_the_nearest() {
    assert_eq!(codes("38;2;255;0;0").fg(), Some(196));
    assert_eq!(codes("38:2:255:0:0").fg(), Some(196));
    assert_eq!(codes("38:2::255:0:0").fg(), Some(196));
    assert_eq!(codes("48;2;0;0;0").bg(), Some(16));
    assert_eq!(codes("38;2;8;8;8").fg(), Some(232));
    assert_eq!(codes("38;2;250;250;250").fg(), Some(231));
    assert_eq!(codes("38;2;128;128;128").fg(), Some(244));
    for colour in 16..=255 {
        let [red, green, blue] = rgb(colour).unwrap();
        assert_eq!(rgb(nearest(red, green, blue)), rgb(colour));
    }
}

#[test]
fn what_is_not_a_colour_changes_nothing() {
    let red = codes("31");
    for broken in ["38", "38;5", "38;5;256", "38;2;1;2", "38;2;1;2;256", "38:5", "38:2:1", "?31", ">4;2", "1 "] {
        assert_eq!(style(&format!("\x1b[31m\x1b[{broken}m")), red, "{broken}");
    }
}

#[test]
fn a_style_survives_its_bytes() {
    for style in [Style::default(), codes("31"), codes("1;2;3;4;7;9;38;5;255;48;5;0"), codes("40")] {
        assert_eq!(Style::from_bytes(style.to_bytes()), style);
    }
}

/// Bytes in which sequences are frequent.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\x1b".to_vec()),
        Just(b"\x1b[".to_vec()),
        Just(b"\x1b[1;38;5;9m".to_vec()),
        Just(b"\x1b]8;;http://a/".to_vec()),
        Just(b"\x1b\\".to_vec()),
        Just(b"\x07".to_vec()),
        Just(b"\n".to_vec()),
        "[0-9;:mK ]{0,6}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_change_nothing(bytes in output(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(tokens(chunks), tokens([bytes.as_slice()]));
    }

    #[test]
    fn a_tracker_can_begin_anywhere(bytes in output(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        let mut whole = Tracker::default();
        whole.feed(&bytes[..cut]);
        let mut late = Tracker::new(whole.style());
        let from = cut - whole.held();
        whole.feed(&bytes[cut..]);
        late.feed(&bytes[from..]);
        prop_assert_eq!((whole.style(), whole.held()), (late.style(), late.held()));
    }

    #[test]
    fn no_byte_outside_of_a_sequence_is_lost(text in "[^\u{1b}]*") {
        let mut found = Vec::new();
        Parser::default().feed(text.as_bytes(), |token| if let Token::Text(bytes) = token { found.extend_from_slice(bytes) });
        prop_assert_eq!(found, text.into_bytes());
    }
}
