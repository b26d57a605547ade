//! The plain page.

mod support;

use danube_core::job::{FailureKind, FailureReason, JobStatus};
use danube_store::jobs;
use support::House;
use support::client::Ask;

#[tokio::test]
async fn the_page_shows_jobs_and_nothing_in_it_runs() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let reason = FailureReason { kind: FailureKind::Script, message: "<img src=x onerror=alert(1)>".into() };
    let write = house
        .store
        .write(|tx| Box::pin(async move { jobs::finish(tx, &job, JobStatus::Failure, Some(&reason), 30).await }));
    write.await.unwrap();
    let page = Ask::get("/").answer(&house).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let (html, policy) = (page.text(), page.header("content-security-policy").unwrap());
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(html.contains("/api/v1/jobs/job-1/log.txt") && html.contains("color-scheme"));
    assert!(html.contains("&lt;img src=x") && html.contains("/src/&lt;b&gt;it&#39;s&lt;/b&gt;"));
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"));
}

#[tokio::test]
async fn who_has_not_come_in_reads_how_to() {
    let house = House::new().await;
    let page = Ask::nobody("GET", "/").header("Accept", "text/html,*/*").answer(&house).await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("Open the link"));
    let program = Ask::nobody("GET", "/").answer(&house).await;
    assert_eq!(program.code(), "unauthenticated");
}
