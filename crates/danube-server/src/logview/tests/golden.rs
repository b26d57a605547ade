//! What becomes of each kind of line, written down in `golden.txt`: `>` a line of output with escapes as in a Rust byte
//! string, `<` its HTML. `DANUBE_GOLDEN=write` writes it anew, to be read before it is committed.

use super::*;

const GOLDEN: &str = include_str!("golden.txt");

fn bytes(escaped: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), escaped.bytes());
    while let Some(byte) = rest.next() {
        out.push(match (byte, (byte == b'\\').then(|| rest.next()).flatten()) {
            (_, Some(b't')) => b'\t',
            (_, Some(b'r')) => b'\r',
            (_, Some(b'x')) => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            (_, Some(other)) => other,
            (plain, None) => plain,
        });
    }
    out
}

#[test]
fn every_line_becomes_what_is_written_down() {
    let (mut is, mut cases) = (String::new(), 0);
    for line in GOLDEN.lines().filter(|line| !line.starts_with('<')) {
        is.push_str(line);
        is.push('\n');
        if let Some(input) = line.strip_prefix('>') {
            let input = bytes(&input[1..]);
            sound::check(&html(&input), &text(&input));
            is.push_str(&format!("< {}\n", html(&input)));
            cases += 1;
        }
    }
    if std::env::var_os("DANUBE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/logview/tests/golden.txt"), &is).unwrap();
        return;
    }
    assert!(cases > 250, "{cases}");
    for (is, was) in is.lines().zip(GOLDEN.lines()) {
        assert_eq!(is, was);
    }
}
