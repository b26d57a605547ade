//! Jobs and pipelines over HTTP.

mod support;

use serde_json::{Value, json};
use support::House;
use support::client::Ask;

#[tokio::test]
async fn a_job_is_started_seen_stopped_and_run_again() {
    let house = House::new().await;
    let made = Ask::post("/api/v1/pipelines/build/jobs", r#"{"ref":"main","params":{"a":"1","b":"x y"}}"#);
    let made = made.answer(&house).await;
    assert_eq!(made.status, 201);
    let job = made.json();
    let id = job["id"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(format!("/api/v1/jobs/{id}").as_str()));
    assert_eq!(
        (job["status"].as_str(), job["number"].as_i64(), job["attempt"].as_i64()),
        (Some("pending"), Some(1), Some(0))
    );
    assert_eq!(
        (&job["params"], &job["ref"], &job["actor"]),
        (&json!({"a": "1", "b": "x y"}), &json!("main"), &json!("tests"))
    );
    assert_eq!(job["waiting"]["position"], 1);

    let seen = Ask::get("/api/v1/jobs/latest").answer(&house).await.json();
    assert_eq!((&seen["id"], &seen["steps"], &seen["attempts"]), (&job["id"], &json!([]), &json!([])));

    for _ in 0..2 {
        let stopped = Ask::post(&format!("/api/v1/jobs/{id}/cancel"), "{}").answer(&house).await;
        assert_eq!(
            (stopped.status, &stopped.json()["cancel_requested"]),
            (202, &json!(true)),
            "also when asked already"
        );
    }
    let again = Ask::post(&format!("/api/v1/jobs/{id}/rerun"), "").answer(&house).await;
    assert_eq!((again.status, &again.json()["rerun_of"]), (201, &job["id"]));
}

#[tokio::test]
async fn an_empty_body_starts_a_job_too() {
    let house = House::new().await;
    let made = Ask::post("/api/v1/pipelines/build/jobs", "").answer(&house).await;
    assert_eq!((made.status, &made.json()["params"]), (201, &json!({})));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_in_words() {
    let house = House::new().await;
    let build = "/api/v1/pipelines/build/jobs";
    let bad = Ask::post(build, r#"{"params":{"bad":"1"}}"#).answer(&house).await;
    assert_eq!((bad.status, bad.code().as_str()), (422, "unprocessable"));
    assert!(bad.text().contains("there is no parameter `bad`"));
    let nowhere = Ask::post("/api/v1/pipelines/nope/jobs", "").answer(&house).await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "not_found"));
    let wrong = [
        "{",
        "[]",
        "null",
        "\"\"",
        "7",
        "{} {}",
        "{\"params\":{\"a\":1}}",
        "{\"params\":[]}",
        "{\"ref\":5}",
        "{\"params\":{\"a\":\"1\",\"a\":\"2\"}}",
        "{\"ref\":\"a\",\"ref\":\"b\"}",
        "{\"other\":1}",
        "\u{feff}{}",
        &format!("{{\"params\":{}", "[".repeat(5000)),
    ];
    for body in wrong {
        let answer = Ask::post(build, body).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{body:.60}");
    }
    let form = Ask::new("POST", build).header("Content-Type", "text/plain");
    let form = Ask { body: b"{}".to_vec(), ..form }.answer(&house).await;
    assert_eq!(form.status, 400, "what any form of any site can send is not taken");
    let latin = Ask { body: b"{\"ref\":\"\xff\"}".to_vec(), ..Ask::post(build, "{}") }.answer(&house).await;
    assert_eq!(latin.status, 400);
    assert_eq!(Ask::get("/api/v1/jobs").answer(&house).await.json()["jobs"], json!([]), "nothing was started");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let house = House::new().await;
    house.job("job-1").await;
    let large = format!("{{\"ref\":\"{}\"}}", "x".repeat(70_000));
    for path in ["/api/v1/pipelines/build/jobs", "/api/v1/jobs/job-1/cancel", "/api/v1/jobs/job-1/rerun"] {
        let answer = Ask::post(path, &large).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{path}");
        let said = Ask::post(path, "").header("Content-Length", "99999999999").answer(&house).await;
        assert_eq!(said.status, 413, "{path}");
        let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
        let ask = Ask::post(path, "{}").header("Transfer-Encoding", "chunked");
        let answer = Ask { body: chunked.into(), ..ask }.answer(&house).await;
        assert_eq!(answer.status, 413, "{path}, of unknown length");
    }
}

#[tokio::test]
async fn an_id_that_is_none_leads_nowhere() {
    let house = House::new().await;
    house.ended("job-1", b"hello\n").await;
    let ids = ["nope", "JOB-1", "%2e%2e", "..%2f..%2fetc", "%00", "%ff", "job-1%20", &"a".repeat(5000)];
    for id in ids {
        for rest in [
            "",
            "/log.txt",
            "/steps/1/raw",
            "/steps/1/lines",
            "/search?q=a",
            "/events",
            "/artifacts",
            "/artifacts/a",
            "/tests",
            "/tests/1-0",
            "/summaries",
        ] {
            let answer = Ask::get(&format!("/api/v1/jobs/{id}{rest}")).answer(&house).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{id:.20}{rest}");
            assert!(answer.body.len() < 500);
        }
        for action in ["cancel", "rerun"] {
            let answer = Ask::post(&format!("/api/v1/jobs/{id}/{action}"), "").answer(&house).await;
            assert_eq!(answer.status, 404, "{id:.20}/{action}");
        }
    }
    for n in ["2", "-1", "x", "1e3", "4294967296", "%31%00", ""] {
        for rest in ["raw", "lines"] {
            let answer = Ask::get(&format!("/api/v1/jobs/job-1/steps/{n}/{rest}")).answer(&house).await;
            assert_eq!(answer.status, 404, "{n}/{rest}");
        }
    }
    let late = Ask::post("/api/v1/jobs/job-1/cancel", "").answer(&house).await;
    assert_eq!((late.status, late.code().as_str()), (409, "conflict"));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let house = House::new().await;
    for n in 10..35 {
        house.job(&format!("job-{n}")).await;
    }
    house.running("job-35").await;
    let (mut seen, mut path) = (Vec::new(), "/api/v1/jobs?limit=10".to_owned());
    loop {
        let page = Ask::get(&path).answer(&house).await.json();
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/jobs?limit=10&before={next}");
    }
    let expected: Vec<_> = (10..=35).rev().map(|n| format!("job-{n}")).collect();
    assert_eq!(seen, expected);
    let count = async |query: &str| {
        Ask::get(&format!("/api/v1/jobs?{query}")).answer(&house).await.json()["jobs"].as_array().unwrap().len()
    };
    assert_eq!(
        (count("status=running").await, count("status=pending").await, count("status=success").await),
        (1, 25, 0)
    );
    assert_eq!(
        (count("pipeline=build&status=running").await, count("pipeline=nope").await, count("").await),
        (1, 0, 26)
    );
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let house = House::new().await;
    house.ended("job-1", b"hello\n").await;
    let wrong = [
        "jobs?limit=0",
        "jobs?limit=201",
        "jobs?limit=-1",
        "jobs?limit=x",
        "jobs?limit=1&limit=2",
        "jobs?status=nice",
        "jobs?before=J",
        "jobs?befor=job-1",
        "jobs/job-1/steps/1/lines?count=1001",
        "jobs/job-1/steps/1/lines?from=-1",
        "jobs/job-1/search",
        "jobs/job-1/search?q=",
        "jobs/job-1/search?q=a%0ab",
        "jobs/job-1/search?q=a&limit=0",
        "jobs/job-1/events?after=x",
        "jobs/job-1/artifacts/a?format=zip",
        &format!("jobs/job-1/search?q={}", "a".repeat(257)),
    ];
    for query in wrong {
        let answer = Ask::get(&format!("/api/v1/{query}")).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{query:.60}");
    }
}

#[tokio::test]
async fn a_pipeline_tells_its_last_job_and_who_waits() {
    let house = House::new().await;
    house.running("job-1").await;
    house.job("job-2").await;
    house.job("job-3").await;
    let pipeline = Ask::get("/api/v1/pipelines/build").answer(&house).await.json();
    assert_eq!(pipeline["counts"], json!({"waiting": 2, "running": 1}));
    assert_eq!(pipeline["last_job"]["id"], "job-3");
    assert_eq!(pipeline["last_job"]["waiting"]["position"], 2);
    assert_eq!(pipeline["entry_point"], "danubefile.py");
    let all = Ask::get("/api/v1/pipelines").answer(&house).await.json();
    assert_eq!(all, json!({"pipelines": [pipeline]}));
    for name in ["nope", "%2e%2e%2f", "%3Cb%3E"] {
        assert_eq!(Ask::get(&format!("/api/v1/pipelines/{name}")).answer(&house).await.status, 404);
    }
}

#[tokio::test]
async fn health_is_for_everybody_and_says_what_is_ill() {
    let house = House::new().await;
    let health = Ask::nobody("GET", "/health").answer(&house).await.json();
    assert_eq!(health["status"], "ok");
    let ready = Ask::nobody("GET", "/health/ready").answer(&house).await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
}

#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let house = House::new().await;
    let job = house.ended("job-1", b"hello\n").await;
    let inside = house.dir.path().to_str().unwrap().to_owned();
    std::fs::write(house.dir.path().join(format!("logs/{job}/1/1.idx")), b"not an index, and longer than its header")
        .unwrap();
    for path in ["steps/1/raw", "steps/1/lines", "search?q=a"] {
        let answer = Ask::get(&format!("/api/v1/jobs/job-1/{path}")).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal"), "{path}");
        assert!(!answer.text().contains(&inside) && !answer.text().contains("idx"), "{}", answer.text());
    }
    house.store.close().await;
    let answer = Ask::get("/api/v1/jobs").answer(&house).await;
    assert!([500, 503].contains(&answer.status));
    assert!(!answer.text().contains("sql") && !answer.text().contains("pool"), "{}", answer.text());
    let _: Value = answer.json();
}
