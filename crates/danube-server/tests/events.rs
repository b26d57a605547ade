//! The live stream of a job.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use danube_core::id::JobId;
use danube_testutils::{Random, seed};
use support::House;
use support::client::{Ask, Event};
use tokio::io::AsyncBufReadExt as _;
use tokio::task::JoinSet;

fn ask(job: &JobId) -> Ask {
    Ask::get(&format!("/api/v1/jobs/{job}/events"))
}

/// What a reader has of each step's output. Every piece must begin where the one before it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard(BTreeMap<u64, Vec<u8>>);

impl Heard {
    fn hear(&mut self, event: &Event) {
        if event.name != "output" {
            return;
        }
        let piece = event.json();
        let bytes = match (piece["text"].as_str(), piece["base64"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(base64)) => STANDARD.decode(base64).unwrap(),
            both => panic!("one of them: {both:?}"),
        };
        let output = self.0.entry(piece["step"].as_u64().unwrap()).or_default();
        assert_eq!(piece["offset"].as_u64(), Some(output.len() as u64), "no byte twice, none missing");
        output.extend(bytes);
    }

    fn all(events: &[Event]) -> Self {
        let mut heard = Self::default();
        events.iter().for_each(|event| heard.hear(event));
        heard
    }
}

/// Names of events, with the step's number and status.
fn story(events: &[Event]) -> Vec<String> {
    let told = events.iter().map(|event| {
        let data = event.json();
        match event.name.as_str() {
            "step" => format!("step {} {}", data["number"], data["status"].as_str().unwrap()),
            "output" => format!("output {}", data["step"]),
            "artifact" => format!("artifact {}", data["name"].as_str().unwrap()),
            name => format!("{name} {}", data["status"].as_str().unwrap()),
        }
    });
    told.collect()
}

#[tokio::test]
async fn a_job_is_told_as_it_goes() {
    let house = House::new().await;
    let job = house.job("job-1").await;
    let mut events = ask(&job).events(&house).await;
    let mut told = vec![events.next().await.unwrap()];
    house.attempt(&job, 1).await;
    told.push(events.next().await.unwrap());
    let mut log = house.step(&job, 1).await;
    told.push(events.next().await.unwrap());
    house.says(&job, &mut log, b"one\n");
    told.push(events.next().await.unwrap());
    house.artifact(&job, "a", b"1").await;
    told.push(events.next().await.unwrap());
    house.says(&job, &mut log, b"two\n");
    told.push(events.next().await.unwrap());
    house.end_step(&job, 1, log).await;
    told.push(events.next().await.unwrap());
    house.finish(&job).await;
    told.extend(events.all().await);
    let expected = [
        "job pending",
        "job running",
        "step 1 running",
        "output 1",
        "artifact a",
        "output 1",
        "step 1 success",
        "job success",
        "end success",
    ];
    assert_eq!(story(&told), expected);
    assert_eq!(told[4].json()["size"], 1);
    assert!(told.last().unwrap().json().get("steps").is_none());
}

#[tokio::test]
async fn who_comes_late_is_told_the_same_story() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    for number in [1, 2] {
        let mut log = house.step(&job, number).await;
        house.says(&job, &mut log, b"said\n");
        house.end_step(&job, number, log).await;
    }
    house.finish(&job).await;
    let told = ask(&job).events(&house).await.all().await;
    let expected = [
        "job success",
        "step 1 running",
        "output 1",
        "step 1 success",
        "step 2 running",
        "output 2",
        "step 2 success",
        "end success",
    ];
    assert_eq!(story(&told), expected);
    let after = ask(&job).header("Last-Event-ID", &told.last().unwrap().id).answer(&house).await;
    assert_eq!(after.status, 204, "a browser need not come back");
}

/// Bytes of which some are text of many kinds and some are none.
fn output(random: &mut Random, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        match random.below(8) {
            0 => bytes.extend((0..random.below(9)).map(|_| random.below(256) as u8)),
            1 => bytes.extend("\u{2028}\r\r\n\n: data: \0\u{feff}".bytes()),
            2 => bytes.extend("€💡é".bytes().take(random.below(10))),
            _ => bytes.extend("grüße 💡 €".repeat(random.below(400)).bytes()),
        }
    }
    bytes
}

#[tokio::test]
async fn who_goes_on_at_any_event_has_every_byte_once() {
    let house = House::new().await;
    let mut random = Random(seed());
    let job = house.running("job-1").await;
    let mut said = BTreeMap::new();
    for number in [0, 1, 2, 5] {
        let mut log = house.step(&job, number).await;
        let bytes = output(&mut random, 60_000);
        house.says(&job, &mut log, &bytes);
        said.insert(u64::from(number), bytes);
        house.end_step(&job, number, log).await;
        house.artifact(&job, &format!("z{}", 9 - number), b"1").await;
    }
    house.finish(&job).await;
    let whole = ask(&job).events(&house).await.all().await;
    assert!(Heard::all(&whole).0 == said);
    for (at, event) in whole.iter().enumerate() {
        let on = if event.name == "end" { Vec::new() } else { resume(&house, &job, &event.id).await };
        assert!(on == whole[at + 1..], "after the event {at}, {}", event.id);
    }
}

/// The rest of the stream, asked for in one of both ways.
async fn resume(house: &House, job: &JobId, id: &str) -> Vec<Event> {
    let header = ask(job).header("Last-Event-ID", id).events(house).await.all().await;
    let query = Ask::get(&format!("/api/v1/jobs/latest/events?after={id}")).events(house).await.all().await;
    assert_eq!(header, query);
    header
}

#[tokio::test]
async fn a_reader_that_is_cut_again_and_again_misses_nothing_while_steps_run_side_by_side() {
    let house = House::new().await;
    let seed = seed();
    let job = house.running("job-1").await;
    let writing = write_side_by_side(&house, &job, Random(seed));
    let reading = read_with_cuts(&house, &job, Random(seed ^ 1));
    let (said, (heard, told)) = tokio::join!(writing, reading);
    assert!(heard.0 == said);
    let mut ends: Vec<_> = told.into_iter().filter(|told| told.ends_with("success")).collect();
    ends.sort();
    assert_eq!(ends, ["end success", "job success", "step 1 success", "step 2 success", "step 3 success"]);
}

async fn write_side_by_side(house: &House, job: &JobId, mut random: Random) -> BTreeMap<u64, Vec<u8>> {
    let (mut said, mut logs) = (BTreeMap::<u64, Vec<u8>>::new(), BTreeMap::new());
    // Rows need not come in the order of their numbers.
    for number in [1, 3, 2] {
        logs.insert(number, house.step(job, number).await);
        tokio::task::yield_now().await;
    }
    for _ in 0..300 {
        let number = 1 + random.below(3) as u32;
        let len = random.below(3000);
        let bytes = output(&mut random, len);
        house.says(job, logs.get_mut(&number).unwrap(), &bytes);
        said.entry(u64::from(number)).or_default().extend(bytes);
        tokio::task::yield_now().await;
    }
    for (number, log) in logs {
        house.end_step(job, number, log).await;
    }
    house.finish(job).await;
    said
}

async fn read_with_cuts(house: &House, job: &JobId, mut random: Random) -> (Heard, Vec<String>) {
    let (mut heard, mut told, mut last) = (Heard::default(), Vec::new(), String::new());
    loop {
        let mut events = ask(job).header("Last-Event-ID", &last).events(house).await;
        for _ in 0..=random.below(12) {
            let Some(event) = events.next().await else { return (heard, told) };
            heard.hear(&event);
            told.extend(story(std::slice::from_ref(&event)));
            if event.name == "end" {
                return (heard, told);
            }
            last = event.id;
        }
    }
}

#[tokio::test]
async fn a_step_whose_row_comes_late_is_told_too() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut logs = vec![(2, house.step(&job, 2).await)];
    let mut events = ask(&job).events(&house).await;
    let mut told = vec![events.next().await.unwrap(), events.next().await.unwrap()];
    logs.push((1, house.step(&job, 1).await));
    told.push(events.next().await.unwrap());
    for (number, mut log) in logs {
        house.says(&job, &mut log, b"said\n");
        house.end_step(&job, number, log).await;
    }
    house.finish(&job).await;
    told.extend(events.all().await);
    assert_eq!(story(&told)[..3], ["job running", "step 2 running", "step 1 running"]);
    assert_eq!(Heard::all(&told).0, BTreeMap::from([(1, b"said\n".to_vec()), (2, b"said\n".to_vec())]));
    let on = Heard::all(&ask(&job).header("Last-Event-ID", &told[1].id).events(&house).await.all().await);
    assert_eq!(on, Heard::all(&told));
}

#[tokio::test]
async fn a_restart_of_the_master_is_only_a_cut() {
    let house = House::new().await;
    let mut random = Random(seed());
    let (job, mut heard) = (house.running("job-1").await, Heard::default());
    let (mut log, said) = (house.step(&job, 1).await, output(&mut random, 100_000));
    house.says(&job, &mut log, &said[..60_000]);
    log.commit().await.unwrap();
    let mut events = ask(&job).events(&house).await;
    let mut last = String::new();
    for _ in 0..4 {
        let event = events.next().await.unwrap();
        heard.hear(&event);
        last = event.id;
    }
    let house = house.restart().await;
    let mut log = house.log_of_step(&job, 1, 1).await;
    house.says(&job, &mut log, &said[60_000..]);
    house.end_step(&job, 1, log).await;
    house.finish(&job).await;
    let rest = ask(&job).header("Last-Event-ID", &last).events(&house).await.all().await;
    rest.iter().for_each(|event| heard.hear(event));
    assert!(heard.0[&1] == said);
}

#[tokio::test]
async fn a_character_that_comes_in_two_chunks_is_told_whole() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    let mut events = ask(&job).events(&house).await;
    house.says(&job, &mut log, b"a\xe2\x82");
    let first = async |events: &mut support::client::Events| loop {
        let event = events.next().await.unwrap();
        if event.name == "output" {
            return event.json();
        }
    };
    assert_eq!(first(&mut events).await["text"], "a");
    house.says(&job, &mut log, b"\xac!\xf0\x9f");
    assert_eq!(first(&mut events).await["text"], "€!");
    house.end_step(&job, 1, log).await;
    assert_eq!(first(&mut events).await["base64"], STANDARD.encode(b"\xf0\x9f"), "no more will come");
}

#[tokio::test]
async fn a_reader_that_stops_hinders_nobody_and_goes_on_later() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut stopped = ask(&job).events(&house).await;
    let mut log = house.step(&job, 1).await;
    let mut random = Random(seed());
    let mut said = Vec::new();
    for _ in 0..100 {
        let bytes = output(&mut random, 100_000);
        house.says(&job, &mut log, &bytes);
        said.extend(bytes);
    }
    house.end_step(&job, 1, log).await;
    house.finish(&job).await;
    let other = ask(&job).events(&house).await.all().await;
    assert!(Heard::all(&other).0[&1] == said);
    let late = stopped.all().await;
    assert!(Heard::all(&late).0[&1] == said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_readers_are_told_the_same() {
    let house = std::sync::Arc::new(House::new().await);
    let job = house.running("job-1").await;
    let mut readers = JoinSet::new();
    for _ in 0..500 {
        let (house, job) = (house.clone(), job.clone());
        readers.spawn(async move { Heard::all(&ask(&job).events(&house).await.all().await) });
    }
    let mut random = Random(seed());
    let (mut log, mut said) = (house.step(&job, 1).await, Vec::new());
    for n in 0..50 {
        let bytes = format!("line {n} {}\n", "€".repeat(random.below(20))).into_bytes();
        house.says(&job, &mut log, &bytes);
        said.extend(bytes);
        tokio::task::yield_now().await;
    }
    house.end_step(&job, 1, log).await;
    house.finish(&job).await;
    let expected = Heard(BTreeMap::from([(1, said)]));
    let mut count = 0;
    while let Some(heard) = readers.join_next().await {
        assert!(heard.unwrap() == expected);
        count += 1;
    }
    assert_eq!(count, 500);
}

#[tokio::test]
async fn a_cursor_of_another_job_or_of_nobody_is_refused() {
    let house = House::new().await;
    let job = house.ended("job-1", b"said\n").await;
    house.ended("job-2", b"said\n").await;
    let id = ask(&job).events(&house).await.next().await.unwrap().id;
    let other = Ask::get("/api/v1/jobs/job-2/events").header("Last-Event-ID", &id).answer(&house).await;
    assert_eq!((other.status, other.code().as_str()), (400, "bad_request"));
    let mut random = Random(seed());
    for _ in 0..300 {
        let mut forged = id.clone().into_bytes();
        let at = random.below(forged.len());
        forged[at] = b"0123456789abcf.-_x"[random.below(18)];
        let forged = String::from_utf8(forged).unwrap();
        let answer = ask(&job).header("Last-Event-ID", &forged).answer(&house).await;
        assert!([200, 204, 400].contains(&answer.status), "{forged}: {}", answer.status);
    }
    let gone = "job-9.1.0.0..0-0.0";
    let answer = Ask::get("/api/v1/jobs/latest/events").header("Last-Event-ID", gone).answer(&house).await;
    assert_eq!(answer.status, 404, "the job of the cursor was removed");
}

#[tokio::test]
async fn no_artifact_is_missed_in_whatever_order_they_come() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut events = ask(&job).events(&house).await;
    let mut told = vec![events.next().await.unwrap()];
    // All of the same millisecond.
    for name in ["m", "z", "a"] {
        house.artifact(&job, name, b"1").await;
        told.push(events.next().await.unwrap());
    }
    let last = told.last().unwrap().id.clone();
    house.finish(&job).await;
    told.extend(events.all().await);
    let names = ["m", "z", "a"].map(|name| format!("artifact {name}"));
    assert!(names.iter().all(|name| story(&told).contains(name)), "{:?}", story(&told));
    let on = story(&ask(&job).header("Last-Event-ID", &last).events(&house).await.all().await);
    assert_eq!(
        on,
        ["job success", "artifact m", "artifact z", "end success"],
        "told again after the one that is first"
    );
}

#[tokio::test]
async fn a_second_attempt_is_told_from_its_beginning() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    house.says(&job, &mut log, b"first attempt\n");
    let mut events = ask(&job).events(&house).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(events.next().await.unwrap());
    }
    house.attempt(&job, 2).await;
    house.row_of_step(&job, 2, 1).await;
    let mut log = house.log_of_step(&job, 2, 1).await;
    house.says(&job, &mut log, b"second\n");
    house.finish(&job).await;
    told.extend(events.all().await);
    let last = told.iter().rfind(|event| event.name == "output").unwrap();
    assert_eq!((&last.json()["text"], &last.json()["offset"]), (&"second\n".into(), &0.into()));
    assert_eq!(told.last().unwrap().json()["attempt"], 2);
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_downloads_properly_or_cuts_them() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let (mut one, mut other) = (ask(&job).events(&house).await, ask(&job).events(&house).await);
    assert!(one.next().await.is_some() && other.next().await.is_some());
    let idle = tokio::net::TcpStream::connect(house.address).await.unwrap();
    house.shutdown.cancel();
    assert_eq!((one.next().await, other.next().await), (None, None), "ended, not cut");
    house.served.await.unwrap();
    drop(idle);
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err());
}

#[tokio::test]
async fn a_download_that_nobody_takes_is_cut_by_the_shutdown() {
    let house = House::new().await;
    house.ended("job-1", &vec![b'x'; 30_000_000]).await;
    let mut taken = Ask::get("/api/v1/jobs/job-1/steps/1/raw").send(&house).await;
    assert!(!taken.fill_buf().await.unwrap().is_empty(), "it has begun");
    house.shutdown.cancel();
    house.served.await.unwrap();
    drop(taken);
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let house = House::new().await;
    let job = house.job("job-1").await;
    let mut events = ask(&job).events(&house).await;
    events.next().await.unwrap();
    let mut line = String::new();
    while line != ":\n" {
        line.clear();
        assert!(events.reader.read_line(&mut line).await.unwrap() > 0, "the stream goes on");
    }
}
