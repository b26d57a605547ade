//! Stories about readers.

use super::*;

#[tokio::test]
async fn any_line_of_a_million_is_found() {
    let (mut dice, house) = (Dice::new(), House::new().await);
    let text: Vec<u8> = (0..1_000_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut log = house.begin(1, &MaskSet::default()).await;
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(1 + dice.below(2000)));
        log.append(1, 1_000_000 - after.len() as u64 / 64, chunk).unwrap();
        rest = after;
    }
    let reader = || house.logs.reader(&key(1)).unwrap();
    assert_eq!(reader().line_count().unwrap(), 1_000_000);
    for number in (0..200).map(|_| dice.below(1_000_000) as u64).chain([0, 999_999]) {
        let lines = reader().lines(number, 3).unwrap();
        assert_eq!(lines.len() as u64, 3.min(1_000_000 - number));
        for (line, number) in lines.iter().zip(number..) {
            assert_eq!((line.number, line.text.as_slice()), (number, format!("line {number}").as_bytes()));
        }
    }
    assert_eq!(reader().lines(1_000_000, 1).unwrap(), []);
    assert_eq!(reader().last_lines(2).unwrap()[0].text, b"line 999998");
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_read_in_blocks() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    for _ in 0..160 {
        log.append(1, 1, &[b'x'; 65536]).unwrap();
    }
    log.append(1, 2, b"\nshort").unwrap();
    log.seal().await.unwrap();
    let reader = || house.logs.reader(&key(1)).unwrap();
    let lines = reader().lines(0, 2).unwrap();
    assert_eq!((lines[0].text.len(), lines[0].cut), (LINE_BYTES, true));
    assert_eq!((lines[1].text.as_slice(), lines[1].cut), (&b"short"[..], false));
    assert_eq!(reader().last_lines(1).unwrap()[0].number, 1);
    let mut text = TextLog::new(&house.logs, [TextStep { key: key(1), name: "x".into() }]);
    let (mut block, mut total) = (Vec::new(), 0);
    while text.next_block(&mut block).unwrap() {
        assert!(block.len() < 200_000);
        total += block.len();
        block.clear();
    }
    let prefix = "[1970-01-01T00:00:00Z] [1 x] [stdout] ".len();
    assert_eq!(total, 160 * 65536 + 1 + "short\n".len() + 2 * prefix);
}

#[tokio::test]
async fn any_bytes_are_kept_exactly() {
    let house = House::new().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut log = house.begin(1, &masks()).await;
    bytes.chunks(777).for_each(|chunk| log.append(1, 1, chunk).unwrap());
    log.check_end(100_000, &Sha256::digest(&bytes)).unwrap();
    log.seal().await.unwrap();
    assert_eq!(house.raw(1), bytes);
    let mut read = Vec::new();
    let mut download = reader::LogReaderBytes::from(house.logs.reader(&key(1)).unwrap());
    std::io::Read::read_to_end(&mut download, &mut read).unwrap();
    assert_eq!(read, bytes);
}

#[tokio::test]
async fn a_job_is_one_text() {
    let house = House::new().await;
    let mut first = house.begin(1, &masks()).await;
    first.append(1, 1_704_542_400_123, b"hello\nunfinished").unwrap();
    let mut second = house.begin(2, &masks()).await;
    second.append(2, u64::MAX, b"odd \xff\0 bytes\n\n").unwrap();
    second.mark_gap(1_704_542_401_000, None).unwrap();
    let steps = [(1, "build"), (2, "te]st\n[forged]")].map(|(n, name)| TextStep { key: key(n), name: name.into() });
    first.seal().await.unwrap();
    let (mut text, mut out) = (TextLog::new(&house.logs, steps), Vec::new());
    while text.next_block(&mut out).unwrap() {}
    let expected: &[&[u8]] = &[
        b"[2024-01-06T12:00:00Z] [1 build] [stdout] hello\n",
        b"[2024-01-06T12:00:00Z] [1 build] [stdout] unfinished\n",
        b"[9999-12-30T22:00:00Z] [2 te st [forged ] [stderr] odd \xff\0 bytes\n",
        b"[9999-12-30T22:00:00Z] [2 te st [forged ] [stderr] \n",
        b"[2024-01-06T12:00:01Z] [2 te st [forged ] [danube] [danube] an unknown number of bytes of output were not received\n",
    ];
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected.concat()));
}

#[tokio::test]
async fn an_empty_log_has_no_lines() {
    let house = House::new().await;
    let _log = house.begin(1, &masks()).await;
    let reader = || house.logs.reader(&key(1)).unwrap();
    assert!(reader().is_empty());
    assert_eq!((reader().line_count().unwrap(), reader().lines(0, 9).unwrap()), (0, Vec::new()));
    assert_eq!(reader().last_lines(5).unwrap(), []);
}
