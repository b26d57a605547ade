//! What tests said and what the danubefile wrote for people, over HTTP; and whether the master is well.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use danube_core::report::{CASE_STATUSES, CaseStatus};
use serde_json::{Value, json};
use support::House;
use support::client::Ask;
use support::rows::case;

/// A job whose first attempt has two reports, each with one test of each status.
async fn tested() -> House {
    let house = House::new().await;
    let job = house.running("job-1").await;
    for name in ["unit", "browser"] {
        house.report(&job, 1, name, CASE_STATUSES.map(|status| case(status.as_str(), status)).to_vec()).await;
    }
    house
}

async fn tests(house: &House, query: &str) -> Value {
    let answer = Ask::get(&format!("/api/v1/jobs/job-1/tests{query}")).answer(house).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn ids(page: &Value) -> Vec<String> {
    let cases = page["cases"].as_array().unwrap();
    cases.iter().map(|case| format!("{} {}", case["id"].as_str().unwrap(), case["name"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn failures_come_first_with_the_counts_of_all_reports() {
    let house = tested().await;
    let page = tests(&house, "").await;
    assert_eq!(
        page["counts"],
        json!({"passed": 2, "failed": 2, "errors": 2, "skipped": 2, "flaky": 2, "duration_ms": 0})
    );
    let names: Vec<_> = page["reports"].as_array().unwrap().iter().map(|report| &report["name"]).collect();
    assert_eq!(names, ["unit", "browser"]);
    assert_eq!(ids(&page)[..4], ["1-1 failed", "1-2 error", "2-1 failed", "2-2 error"]);
    assert_eq!((ids(&page).len(), &page["next"]), (10, &Value::Null));
    assert_eq!(page["cases"][0]["message"], "expected 1, got 2");
    assert_eq!(page["cases"][0]["details"], Value::Null, "a list does not carry them");
    let job = Ask::get("/api/v1/jobs/job-1").answer(&house).await.json();
    assert_eq!(job["tests"]["failed"], 2);
}

#[tokio::test]
async fn a_list_is_narrowed_and_goes_on_where_its_page_ended() {
    let house = tested().await;
    assert_eq!(ids(&tests(&house, "?failures=true").await).len(), 4);
    assert_eq!(ids(&tests(&house, "?status=failed").await), ["1-1 failed", "2-1 failed"]);
    assert_eq!(ids(&tests(&house, "?status=skipped&report=2").await), ["2-3 skipped"]);
    assert_eq!(ids(&tests(&house, "?q=CLASS%20fla").await), ["1-4 flaky", "2-4 flaky"]);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = tests(&house, &format!("?limit=3{after}")).await;
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ids(&tests(&house, "").await));
}

#[tokio::test]
async fn one_test_is_told_with_all_that_it_wrote() {
    let house = tested().await;
    let one = Ask::get("/api/v1/jobs/latest/tests/2-1").answer(&house).await.json();
    assert_eq!((one["name"].as_str(), one["report"].as_i64()), (Some("failed"), Some(2)));
    assert_eq!(one["details"], "failed broke\n--- stdout\nwords\n");
    let passed = Ask::get("/api/v1/jobs/job-1/tests/1-0").answer(&house).await.json();
    assert_eq!((passed["name"].as_str(), &passed["details"]), (Some("passed"), &Value::Null));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_in_words() {
    let house = tested().await;
    let bad = [
        "status=broken",
        "status=",
        "failures=2",
        "limit=0",
        "limit=1001",
        "after=x",
        "after=1-1",
        "report=-1",
        "attempt=x",
        "other=1",
        "status=failed&status=error",
    ];
    for query in bad {
        let answer = Ask::get(&format!("/api/v1/jobs/job-1/tests?{query}")).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{query}");
    }
    let words = Ask::get("/api/v1/jobs/job-1/tests?status=broken").answer(&house).await.text();
    assert!(words.contains("a test's status is one of passed, failed, error, skipped, flaky"), "{words}");
    for case in ["9-0", "1-9", "1", "-1", "1-", "a-b", "1-1-1", "4294967296-0", "%2e%2e"] {
        let answer = Ask::get(&format!("/api/v1/jobs/job-1/tests/{case}")).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{case}");
    }
}

#[tokio::test]
async fn each_attempt_has_tests_and_summaries_of_its_own() {
    let house = tested().await;
    let job = "job-1".parse().unwrap();
    house.summary(&job, 1, "# First").await;
    house.attempt(&job, 2).await;
    house.report(&job, 2, "unit", vec![case("late", CaseStatus::Passed)]).await;
    house.summary(&job, 2, "# Größe").await;
    house.summary(&job, 2, "<script>alert(1)</script>\n").await;
    assert_eq!(ids(&tests(&house, "").await), ["1-0 late"], "the newest one's");
    assert_eq!(ids(&tests(&house, "?attempt=1").await).len(), 10);
    let summary = async |query: &str| Ask::get(&format!("/api/v1/jobs/job-1/summaries{query}")).answer(&house).await;
    let newest = summary("").await;
    assert_eq!(newest.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert_eq!(newest.text(), "# Größe\n<script>alert(1)</script>\n");
    assert_eq!(summary("?attempt=1").await.text(), "# First");
    for number in ["0", "3"] {
        assert_eq!(summary(&format!("?attempt={number}")).await.status, 404, "{number}");
    }
    let details = Ask::get("/api/v1/jobs/job-1/tests/1-1?attempt=1").answer(&house).await;
    assert_eq!(details.json()["name"], "failed");
    assert_eq!(Ask::get("/api/v1/jobs/job-1/tests/1-1").answer(&house).await.status, 404);
}

#[tokio::test]
async fn a_job_without_reports_has_empty_lists() {
    let house = House::new().await;
    house.job("job-1").await;
    let page = tests(&house, "").await;
    assert_eq!((&page["cases"], &page["reports"], &page["next"]), (&json!([]), &json!([]), &Value::Null));
    assert_eq!(Ask::get("/api/v1/jobs/job-1").answer(&house).await.json()["tests"], Value::Null);
    assert_eq!(Ask::get("/api/v1/jobs/job-1/summaries").answer(&house).await.text(), "");
}

#[tokio::test]
async fn a_master_whose_queue_cannot_go_on_is_not_ready_and_says_which_part_is_ill() {
    let house = House::new().await;
    let ready = async || Ask::nobody("GET", "/health/ready").answer(&house).await;
    assert_eq!((ready().await.status, &ready().await.json()["status"]), (200, &json!("ready")));
    house.store.close().await;
    let work = {
        let work = house.work.lock().unwrap().take().unwrap();
        tokio::spawn(work)
    };
    let ill = loop {
        let answer = ready().await;
        if answer.status != 200 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((ill.status, &ill.json()["status"]), (503, &json!("ill")));
    let parts = ill.json()["parts"].clone();
    assert_eq!(parts[0]["name"], "queue");
    assert!(parts[0]["ill"].as_str().is_some_and(|words| !words.is_empty()), "{parts}");
    assert_eq!(Ask::nobody("GET", "/health").answer(&house).await.status, 200, "it answers all the same");
    work.abort();
}
