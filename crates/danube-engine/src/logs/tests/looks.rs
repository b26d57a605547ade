//! What the index notes of output beside its places: how it looks, what was hidden, what looks like a failure.

use danube_core::ansi::{Style, Tracker};

use super::*;

/// Output in which colours change often, over lines and chunks.
fn colourful(dice: &mut Dice) -> Vec<u8> {
    let pieces: &[&[u8]] = &[
        b"\x1b[31m",
        b"\x1b[1;44m",
        b"\x1b[0m",
        b"\x1b]0;title\x07",
        b"\x1b[",
        b"word ",
        b"error: x",
        b"FAIL",
        b"\n",
        b"\n",
    ];
    (0..2000).flat_map(|_| pieces[dice.below(pieces.len())].to_vec()).collect()
}

/// The style at the beginning of each line, as one who reads everything has it.
fn styles(output: &[u8]) -> Vec<Style> {
    let mut tracker = Tracker::default();
    let lines = output.split_inclusive(|byte| *byte == b'\n');
    let style = |line: &[u8]| {
        let style = tracker.style();
        tracker.feed(line);
        style
    };
    lines.map(style).collect()
}

#[tokio::test]
async fn a_line_looks_the_same_wherever_reading_begins() {
    let (mut dice, house) = (Dice::new(), House::new().await);
    let output = colourful(&mut dice);
    let mut log = house.begin(1, &masks()).await;
    let mut rest = output.as_slice();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + dice.below(rest.len().min(40)));
        log.append(1, 1, chunk).unwrap();
        rest = after;
        if dice.below(10) == 0 {
            // A master that dies, and another that goes on: what was not committed comes again.
            if dice.below(2) == 0 {
                log.commit().await.unwrap();
            }
            drop(log);
            log = house.open(1, &masks()).await;
            rest = &output[log.received() as usize..];
        }
    }
    log.seal().await.unwrap();
    let (reader, expected) = (|| house.logs.reader(&key(1)).unwrap(), styles(&output));
    let lines = reader().lines(0, usize::MAX).unwrap();
    assert_eq!(lines.iter().map(|line| line.style).collect::<Vec<_>>(), expected);
    for _ in 0..300 {
        let from = dice.below(expected.len());
        let found = reader().lines(from as u64, 3).unwrap();
        assert_eq!(found, lines[from..lines.len().min(from + 3)], "line {from}");
    }
    let failing = lines.iter().filter(|line| line.failure).map(|line| line.number).collect::<Vec<_>>();
    let words = |line: &Line| line.text.windows(6).any(|six| six == b"error:");
    assert!(lines.iter().filter(|line| words(line)).all(|line| line.failure));
    assert!(failing.len() > 20 && failing.len() < lines.len());
    assert_eq!(reader().failures(usize::MAX).unwrap(), failing);
    assert_eq!(reader().failures(5).unwrap(), failing[..5]);
}

#[tokio::test]
async fn only_what_the_masker_hid_is_noted() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    log.append(1, 1, b"*** of its own\n").unwrap();
    log.append(1, 2, b"then correct-horse").unwrap();
    log.append(1, 3, b"-battery\n").unwrap();
    log.append(1, 4, b"none\n").unwrap();
    log.seal().await.unwrap();
    let lines = house.logs.reader(&key(1)).unwrap().lines(0, 9).unwrap();
    let found: Vec<_> = lines.iter().map(|line| (line.text.as_slice(), line.masked)).collect();
    assert_eq!(found, [(&b"*** of its own"[..], false), (b"then ***", true), (b"none", false)]);
}

#[tokio::test]
async fn an_index_of_before_is_read() {
    let house = House::new().await;
    let mut log = house.begin(1, &MaskSet::default()).await;
    log.append(1, 1, b"\x1b[31mred\nerror: x\n").unwrap();
    log.append(1, 2, b"more\n").unwrap();
    log.seal().await.unwrap();
    let path = house.logs.path(&key(1), "idx");
    let mut idx = std::fs::read(&path).unwrap();
    idx[8] = 1;
    idx[32..].chunks_mut(32).for_each(|record| record[25..].fill(0));
    std::fs::write(&path, &idx).unwrap();
    let reader = || house.logs.reader(&key(1)).unwrap();
    let lines = reader().lines(1, 2).unwrap();
    assert_eq!((lines[0].style.fg(), lines[0].failure, lines[0].masked), (Some(1), true, false));
    assert_eq!(reader().failures(9).unwrap(), [1]);
    idx[8] = 3;
    std::fs::write(&path, &idx).unwrap();
    assert!(house.logs.reader(&key(1)).unwrap_err().to_string().contains("no index of a version"));
}

#[tokio::test]
async fn of_a_line_that_wrote_over_itself_the_last_state_is_kept() {
    let house = House::new().await;
    let mut log = house.begin(1, &MaskSet::default()).await;
    for percent in 0..20_000 {
        log.append(1, 1, format!("\r\x1b[32m{percent} of 20000").as_bytes()).unwrap();
    }
    log.append(1, 1, b"\r\nnext\n").unwrap();
    log.seal().await.unwrap();
    let lines = house.logs.reader(&key(1)).unwrap().lines(0, 2).unwrap();
    let last = lines[0].last.as_ref().unwrap();
    assert_eq!((last.text.escape_ascii().to_string().as_str(), last.style.fg()), ("\\x1b[32m19999 of 20000", Some(2)));
    assert!(lines[0].cut && last.rewrites > 18_000 && last.rewrites < 20_000, "{}", last.rewrites);
    assert_eq!(lines[0].len, house.raw(1).len() as u64 - 6);
    assert_eq!((lines[1].text.as_slice(), lines[1].style.fg()), (&b"next"[..], Some(2)));
}
