//! Who may come in, how, and under which name.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use danube_testutils::{Random, seed};
use serde_json::Value;
use support::client::{Answer, Ask};
use support::{House, READER, TOKEN};

/// Every route as its description has it: method, address with values that may exist, permission.
async fn routes(house: &House) -> Vec<(String, String, String)> {
    let description = Ask::get("/openapi.json").answer(house).await.json();
    assert_eq!(description["openapi"], "3.1.0");
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path =
                path.replace("{id}", "job-1").replace("{n}", "1").replace("{case}", "1-0").replace("{name}", "build");
            let permission = operation["x-permission"].as_str().unwrap().to_owned();
            routes.push((method.to_uppercase(), path, permission));
        }
    }
    assert!(routes.len() > 15, "{routes:?}");
    routes
}

#[tokio::test]
async fn nobody_gets_past_a_route_without_a_token_that_is_good() {
    let house = House::new().await;
    house.job("job-1").await;
    for (method, path, permission) in routes(&house).await {
        let nobody = Ask::nobody(&method, &path).answer(&house).await;
        let wrong = Ask::nobody(&method, &path).header("Authorization", "Bearer wrong").answer(&house).await;
        let other = Ask::nobody(&method, &path).header("Authorization", &format!("Basic {TOKEN}")).answer(&house).await;
        if permission == "public" {
            assert_ne!(nobody.json()["error"]["code"], "forbidden", "{path}");
            continue;
        }
        for answer in [nobody, wrong, other] {
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{method} {path}");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

#[tokio::test]
async fn who_may_look_may_not_change_anything() {
    let house = House::new().await;
    house.ended("job-1", b"hello\n").await;
    for (method, path, permission) in routes(&house).await {
        let ask = Ask::nobody(&method, &path).header("Authorization", &format!("bearer {READER}"));
        let answer = ask.answer(&house).await;
        let may = permission == "public" || permission == "read";
        assert_eq!(answer.status != 403, may, "{method} {path}: {}", answer.status);
        if !may {
            assert_eq!(answer.code(), "forbidden");
        }
    }
}

#[tokio::test]
async fn every_answer_is_careful_and_has_an_id() {
    let house = House::new().await;
    house.ended("job-1", b"hello\n").await;
    for (method, path, _) in routes(&house).await {
        let answer = Ask::new(&method, &path).answer(&house).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(answer.header("content-security-policy").is_some_and(|csp| csp.contains("default-src 'none'")));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(16), "{path}");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
}

#[tokio::test]
async fn a_wrong_method_and_an_unknown_address_are_told_as_json() {
    let house = House::new().await;
    for (method, path, _) in routes(&house).await {
        for other in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = Ask::new(other, &path).answer(&house).await;
            assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{other} {path}");
            let allow = answer.header("allow").unwrap_or_default();
            assert!(allow.contains(&method), "{path}: {allow}");
        }
    }
    for path in ["/nothing", "/api/v1", "/api/v2/jobs", "/api/v1/jobs/", "//health", "/api/v1/jobs/a/b/c", "/../etc"] {
        let answer = Ask::get(path).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn only_names_that_are_ours_are_answered() {
    let house = House::new().await;
    let port = house.address.port();
    let health = |host: &str| Ask::nobody("GET", "/health").header("Host", host);
    for host in ["127.0.0.1", "localhost", "LocalHost", "[::1]"].map(|name| format!("{name}:{port}")) {
        assert_eq!(health(&host).answer(&house).await.status, 200, "{host}");
    }
    assert_eq!(health("danube.example").answer(&house).await.status, 200);
    let others = ["evil.example", "127.0.0.1", "localhost:1", "danube.example:99", "", "127.0.0.1.evil.example"];
    for host in others.map(str::to_owned).into_iter().chain([format!("evil.example:{port}")]) {
        let answer = health(&host).answer(&house).await;
        assert_eq!((answer.status, answer.code().as_str()), (421, "bad_request"), "{host}");
    }
    assert_eq!(health("-").answer(&house).await.status, 400, "none at all");
    let two = health(&format!("localhost:{port}")).header("Host", "evil.example");
    assert_eq!(two.answer(&house).await.status, 400);
    let full = Ask::nobody("GET", "http://evil.example/health").answer(&house).await;
    assert_eq!(full.status, 421, "the request line says another name");
}

/// The cookie of a browser that came in by a link.
async fn log_in(house: &House) -> String {
    let link = house.auth.issue_link();
    let answer = Ask::nobody("GET", &format!("/login?token={link}")).answer(house).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
    let again = Ask::nobody("GET", &format!("/login?token={link}")).answer(house).await;
    assert_eq!((again.status, again.code().as_str()), (401, "unauthenticated"), "a link is good once");
    cookie.split(';').next().unwrap().to_owned()
}

async fn with_cookie(house: &House, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let cookie = log_in(house).await;
    let ask = Ask::nobody(method, path).header("Cookie", &format!("theme=dark; {cookie}"));
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).answer(house).await
}

#[tokio::test]
async fn a_link_lets_a_browser_in_once() {
    let house = House::new().await;
    assert_eq!(with_cookie(&house, "GET", "/api/v1/jobs", &[]).await.status, 200);
    let link = house.auth.issue_link();
    let head = Ask::nobody("HEAD", &format!("/login?token={link}")).answer(&house).await;
    assert_eq!(head.status, 405, "who only looks at the headers does not use it up");
    assert_eq!(Ask::nobody("GET", &format!("/login?token={link}")).answer(&house).await.status, 303);
    for wrong in ["/login?token=", "/login?token=x", "/login?token=x&token=y", "/login?tok=x"] {
        let answer = Ask::nobody("GET", wrong).answer(&house).await;
        assert!([400, 401].contains(&answer.status), "{wrong}");
        assert!(answer.header("set-cookie").is_none());
    }
    let forged = Ask::nobody("GET", "/").header("Cookie", "danube_session=forged").answer(&house).await;
    assert_eq!(forged.status, 401);
}

#[tokio::test]
async fn who_came_in_stays_in_over_a_restart_and_a_link_does_not() {
    let house = House::new().await;
    let (cookie, link) = (log_in(&house).await, house.auth.issue_link());
    let house = house.restart().await;
    assert_eq!(Ask::nobody("GET", "/").header("Cookie", &cookie).answer(&house).await.status, 200);
    assert_eq!(Ask::nobody("GET", &format!("/login?token={link}")).answer(&house).await.status, 401);
}

#[tokio::test]
async fn the_database_alone_lets_nobody_in() {
    let house = House::new().await;
    let cookie = log_in(&house).await;
    let secret = cookie.split_once('=').unwrap().1;
    let mut files =
        std::fs::read_dir(house.dir.path()).unwrap().filter_map(|file| std::fs::read(file.ok()?.path()).ok());
    assert!(files.all(|file| !file.windows(secret.len()).any(|part| part == secret.as_bytes())));
}

#[tokio::test]
async fn another_site_cannot_use_the_cookie() {
    let house = House::new().await;
    house.job("job-1").await;
    let origin = format!("http://{}", house.address);
    let (cancel, post) = ("/api/v1/jobs/job-1/cancel", "POST");
    let sites = ["cross-site", "same-site", "none"];
    for site in sites {
        let answer = with_cookie(&house, post, cancel, &[("Sec-Fetch-Site", site)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{site}");
    }
    let other = with_cookie(&house, post, cancel, &[("Origin", "http://127.0.0.1:1")]).await;
    assert_eq!(other.status, 403);
    let job = Ask::get("/api/v1/jobs/job-1").answer(&house).await.json();
    assert_eq!(job["cancel_requested"], Value::Bool(false), "nothing was done");
    assert_eq!(with_cookie(&house, post, cancel, &[("Origin", &origin)]).await.status, 202);
    let token = Ask::post(cancel, "").header("Sec-Fetch-Site", "cross-site").answer(&house).await;
    assert_eq!(token.status, 202, "a token is not sent along by a browser");
}

/// What is put into an address, a query or a body; never a job that goes on, whose stream would not end: nothing, much, other alphabets, ways out, halves of JSON.
fn anything(random: &mut Random) -> String {
    const PIECES: [&str; 19] = [
        "",
        "job-1",
        "1",
        "-1",
        "1-0",
        "4294967296",
        "build",
        "../..",
        "%2e%2e%2f",
        "%00",
        "%ff",
        "%",
        "\u{fc}",
        "?",
        "&",
        "{\"params\":",
        "{\"ref\":\"a\",\"ref\":\"b\"}",
        "'\"<b>",
        "~",
    ];
    let mut text = String::new();
    for _ in 0..random.below(4) {
        text += PIECES[random.below(PIECES.len())];
    }
    if random.below(50) == 0 { text.repeat(2000) } else { text }
}

#[tokio::test]
async fn whatever_is_asked_is_answered_and_is_never_our_fault() {
    let house = House::new().await;
    house.ended("job-1", b"hello\n").await;
    let description = Ask::get("/openapi.json").answer(&house).await.json();
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    let mut random = Random(seed());
    for _ in 0..1500 {
        let mut path = paths[random.below(paths.len())].clone();
        while let Some((start, end)) = path.find('{').zip(path.find('}')) {
            let value = anything(&mut random).replace(['{', '}', ' '], "%7b");
            path.replace_range(start..=end, &value);
        }
        if random.below(2) == 0 {
            let (name, value) =
                (["limit", "before", "q", "after", "attempt", "x"][random.below(6)], anything(&mut random));
            path += &format!("?{name}={}", value.replace(' ', "+"));
        }
        let method = ["GET", "POST", "HEAD", "PUT", "DELETE"][random.below(5)];
        let ask = Ask::new(method, &path).header("Content-Type", "application/json");
        let body = if method == "POST" { anything(&mut random) } else { String::new() };
        let answer = Ask { body: body.into(), ..ask }.answer(&house).await;
        assert!((200..500).contains(&answer.status), "{method} {path:.200}: {} {}", answer.status, answer.text());
    }
    assert_eq!(Ask::get("/api/v1/jobs/job-1").answer(&house).await.json()["status"], "success");
}
