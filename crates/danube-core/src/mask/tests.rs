//! Stories about masking, and properties over random secrets, texts and cuts.

use super::*;

/// A small generator (splitmix64), so that a printed seed tells a run again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let fresh = std::collections::hash_map::RandomState::new();
        let fresh = std::hash::BuildHasher::hash_one(&fresh, 0);
        let seed = std::env::var("DANUBE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fresh);
        println!("DANUBE_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Plain words, passwords with every special character, keys of several lines, repetitions, bytes.
    fn secret(&mut self) -> Vec<u8> {
        let alphabets: [&[u8]; 5] =
            [b"abcXYZ019", b"ab'\"\\$`!&<>/%+ =?#~;\t", b"aaab", b"k\xc3\xa9y0", b"key+/==line\n"];
        let alphabet = *self.pick(&alphabets);
        let length = 24 + self.below(60);
        let mut bytes: Vec<u8> = (0..length).map(|_| *self.pick(alphabet)).collect();
        if self.below(5) == 0 {
            bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
        }
        bytes
    }

    /// Forms, their beginnings, their ends, and noise of the same letters.
    fn text(&mut self, forms: &[Vec<u8>]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(40) {
            let form = self.pick(forms).clone();
            let cut = self.below(form.len() + 1);
            match self.below(4) {
                0 => text.extend_from_slice(&form),
                1 => text.extend_from_slice(&form[..cut]),
                2 => text.extend_from_slice(&form[cut..]),
                _ => (0..cut).for_each(|_| text.push(*self.pick(b"a \n=0"))),
            }
        }
        text
    }
}

fn secrets(values: &[&[u8]]) -> Vec<SecretValue> {
    values.iter().enumerate().map(|(n, value)| SecretValue::new(format!("S{n}"), *value)).collect()
}

fn set(values: &[&[u8]]) -> MaskSet {
    MaskSet::new(&secrets(values)).unwrap()
}

fn sorted_forms(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut forms: Vec<_> = values.iter().flat_map(|value| forms::of(value)).collect();
    forms.sort();
    forms.dedup();
    forms
}

/// What masking means, in its plainest words: at each byte, the longest form that begins here.
fn plainly(text: &[u8], forms: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let longest = forms.iter().filter(|form| text[at..].starts_with(form)).map(Vec::len).max();
        match longest {
            Some(_) => out.extend_from_slice(REPLACEMENT),
            None => out.push(text[at]),
        }
        at += longest.unwrap_or(1);
    }
    out
}

fn contains(text: &[u8], form: &[u8]) -> bool {
    text.windows(form.len()).any(|window| window == form)
}

#[test]
fn a_secret_cut_in_two_is_hidden() {
    let mut masker = set(&[b"hunter2-hunter2"]).masker();
    let mut out = Vec::new();
    masker.push(b"password: hunter2-", &mut out);
    assert_eq!((out.as_slice(), masker.pending()), (&b"password: "[..], 8));
    masker.push(b"hunter2.\n", &mut out);
    assert_eq!((out.as_slice(), masker.pending()), (&b"password: ***.\n"[..], 0));
}

#[test]
fn the_beginning_of_a_secret_comes_out_when_the_stream_ends() {
    let mut masker = set(&[b"hunter2-hunter2"]).masker();
    let mut out = Vec::new();
    masker.push(b"hunter2", &mut out);
    masker.finish(&mut out);
    assert_eq!((out.as_slice(), masker.pending()), (&b"hunter2"[..], 0));
}

#[test]
fn every_encoding_of_a_secret_is_hidden() {
    let secret = "pa'ss\"w\\ord/é&<1>";
    let set = set(&[secret.as_bytes()]);
    for shown in [
        secret,
        "cGEnc3Mid1xvcmQvw6kmPDE+",              // base64
        "cGEnc3Mid1xvcmQvw6kmPDE-",              // base64, URL-safe
        "pa%27ss%22w%5Cord%2F%C3%A9%26%3C1%3E",  // percent, strict
        "pa'ss%22w%5Cord%2F%C3%A9%26%3C1%3E",    // encodeURIComponent
        "pa%27ss%22w%5cord/%c3%a9%26%3c1%3e",    // lower case, slash kept
        r#"pa'ss\"w\\ord/é&<1>"#,                // JSON
        r#"pa'ss\"w\\ord\/é&<1>"#,               // PHP's JSON
        r#"pa'ss\"w\\ord/é\u0026\u003c1\u003e"#, // Go's JSON
        r#"pa'ss\"w\\ord/\u00e9&<1>"#,           // Python's JSON
        r#"pa'\''ss"w\ord/é&<1>"#,               // set -x
        r#"pa'"'"'ss"w\ord/é&<1>"#,              // shlex.quote
        r#"pa'ss\"w\\ord/é&<1>"#,                // in double quotes
        "706127737322775c6f72642fc3a9263c313e",  // hex
        "706127737322775C6F72642FC3A9263C313E",  // HEX
    ] {
        assert_eq!(set.mask_text(&format!("<{shown}>")), "<***>", "{shown}");
    }
}

#[test]
fn a_secret_inside_a_longer_base64_text_is_hidden_at_every_alignment() {
    // "user:correct-horse", "xuser:correct-horse~", "yxuser:…": the secret begins at bytes 5, 6, 7.
    let set = set(&[b"correct-horse"]);
    for (shown, left) in [
        ("dXNlcjpjb3JyZWN0LWhvcnNl", "dXNlcjp***"),
        ("eHVzZXI6Y29ycmVjdC1ob3JzZX4=", "eHVzZXI6***X4="),
        ("eXh1c2VyOmNvcnJlY3QtaG9yc2UK", "eXh1c2VyOm***UK"),
    ] {
        assert_eq!(set.mask_text(shown), left);
    }
}

#[test]
fn a_long_secret_is_hidden_in_the_lines_that_base64_breaks() {
    let secret: Vec<u8> = (0..200).map(|n| b'a' + n % 23).collect();
    for columns in [76, 64] {
        let whole = forms::of(&secret).into_iter().find(|form| form.get(columns) == Some(&b'\n')).unwrap();
        let shown = String::from_utf8(whole).unwrap();
        assert_eq!(set(&[&secret]).mask_text(&shown), "***");
        let with_returns = shown.replace('\n', "\r\n");
        assert!(set(&[&secret]).mask_text(&with_returns).lines().all(|line| line == "***"), "{with_returns}");
    }
}

#[test]
fn each_line_of_a_key_is_hidden() {
    let key = b"-----BEGIN KEY-----\n  MIIEvQIBADANBg\nshort\nkqhkiG9w0BAQEF\n";
    let set = set(&[key]);
    assert_eq!(set.mask_text("1 MIIEvQIBADANBg 2 kqhkiG9w0BAQEF 3 short"), "1 *** 2 *** 3 short");
    assert_eq!(set.mask_text(std::str::from_utf8(key).unwrap()), "***");
    assert_eq!(set.mask_text("-----BEGIN KEY-----\r\n  MIIEvQIBADANBg\r\nshort\r\nkqhkiG9w0BAQEF\r\n!"), "***!");
}

#[test]
fn a_line_end_that_echo_left_on_a_secret_does_not_matter() {
    assert_eq!(set(&[b"hunter2-hunter2\n"]).mask_text("[hunter2-hunter2] aHVudGVyMi1odW50ZXIy"), "[***] ***");
}

#[test]
fn a_secret_that_cannot_be_hidden_is_refused_by_name() {
    let refused = |value: &[u8]| MaskSet::new(&[SecretValue::new("PIN", value)]).unwrap_err();
    assert_eq!(refused(b"1234567"), MaskError::TooShort { name: "PIN".into() });
    assert_eq!(refused(b"1234567\n"), MaskError::TooShort { name: "PIN".into() });
    assert_eq!(refused(&vec![b'x'; LONGEST + 1]), MaskError::TooLong { name: "PIN".into() });
    assert!(refused(b"1234567").to_string().contains("`PIN`"));
    assert!(!format!("{:?}", SecretValue::new("PIN", b"12345678".as_slice())).contains("1234"));
}

#[test]
fn without_secrets_everything_goes_through_at_once() {
    let mut masker = MaskSet::default().masker();
    let mut out = Vec::new();
    masker.push(b"any\0thing\xff", &mut out);
    assert_eq!((out.as_slice(), masker.pending(), masker.is_transparent()), (&b"any\0thing\xff"[..], 0, true));
}

#[test]
fn a_secret_learnt_later_is_hidden_from_there_on() {
    let mut masker = set(&[b"first-secret"]).masker();
    let mut out = Vec::new();
    masker.push(b"second-secret first-", &mut out);
    masker.adopt(&set(&[b"first-secret", b"second-secret"]));
    masker.push(b"secret second-secret", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, b"second-secret *** ***");
}

#[test]
fn a_secret_of_64_kib_is_hidden() {
    let mut dice = Dice::new();
    let secret: Vec<u8> = (0..LONGEST).map(|_| b'!' + dice.below(90) as u8).collect();
    let mut masker = set(&[&secret]).masker();
    let mut out = Vec::new();
    secret.chunks(1000).for_each(|chunk| masker.push(chunk, &mut out));
    masker.finish(&mut out);
    assert_eq!(out, REPLACEMENT);
}

#[test]
fn output_full_of_beginnings_is_masked_alike() {
    let text = ["hunter2-hunterX".repeat(2000), "hunter2-hunter2 hunter2-".into()].concat();
    let left = ["hunter2-hunterX".repeat(2000), "*** hunter2-".into()].concat();
    let set = set(&[b"hunter2-hunter2"]);
    let search = set.search.as_ref().unwrap();
    assert!(search.tries(text.as_bytes()) < 2000, "else this does not reach the slower search");
    assert!(set.mask_text(&text) == left);
}

/// For any secrets, any text and any cuts: no form is left, and the cuts do not show.
#[test]
fn however_a_text_is_cut_it_is_masked_alike() {
    let mut dice = Dice::new();
    for _ in 0..60 {
        let values: Vec<_> = (0..=dice.below(3)).map(|_| dice.secret()).collect();
        let Ok(set) = MaskSet::new(&secrets(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())) else { continue };
        let forms = sorted_forms(&values);
        let text = dice.text(&forms);
        let whole = plainly(&text, &forms);
        assert!(forms.iter().all(|form| !contains(&whole, form)));
        let (mut masker, mut out, mut rest) = (set.masker(), Vec::new(), text.as_slice());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(dice.below(rest.len().min(50)) + 1);
            masker.push(chunk, &mut out);
            rest = after;
        }
        masker.finish(&mut out);
        assert_eq!(out, whole, "of {text:?}");
    }
}

/// A masker that starts afresh where nothing was held back any more goes on as if it had never stopped.
#[test]
fn a_masker_restarted_at_consumed_less_pending_goes_on() {
    let mut dice = Dice::new();
    for _ in 0..60 {
        let values = [dice.secret(), dice.secret()];
        let Ok(set) = MaskSet::new(&secrets(&[&values[0], &values[1]])) else { continue };
        let forms = sorted_forms(&values);
        let text = dice.text(&forms);
        let (mut masker, mut out, mut at) = (set.masker(), Vec::new(), 0);
        while at < text.len() {
            let end = at + dice.below((text.len() - at).min(50)) + 1;
            masker.push(&text[at..end], &mut out);
            at = end;
            if dice.below(3) == 0 {
                at -= masker.pending();
                masker = set.masker();
                // The same bytes would be held for ever if each restart came before the next byte.
                let end = text.len().min(at + 200);
                masker.push(&text[at..end], &mut out);
                at = end;
            }
        }
        masker.finish(&mut out);
        assert_eq!(out, plainly(&text, &forms), "of {text:?}");
    }
}

/// Not a test: how fast. `cargo test --release -p danube-core -- --ignored --nocapture how_fast`
#[test]
#[ignore = "a measurement"]
fn how_fast_ten_secrets_are_masked() {
    let mut dice = Dice::new();
    let values: Vec<Vec<u8>> = (0..10)
        .map(|_| (0..40).map(|_| *dice.pick(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789")).collect())
        .collect();
    let set = set(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let line =
        "   Compiling some-crate v1.2.3 (/workspace/crates/some) 2024-01-06T12:00:00Z [info] request=abc123 ok\n";
    let noise: Vec<u8> = (0..65536).map(|_| b' ' + dice.below(90) as u8).collect();
    for (name, text) in [("log", line.repeat(700).into_bytes()), ("noise", noise)] {
        let (mut masker, mut out) = (set.masker(), Vec::new());
        let (start, rounds) = (std::time::Instant::now(), 4000);
        for _ in 0..rounds {
            out.clear();
            masker.push(&text, &mut out);
        }
        let speed = (rounds * text.len()) as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{name}: {speed:.0} MB/s, {set:?}");
    }
}
