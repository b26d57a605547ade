//! Artifacts over HTTP.

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;

use danube_testutils::{Random, seed};
use serde_json::json;
use support::House;
use support::client::{Answer, Ask};

async fn get(house: &House, rest: &str) -> Answer {
    Ask::get(&format!("/api/v1/jobs/job-1/artifacts{rest}")).answer(house).await
}

#[tokio::test]
async fn an_artifact_is_listed_and_downloaded() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    house.artifact(&job, "dist/page.html", b"<script>alert(1)</script>").await;
    house.artifact(&job, "empty", b"").await;
    let list = get(&house, "").await.json();
    assert_eq!(list["artifacts"][0]["name"], "dist/page.html");
    assert_eq!(list["artifacts"][1]["size"], 0);
    let file = get(&house, "/dist/page.html").await;
    assert_eq!((file.status, file.text().as_str()), (200, "<script>alert(1)</script>"));
    assert_eq!(file.header("etag"), Some(format!("\"{}\"", list["artifacts"][0]["sha256"].as_str().unwrap()).as_str()));
    assert_eq!(file.header("content-type"), Some("application/octet-stream"), "no browser shows what a job made");
    assert!(file.header("content-disposition").unwrap().starts_with("attachment; filename=\"page.html\""));
    assert!(file.header("content-security-policy").unwrap().contains("sandbox"));
    let part =
        Ask::get("/api/v1/jobs/job-1/artifacts/dist/page.html").header("Range", "bytes=1-6").answer(&house).await;
    assert_eq!((part.status, part.text().as_str()), (206, "script"));
    assert_eq!((get(&house, "/empty").await.status, get(&house, "/empty").await.body.len()), (200, 0));
}

#[tokio::test]
async fn no_name_leads_elsewhere() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    house.artifact(&job, "a", b"1").await;
    let database = "..%2f..%2f..%2fdanube.db";
    for name in
        ["/nope", "/a/", "/A", "/..", "/%2e%2e/x", "//etc/passwd", "/%2fetc%2fpasswd", "/a%00", &format!("/{database}")]
    {
        for query in ["", "?format=tar"] {
            let answer = get(&house, &format!("{name}{query}")).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{name}{query}");
        }
    }
}

#[tokio::test]
async fn a_name_with_any_characters_is_a_safe_header() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    house.artifact(&job, "a \"b\"; ü%.txt", b"1").await;
    let answer = get(&house, "/a%20%22b%22%3B%20%C3%BC%25.txt").await;
    assert_eq!(answer.status, 200);
    let expected = "attachment; filename=\"a _b__ __.txt\"; filename*=UTF-8''a%20%22b%22%3B%20%C3%BC%25.txt";
    assert_eq!(answer.header("content-disposition"), Some(expected));
}

#[tokio::test]
async fn a_folder_is_a_tar() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut random = Random(seed());
    let long = format!("out/dist/{}/{}", "d".repeat(150), "f".repeat(150));
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, len) in [
        ("out/dist/empty", 0),
        ("out/dist/one", 1),
        ("out/dist/unit", 512),
        ("out/dist/sub/large", 200_001),
        (&long, 65_536),
    ] {
        files.insert(name.to_owned(), (0..len).map(|_| random.below(256) as u8).collect());
    }
    for (name, bytes) in &files {
        house.artifact(&job, name, bytes).await;
    }
    house.artifact(&job, "out/distant", b"not below").await;
    for path in ["/out/dist?format=tar", "/out/dist/?format=tar"] {
        let answer = get(&house, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-tar")));
        let mut unpacked = BTreeMap::new();
        for entry in tar::Archive::new(&answer.body[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            unpacked.insert(format!("out/{name}"), bytes);
        }
        assert!(unpacked == files, "{:?}", unpacked.keys());
    }
    assert_eq!(get(&house, "/out/dist/one?format=tar").await.status, 404, "it is a file");
}

#[tokio::test]
async fn a_file_that_lost_bytes_is_an_error_and_not_a_short_answer() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    house.artifact(&job, "a", b"12345").await;
    let folder = house.dir.path().join("artifacts/job-1/1");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, b"123").unwrap();
    let answer = get(&house, "/a").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
    assert_eq!(get(&house, "").await.json()["artifacts"][0]["size"], json!(5));
}
