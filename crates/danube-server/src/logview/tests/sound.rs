//! Whatever a job prints, only what is allowed comes out. The rules are read here by another parser than a browser's,
//! which is stricter: what it does not know fails.

use danube_testutils::{Random, seed};

use super::*;

/// Fails unless the HTML has only allowed elements, classes and addresses, and exactly this text.
pub(super) fn check(html: &str, text: &str) {
    let (mut rest, mut found, mut open) = (html, String::new(), Vec::new());
    while let Some(next) = rest.find(['<', '&']) {
        found.push_str(&rest[..next]);
        rest = &rest[next..];
        if rest.starts_with('&') {
            let end = rest.find(';').expect("an entity ends");
            found.push(entity(&rest[..=end]));
            rest = &rest[end + 1..];
            continue;
        }
        let end = rest.find('>').expect("a tag ends");
        match rest[1..end].strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name.to_owned()), "tags nest: {html}"),
            None => open.push(check_tag(&rest[1..end])),
        }
        rest = &rest[end + 1..];
    }
    found.push_str(rest);
    assert!(open.is_empty(), "{open:?} is left open: {html}");
    assert_eq!(found, text, "the text is what is seen: {html}");
    assert!(!found.chars().any(|c| c.is_control() && c != '\t'), "{found:?}");
}

fn entity(entity: &str) -> char {
    match entity {
        "&amp;" => '&',
        "&lt;" => '<',
        "&gt;" => '>',
        "&quot;" => '"',
        "&#39;" => '\'',
        other => panic!("{other}"),
    }
}

/// Fails unless a tag is allowed; its name.
fn check_tag(tag: &str) -> String {
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut parts = attributes.split('"');
    let mut found = Vec::new();
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        found.push((key.trim().trim_end_matches('='), value));
    }
    let keys: Vec<_> = found.iter().map(|(key, _)| *key).collect();
    match (name, keys.as_slice()) {
        ("mark", []) | ("span" | "i", ["class"]) => {}
        ("i", ["class", "title"]) => assert_eq!(found[1].1, "a secret was hidden here"),
        ("a", ["href", "rel"] | ["href", "data-h", "rel"]) => {}
        other => panic!("{other:?} is not allowed: <{tag}>"),
    }
    for (key, value) in found {
        match key {
            "class" => assert!(value.split(' ').all(is_class), "{value}"),
            "href" => assert!(["http://", "https://"].iter().any(|s| value.to_lowercase().starts_with(s)), "{value}"),
            "rel" => assert_eq!(value, "noopener noreferrer nofollow"),
            "data-h" => assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[:]".contains(&b)), "{value}"),
            _ => {}
        }
    }
    name.to_owned()
}

fn is_class(class: &str) -> bool {
    let number = |text: &str| text.parse::<u8>().is_ok_and(|number| number.to_string() == text);
    matches!(class, "u" | "m" | "s1" | "s2" | "s3" | "s4" | "s7" | "s9")
        || class.strip_prefix(['f', 'b']).is_some_and(number)
}

/// Pieces that are worth to be put together in any order.
const PIECES: &[&[u8]] = &[
    b"\x1b",
    b"\x1b[",
    b"\x1b[31m",
    b"\x1b[1;48;5;200;7m",
    b"\x1b[0m",
    b"\x1b[K",
    b"\x1b[1K",
    b"\x1b[2K",
    b"\x1b[5D",
    b"\x1b[3C",
    b"\x1b[99999999999999999999C",
    b"\x1b[G",
    b"\x1b[7G",
    b"\x1b[2J",
    b"\x1b[A",
    b"\x1b]8;;https://evil.example/?a=1&b=\"'\x07",
    b"\x1b]8;;javascript:alert(1)\x07",
    b"\x1b]8;;\x07",
    b"\x1b]0;title\x07",
    b"\x1bP",
    b"\x1b\\",
    b"\r",
    b"\x08",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xe2\x82",
    b"\xac",
    "€的🦀👩\u{200d}💻e\u{301}".as_bytes(),
    "\u{202e}\u{200b}\u{feff}".as_bytes(),
    b"<script>alert(1)</script>",
    b"\" onmouseover=\"x",
    b"&amp;&lt;",
    b"https://a.example/(b)?c=d&e='f'",
    b"http://a@b/",
    b"***",
    b" word ",
];

fn line(random: &mut Random) -> Vec<u8> {
    let mut line = Vec::new();
    for _ in 0..random.below(30) {
        match random.below(4) {
            0 => line.extend((0..random.below(8)).map(|_| random.below(256) as u8).filter(|byte| *byte != b'\n')),
            _ => line.extend_from_slice(PIECES[random.below(PIECES.len())]),
        }
    }
    line
}

#[test]
fn any_bytes_become_sound_html() {
    let mut random = Random(seed());
    for _ in 0..20_000 {
        let line = line(&mut random);
        let shown = Shown::new(Output { text: &line, ..Output::default() });
        let mut marks = Marks::default();
        let mut at = 0;
        while let Some((start, _)) = shown.text[at..].char_indices().nth(random.below(9)) {
            let start = at + start;
            let len = shown.text[start..].chars().take(1 + random.below(3)).map(char::len_utf8).sum::<usize>();
            let ranges = if random.below(2) == 0 { &mut marks.hits } else { &mut marks.masked };
            ranges.push(start..start + len);
            at = start + len;
        }
        let mut out = String::new();
        write(&shown, &marks, &mut out);
        check(&out, &shown.text);
    }
}

#[test]
fn a_line_is_the_same_however_it_is_cut() {
    let mut random = Random(seed());
    for _ in 0..5_000 {
        let line = line(&mut random);
        let (mut canvas, mut parser) = (canvas::Canvas::new(Style::default()), danube_core::ansi::Parser::default());
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len().min(9)));
            canvas.write(&mut parser, piece);
            rest = after;
        }
        canvas.finish(&mut parser);
        let cut = Shown::from_canvas(canvas);
        assert_eq!(html_of(&cut), html(&line), "{}", line.escape_ascii());
    }
}

#[test]
fn the_check_can_fail() {
    for (bad, text) in [
        ("<script>x</script>", "x"),
        ("<span style=\"x\">x</span>", "x"),
        ("<span class=\"f256\">x</span>", "x"),
        ("<a href=\"javascript:x\" rel=\"noopener noreferrer nofollow\">x</a>", "x"),
        ("<i class=\"u\">x", "x"),
        ("<i class=\"u\">x</span>", "x"),
        ("x", "y"),
        ("&nbsp;", "\u{a0}"),
        ("\0", "\0"),
    ] {
        assert!(std::panic::catch_unwind(|| check(bad, text)).is_err(), "{bad}");
    }
}
