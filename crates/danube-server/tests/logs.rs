//! Logs over HTTP: text, exact bytes, lines, search.

mod support;

use danube_testutils::{Random, seed};
use serde_json::json;
use support::House;
use support::client::{Answer, Ask};

async fn get(house: &House, rest: &str) -> Answer {
    Ask::get(&format!("/api/v1/jobs/job-1/{rest}")).answer(house).await
}

#[tokio::test]
async fn the_text_of_a_job_has_all_its_steps() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    for (number, text) in [(0, "plan\n"), (1, "one\ntwo"), (2, "three\n")] {
        let mut log = house.step(&job, number).await;
        house.says(&job, &mut log, text.as_bytes());
        house.end_step(&job, number, log).await;
    }
    // Its row is there, its log not yet.
    house.row_of_step(&job, 1, 3).await;
    let text = get(&house, "log.txt").await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let lines: Vec<_> = text.text().lines().map(|line| line.split_once("Z] ").unwrap().1.to_owned()).collect();
    assert_eq!(
        lines,
        ["[0 step 0] [stdout] plan", "[1 step 1] [stdout] one", "[1 step 1] [stdout] two", "[2 step 2] [stdout] three"]
    );
}

#[tokio::test]
async fn a_long_text_is_whole() {
    let house = House::new().await;
    let output: Vec<u8> = (0..40_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    house.ended("job-1", &output).await;
    let text = get(&house, "log.txt").await.text();
    assert_eq!(text.lines().count(), 40_000);
    assert!(text.lines().last().unwrap().ends_with("[stdout] line 39999"));
}

#[tokio::test]
async fn exact_bytes_come_whole_and_in_parts() {
    let house = House::new().await;
    let mut random = Random(seed());
    let bytes: Vec<u8> = (0..300_000).map(|_| random.below(256) as u8).collect();
    house.ended("job-1", &bytes).await;
    let whole = get(&house, "steps/1/raw").await;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert!(whole.header("content-disposition").unwrap().starts_with("attachment"));
    let etag = whole.header("etag").unwrap().to_owned();
    let ask = |name: &str, value: &str| Ask::get("/api/v1/jobs/job-1/steps/1/raw").header(name, value);
    for _ in 0..30 {
        let (a, b) = (random.below(300_000), random.below(300_000));
        let (from, to) = (a.min(b), a.max(b));
        let part = ask("Range", &format!("bytes={from}-{to}")).answer(&house).await;
        assert_eq!((part.status, part.body == bytes[from..=to]), (206, true), "{from}-{to}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {from}-{to}/300000").as_str()));
    }
    let last = ask("Range", "bytes=-7").answer(&house).await;
    assert_eq!((last.status, last.body == bytes[299_993..]), (206, true));
    let beyond = ask("Range", "bytes=300000-").answer(&house).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */300000")));
    assert_eq!(ask("Range", "bytes=0-1,5-6").answer(&house).await.status, 200);
    assert_eq!(ask("If-None-Match", &etag).answer(&house).await.status, 304);
    assert_eq!(ask("If-None-Match", "\"other\"").answer(&house).await.status, 200);
    assert_eq!(ask("Range", "bytes=0-0").header("If-Range", &etag).answer(&house).await.status, 206);
    assert_eq!(ask("Range", "bytes=0-0").header("If-Range", "\"other\"").answer(&house).await.status, 200);
    let head = Ask::new("HEAD", "/api/v1/jobs/job-1/steps/1/raw").answer(&house).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("300000")));
}

#[tokio::test]
async fn an_empty_log_is_no_error() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    house.row_of_step(&job, 1, 1).await;
    assert_eq!(get(&house, "steps/1/raw").await.status, 404, "it has no log yet");
    assert_eq!(get(&house, "steps/1/lines").await.json(), json!({"lines": [], "total": 0}));
    let _log = house.log_of_step(&job, 1, 1).await;
    let raw = get(&house, "steps/1/raw").await;
    assert_eq!((raw.status, raw.body.len()), (200, 0));
    assert_eq!(get(&house, "log.txt").await.text(), "");
    assert_eq!(get(&house, "search?q=x").await.json(), json!({"matches": [], "truncated": false}));
}

#[tokio::test]
async fn lines_are_given_by_their_numbers() {
    let house = House::new().await;
    let output: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    house.ended("job-1", (output + "end\x1b[0m \u{fffd}").as_bytes()).await;
    let window = get(&house, "steps/1/lines?from=4000&count=3").await.json();
    assert_eq!(window["total"], 5001);
    let expected =
        json!({"number": 4000, "at_ms": 1_700_000_000_123_u64, "stream": "stdout", "text": "line 4000", "cut": false});
    assert_eq!(window["lines"][0], expected);
    assert_eq!(window["lines"].as_array().unwrap().len(), 3);
    let all = get(&house, "steps/1/lines?count=1000").await.json();
    let numbers: Vec<_> =
        all["lines"].as_array().unwrap().iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    assert_eq!(get(&house, "steps/1/lines?from=4999").await.json()["lines"].as_array().unwrap().len(), 2);
    for beyond in ["5001", "18446744073709551615"] {
        assert_eq!(get(&house, &format!("steps/1/lines?from={beyond}")).await.json()["lines"], json!([]));
    }
}

#[tokio::test]
async fn long_lines_do_not_make_a_large_answer() {
    let house = House::new().await;
    let line = [vec![b'\x01'; 50_000], vec![b'\n']].concat();
    house.ended("job-1", &line.repeat(300)).await;
    let answer = get(&house, "steps/1/lines").await;
    assert!(answer.body.len() < 12_000_000, "{}", answer.body.len());
    let lines = answer.json()["lines"].clone();
    let count = lines.as_array().unwrap().len();
    assert!((50..300).contains(&count), "{count}: the rest is asked for next");
    assert!(lines[0]["cut"].as_bool().unwrap());
}

#[tokio::test]
async fn a_text_is_found_in_any_case_each_line_once() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    for (number, text) in [(1, "Error one\nnothing\nan error, ERROR again\n"), (2, "none\nÄRGER\nlast eRRor")] {
        let mut log = house.step(&job, number).await;
        house.says(&job, &mut log, text.as_bytes());
        house.end_step(&job, number, log).await;
    }
    let found = get(&house, "search?q=error").await.json();
    let expected = json!({"matches": [
        {"step": 1, "line": 0, "text": "Error one"},
        {"step": 1, "line": 2, "text": "an error, ERROR again"},
        {"step": 2, "line": 2, "text": "last eRRor"},
    ], "truncated": false});
    assert_eq!(found, expected);
    let some = get(&house, "search?q=error&limit=2").await.json();
    assert_eq!((some["matches"].as_array().unwrap().len(), &some["truncated"]), (2, &json!(true)));
    assert_eq!(get(&house, "search?q=%C3%A4rger").await.json()["matches"][0]["line"], 1);
    assert_eq!(get(&house, "search?q=err%20or").await.json()["matches"], json!([]));
}

#[tokio::test]
async fn a_search_finds_what_a_search_by_lines_finds() {
    let house = House::new().await;
    let mut random = Random(seed());
    // Lines of all lengths, over many blocks; the text often lies across their borders.
    let mut output = Vec::new();
    while output.len() < 700_000 {
        let long = if random.below(40) == 0 { 60_000 } else { 300 };
        output.extend((0..random.below(long)).map(|_| b"abcN "[random.below(5)]));
        output.push(b'\n');
    }
    house.ended("job-1", &output).await;
    for text in ["abcabc", "nnnnn", "a a a", "cab can"] {
        let has = |line: &[u8]| line.to_ascii_lowercase().windows(text.len()).any(|part| part == text.as_bytes());
        let expected: Vec<_> = output
            .split(|byte| *byte == b'\n')
            .enumerate()
            .filter(|(_, line)| has(line))
            .map(|(n, _)| n as u64)
            .take(1000)
            .collect();
        let found = get(&house, &format!("search?q={}&limit=1000", text.replace(' ', "%20"))).await.json();
        let lines: Vec<_> =
            found["matches"].as_array().unwrap().iter().map(|found| found["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, expected, "{text}");
        for found in found["matches"].as_array().unwrap() {
            assert!(has(found["text"].as_str().unwrap().as_bytes()), "what is shown has the match");
        }
    }
}

#[tokio::test]
async fn a_search_looks_across_the_borders_of_what_it_reads_at_once() {
    let house = House::new().await;
    let mut output = b"......\n".repeat(150_000);
    for (n, place) in (1..15).map(|n| (n, n * 64 * 1024 - 1 - n % 5)) {
        output[place - 10..place + 16].fill(b'.');
        output[place..place + 6].copy_from_slice(b"nEedle");
        output[place + 10] = b'0' + (n % 10) as u8;
    }
    house.ended("job-1", &output).await;
    let found = get(&house, "search?q=needle").await.json();
    assert_eq!(found["matches"].as_array().unwrap().len(), 14);
}

#[tokio::test]
async fn each_attempt_has_logs_of_its_own() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    for (nth, said) in [(1, "first needle\n"), (2, "second needle\n")] {
        if nth > 1 {
            house.attempt(&job, nth).await;
        }
        house.row_of_step(&job, nth, 1).await;
        let mut log = house.log_of_step(&job, nth, 1).await;
        house.says(&job, &mut log, said.as_bytes());
        log.commit().await.unwrap();
    }
    let text = async |path: &str| Ask::get(&format!("/api/v1/jobs/job-1{path}")).answer(&house).await.text();
    assert_eq!(text("/steps/1/raw").await, "second needle\n");
    assert_eq!(text("/steps/1/raw?attempt=1").await, "first needle\n");
    for path in ["/log.txt?attempt=1", "/steps/1/lines?attempt=1", "/search?q=needle&attempt=1"] {
        let answer = text(path).await;
        assert!(answer.contains("first needle") && !answer.contains("second"), "{path}: {answer}");
    }
    for path in ["/log.txt", "/steps/1/raw", "/steps/1/lines", "/search?q=a&", "/artifacts", "/artifacts/a", ""] {
        let end = if path.ends_with('&') { "" } else { "?" };
        let answer = Ask::get(&format!("/api/v1/jobs/job-1{path}{end}attempt=3")).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        assert!(answer.text().contains("has no attempt 3"), "{path}: {}", answer.text());
    }
}
