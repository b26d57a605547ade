//! The page of a log, and what its script asks for: the lines that an address names, and no markup of a job's.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use std::collections::BTreeMap;

use danube_core::id::JobId;
use danube_testutils::{Random, seed};
use support::House;
use support::client::{Answer, Ask, Event};

const LOG: &str = "/pipelines/build/1/log";

async fn get(house: &House, rest: &str) -> Answer {
    Ask::get(&format!("{LOG}{rest}")).header("Accept", "text/html").answer(house).await
}

/// The numbers of the rows of an HTML text, as `step:line`.
fn rows(html: &str) -> Vec<String> {
    let ids = html.split("id=\"L").skip(1);
    ids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn numbered(step: u32, lines: impl Iterator<Item = u64>) -> Vec<String> {
    lines.map(|line| format!("{step}:{line}")).collect()
}

/// The links of a page with these words.
fn link(html: &str, words: &str) -> Option<String> {
    let end = html.find(&format!(">{words}</a>"))?;
    let start = html[..end].rfind("href=\"")? + 6;
    Some(html[start..].split('"').next()?.replace("&amp;", "&").replace("&#38;", "&"))
}

/// A run with a step of so many lines, that failed at one of them.
async fn failed(house: &House, lines: u64, at: u64) -> JobId {
    let job = house.running("job-1").await;
    let mut quiet = house.step(&job, 1).await;
    house.says(&job, &mut quiet, b"checked out\n");
    house.end_step(&job, 1, quiet).await;
    let mut log = house.step(&job, 2).await;
    let line = |n: u64| if n == at { format!("error: line {n}\n") } else { format!("line {n}\n") };
    for first in (1..=lines).step_by(500) {
        let text: String = (first..=lines.min(first + 499)).map(line).collect();
        house.says(&job, &mut log, text.as_bytes());
    }
    house.fail_step(&job, 2, log).await;
    house.finish(&job).await;
    job
}

#[tokio::test]
async fn a_failed_run_opens_at_its_first_failure() {
    let house = House::new().await;
    failed(&house, 100_000, 50_000).await;
    let page = get(&house, "").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.header("content-security-policy").unwrap().contains("require-trusted-types-for 'script'"));
    let html = page.text();
    assert_eq!(rows(&html), numbered(2, 49_601..=50_200), "the block of the failure, and one on each side");
    assert!(html.contains("<div class=\"l e\" id=\"L2:50000\">"));
    assert!(!html.contains("style=") && !html.contains("<meta http-equiv"), "{html}");
    assert!(html.contains("Log, 100001 lines") && html.len() < 250_000, "{}", html.len());
}

#[tokio::test]
async fn it_opens_at_the_step_that_failed_and_not_at_the_danubefile_that_says_so() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut own = house.step(&job, 0).await;
    house.says(&job, &mut own, b"Traceback (most recent call last):\nStepFailed: step 1\n");
    let mut log = house.step(&job, 1).await;
    house.says(&job, &mut log, &b"fine\n".repeat(2000));
    house.says(&job, &mut log, b"error: here\n");
    house.fail_step(&job, 1, log).await;
    house.fail_step(&job, 0, own).await;
    house.finish(&job).await;
    let html = get(&house, "").await.text();
    assert!(html.contains("data-step=\"1\" data-line=\"2001\"") && html.contains("id=\"L1:2001\""), "{html}");
}

#[tokio::test]
async fn every_line_is_reached_by_links_alone() {
    let house = House::new().await;
    failed(&house, 2_000, 1).await;
    let (mut at, mut seen) = ("?step=2".to_owned(), Vec::new());
    loop {
        let html = get(&house, at.split('#').next().unwrap()).await.text();
        seen.extend(rows(&html));
        match link(&html, "Next") {
            Some(next) => at = next,
            None => break,
        }
    }
    assert_eq!(seen, numbered(2, 1..=2_000));
    let last = link(&get(&house, "?step=2").await.text(), "Last").unwrap();
    assert_eq!(rows(&get(&house, last.split('#').next().unwrap()).await.text()).last().unwrap(), "2:2000");
    assert_eq!(rows(&get(&house, "?step=2&n=5000").await.text()).len(), 2_000);
}

#[tokio::test]
async fn an_address_names_lines() {
    let house = House::new().await;
    failed(&house, 100_000, 1).await;
    let html = get(&house, "?l=2:70000-70002&t=off").await.text();
    let chosen = html.matches("<div class=\"l k\"").count();
    assert_eq!((chosen, html.matches("autofocus").count()), (3, 1));
    assert!(html.contains("id=\"L2:70000\"") && html.contains("data-n=\"70000\" tabindex"));
    assert_eq!(get(&house, "?l=2:99999999").await.status, 200, "a line that may still come");
    for wrong in ["?l=2", "?l=2:0", "?t=x", "?what=1", "?q=a(&re=1"] {
        assert_eq!(get(&house, wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(Ask::get("/pipelines/build/7/log").answer(&house).await.status, 404);
}

#[tokio::test]
async fn a_search_looks_at_every_line_and_its_hits_are_addresses() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    let text =
        |n: u64| if n.is_multiple_of(1000) { format!("the nee\x1b[31mdle\x1b[0m {n}\n") } else { format!("hay {n}\n") };
    (1..=50).for_each(|part| {
        let lines: String = (part * 1000 - 999..=part * 1000).map(text).collect();
        house.says(&job, &mut log, lines.as_bytes());
    });
    house.end_step(&job, 1, log).await;
    let html = get(&house, "?q=needle&hit=3").await.text();
    assert!(html.contains("3 of 50"), "colours in the middle of a word hide nothing");
    assert!(rows(&html).contains(&"1:3000".to_owned()) && html.contains("<mark>nee<span"));
    assert_eq!(link(&html, "Next").as_deref(), Some("?q=needle&hit=4#L1:4000"));
    let found = get(&house, "/hits?q=NEEDLE%20%5Cd%2B5000&re=1").await;
    assert_eq!(found.json()["lines"].as_array().unwrap().len(), 0, "a capital letter makes case matter");
    let found = get(&house, "/hits?q=needle%20%5Cd5000&re=1").await.json();
    let lines: Vec<_> = (1..5).map(|n| serde_json::json!([1, n * 10_000 + 5_000])).collect();
    assert_eq!(found, serde_json::json!({"lines": lines, "steps": {"1": 4}, "more": false}));
    assert!(get(&house, "?q=nothing").await.text().contains("no line has it"));
}

#[tokio::test]
async fn blocks_come_as_they_are_asked_for_and_are_kept_when_nothing_can_change() {
    let house = House::new().await;
    failed(&house, 1_000, 1).await;
    let block = get(&house, "/lines?step=2&from=401&count=400").await;
    assert_eq!(rows(&block.text()), numbered(2, 401..=800));
    assert_eq!(block.text().matches("<div class=\"c").count(), 2);
    let tag = block.header("etag").unwrap().to_owned();
    assert_eq!(block.header("cache-control"), Some("private, max-age=3600"));
    let again = Ask::get(&format!("{LOG}/lines?step=2&from=401&count=400")).header("If-None-Match", &tag);
    assert_eq!(again.answer(&house).await.status, 304);
    let other = get(&house, "/lines?step=2&from=401&count=400&t=delta").await;
    assert_ne!(other.header("etag").unwrap(), tag);
    assert_eq!(rows(&get(&house, "/lines?step=2&from=1001&count=200").await.text()), Vec::<String>::new());
    for wrong in ["from=2&count=200", "from=1&count=2001", "from=1&count=0", "count=200", "from=0&count=1"] {
        assert_eq!(get(&house, &format!("/lines?step=2&{wrong}")).await.status, 400, "{wrong}");
    }
    assert_eq!(get(&house, "/lines?step=9&from=1&count=200").await.status, 404);
}

#[tokio::test]
async fn a_log_is_kept_as_text_or_as_it_is() {
    let house = House::new().await;
    let raw = b"\x1b[31mred\x1b[0m\n10%\r20%\nmade of \xff\nlast";
    house.ended("job-1", raw).await;
    let txt = |rest: &str| Ask::get(&format!("/pipelines/build/1/log.txt{rest}"));
    let text = txt("?step=1").answer(&house).await;
    assert_eq!(text.text(), "red\n20%\nmade of \u{fffd}\nlast\n");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.header("content-disposition").unwrap().starts_with("attachment"));
    assert_eq!(txt("").answer(&house).await.text(), "== 1 step 1 ==\nred\n20%\nmade of \u{fffd}\nlast\n");
    assert_eq!(txt("?step=1&raw=1").answer(&house).await.body, raw);
    assert_eq!(txt("?raw=1").answer(&house).await.body, raw);
    assert_eq!(txt("?l=1:2-3&raw=1").answer(&house).await.body, b"10%\r20%\nmade of \xff\n");
    let part = txt("?step=1&raw=1").header("Range", "bytes=5-7").answer(&house).await;
    assert_eq!((part.status, part.body), (206, b"red".to_vec()));
    let states = txt("?l=1:2&states=1").answer(&house).await;
    assert_eq!((states.text().as_str(), states.header("content-disposition")), ("10%\n20%\n", None));
    assert_eq!(txt("?step=9").answer(&house).await.status, 404);
}

/// What a page has of each step: its rows, by number, without their attributes.
#[derive(Default)]
struct Page(BTreeMap<(u64, u64), String>);

impl Page {
    fn hear(&mut self, event: &Event) {
        let data = event.json();
        if !matches!(event.name.as_str(), "rows" | "last") {
            assert_ne!(event.name, "gap", "nobody is so far behind here");
            return;
        }
        let (step, from) = (data["step"].as_u64().unwrap(), data["from"].as_u64().unwrap());
        for (row, number) in data["html"].as_str().unwrap().split("</div>").filter(|row| !row.is_empty()).zip(from..) {
            assert!(row.contains(&format!("id=\"L{step}:{number}\"")), "{row}");
            let text = row.rsplit("</a>").next().unwrap().trim_end_matches('\n');
            self.0.insert((step, number), text.to_owned());
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_loses_and_doubles_no_line() {
    let house = House::new().await;
    let mut random = Random(seed());
    let job = house.running("job-1").await;
    let html = get(&house, "").await.text();
    let mut after = html.split("data-after=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut log = house.step(&job, 1).await;
    let (mut page, mut said) = (Page::default(), String::new());
    for n in 0..60 {
        let text = format!("line {n}{}", ["\n", "", "\nand more\n"][random.below(3)]);
        said.push_str(&text);
        house.says(&job, &mut log, text.as_bytes());
        let mut events = Ask::get(&format!("/pipelines/build/1/events?after={after}")).events(&house).await;
        // One event arrives, or none: there always is one.
        if random.below(4) > 0 {
            let event = events.next().await.unwrap();
            page.hear(&event);
            after = event.id;
        }
    }
    house.end_step(&job, 1, log).await;
    house.finish(&job).await;
    let mut events = Ask::get(&format!("/pipelines/build/1/events?after={after}")).events(&house).await;
    while let Some(event) = events.next().await {
        page.hear(&event);
    }
    let shown: Vec<_> = page.0.into_values().collect();
    assert_eq!(shown, said.lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn who_does_not_look_at_the_end_is_told_how_much_there_is() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    let html = get(&house, "").await.text();
    let after = html.split("data-after=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    house.says(&job, &mut log, "x\n".repeat(5_000).as_bytes());
    let ask = |mode: &str| Ask::get(&format!("/pipelines/build/1/events?after={after}{mode}"));
    let mut counts = ask("&mode=count").events(&house).await;
    let mut named = counts.next().await.unwrap();
    while named.name != "count" {
        named = counts.next().await.unwrap();
    }
    assert_eq!(named.json(), serde_json::json!({"step": 1, "lines": 5000}));
    let mut rows = ask("").events(&house).await;
    let mut gap = rows.next().await.unwrap();
    while gap.name != "gap" {
        gap = rows.next().await.unwrap();
    }
    assert_eq!(gap.json(), serde_json::json!({"step": 1, "from": 1, "to": 4800}));
    // Cut right here, the newest lines still come.
    let mut rows = Ask::get(&format!("/pipelines/build/1/events?after={}", gap.id)).events(&house).await;
    let mut newest = rows.next().await.unwrap();
    while newest.name != "rows" {
        newest = rows.next().await.unwrap();
    }
    assert_eq!((newest.json()["from"].as_u64(), newest.json()["lines"].as_u64()), (Some(4801), Some(5000)));
}
