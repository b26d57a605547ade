//! Test reports and summaries: written in parts, once for each call, and read in the order in which people look.

use danube_core::report::{CASE_STATUSES, CaseStatus, Counts};

use super::reports::{Caps, CaseKey, Filter, NewCase, ReportKey};
use super::summaries::{NewSummary, Written};
use super::*;

const CAPS: Caps = Caps { reports: 3, cases: 10 };

fn call(n: u8) -> StepId {
    StepId::from_bytes([n; 16])
}

fn case(name: &str, status: CaseStatus) -> NewCase {
    let (suite, class) = ("outer › inner".into(), "Class".into());
    let details = status.is_failure().then(|| "long".to_owned());
    NewCase { suite, class, name: name.into(), status, duration_ms: Some(3), message: None, details }
}

async fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    (dir, store)
}

async fn begin(store: &Store, n: u8) -> Option<ReportKey> {
    store
        .write(move |tx| Box::pin(async move { reports::begin(tx, &attempt(1), call(n), "unit", CAPS).await }))
        .await
        .unwrap()
}

async fn append(store: &Store, key: &ReportKey, from: u32, cases: Vec<NewCase>) {
    let key = key.clone();
    store.write(move |tx| Box::pin(async move { reports::append(tx, &key, from, &cases).await })).await.unwrap();
}

async fn finish(store: &Store, key: &ReportKey, counts: Counts) -> bool {
    let key = key.clone();
    store
        .write(move |tx| Box::pin(async move { reports::finish(tx, &key, (&counts, 2), 9, CAPS).await }))
        .await
        .unwrap()
}

/// A finished report with one case of each status, in this order.
async fn report(store: &Store, n: u8) -> ReportKey {
    let key = begin(store, n).await.unwrap();
    let mut counts = Counts::default();
    CASE_STATUSES.into_iter().for_each(|status| counts.note(status));
    append(store, &key, 0, CASE_STATUSES.map(|status| case(status.as_str(), status)).to_vec()).await;
    assert!(finish(store, &key, counts).await);
    key
}

async fn names(store: &Store, filter: Filter<'_>, after: Option<CaseKey>, limit: u32) -> Vec<String> {
    let cases = reports::cases(store.read(), &attempt(1), filter, after, limit).await.unwrap();
    cases.into_iter().map(|case| format!("{} {}", case.report, case.name)).collect()
}

#[tokio::test]
async fn a_report_is_shown_when_it_is_whole_and_a_call_has_one() {
    let (_dir, store) = store().await;
    let key = begin(&store, 1).await.unwrap();
    append(&store, &key, 0, vec![case("half", CaseStatus::Failed)]).await;
    assert_eq!(reports::list(store.read(), &attempt(1)).await.unwrap(), []);
    assert_eq!(reports::of_call(store.read(), &attempt(1), call(1)).await.unwrap(), None);
    assert!(names(&store, Filter::default(), None, 10).await.is_empty());
    assert_eq!(reports::case(store.read(), &key, 0).await.unwrap(), None);
    // As after a restart: what was there of it is gone.
    report(&store, 1).await;
    let rows = reports::list(store.read(), &attempt(1)).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.number, row.files, row.created_ms)).collect::<Vec<_>>(), [(1, 2, 9)]);
    assert_eq!(rows[0].counts().tests(), 5);
    assert_eq!(reports::of_call(store.read(), &attempt(1), call(1)).await.unwrap().as_ref(), rows.first());
    assert_eq!(names(&store, Filter::default(), None, 10).await.len(), 5);
}

#[tokio::test]
async fn an_attempt_keeps_so_much_and_no_more() {
    let (_dir, store) = store().await;
    report(&store, 1).await;
    let key = begin(&store, 2).await.unwrap();
    append(&store, &key, 0, vec![case("six", CaseStatus::Passed); 6]).await;
    assert!(!finish(&store, &key, Counts { passed: 6, ..Counts::default() }).await, "five and six are more than ten");
    let gone = key.clone();
    store.write(move |tx| Box::pin(async move { reports::discard(tx, &gone).await })).await.unwrap();
    report(&store, 2).await;
    assert_eq!(reports::counts(store.read(), &attempt(1)).await.unwrap().tests(), 10);
    assert!(begin(&store, 3).await.is_some());
    assert!(begin(&store, 4).await.is_none());
}

#[tokio::test]
async fn failures_come_first_and_a_list_goes_on_where_it_ended() {
    let (_dir, store) = store().await;
    let first = report(&store, 1).await;
    report(&store, 2).await;
    let all = [
        "1 failed",
        "1 error",
        "2 failed",
        "2 error",
        "1 flaky",
        "2 flaky",
        "1 skipped",
        "2 skipped",
        "1 passed",
        "2 passed",
    ];
    assert_eq!(names(&store, Filter::default(), None, 99).await, all);
    let (mut after, mut seen) = (None, Vec::new());
    while let [.., last] = &reports::cases(store.read(), &attempt(1), Filter::default(), after, 3).await.unwrap()[..] {
        seen.extend(names(&store, Filter::default(), after, 3).await);
        after = Some(CaseKey { rank: last.rank, report: last.report, seq: last.seq });
    }
    assert_eq!(seen, all);
    for (status, found) in CASE_STATUSES.into_iter().zip(["passed", "failed", "error", "skipped", "flaky"]) {
        let filter = Filter { status: Some(status), report: Some(2), ..Filter::default() };
        assert_eq!(names(&store, filter, None, 9).await, [format!("2 {found}")]);
    }
    let failures = Filter { failures: true, ..Filter::default() };
    assert_eq!(names(&store, failures, None, 99).await, all[..4]);
    let neither = Filter { failures: true, status: Some(CaseStatus::Passed), ..Filter::default() };
    assert!(names(&store, neither, None, 99).await.is_empty());
    let text = Filter { text: Some("CLASS fla"), ..Filter::default() };
    assert_eq!(names(&store, text, None, 9).await, ["1 flaky", "2 flaky"]);
    assert_eq!(reports::details(store.read(), &first, 1).await.unwrap().as_deref(), Some("long"));
    assert_eq!(reports::details(store.read(), &first, 0).await.unwrap(), None);
    let case = reports::case(store.read(), &first, 1).await.unwrap().unwrap();
    assert_eq!((case.name.as_str(), case.has_details, case.is_failure()), ("failed", true, true));
    assert_eq!(reports::case(store.read(), &first, 99).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_of_failures_visits_no_other_case() {
    let (_dir, store) = store().await;
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT name FROM test_cases WHERE job = 'j' AND attempt = 1 AND (rank, report, seq) > (0, -1, -1)
         AND rank <= 0 ORDER BY rank, report, seq LIMIT 50",
    )
    .fetch_all(store.read())
    .await
    .unwrap();
    let plan: Vec<_> = plan.into_iter().map(|row| row.3).collect();
    assert!(plan.len() == 1 && plan[0].contains("USING INDEX test_cases_ranked"), "{plan:?}");
}

async fn write(store: &Store, n: u8, text: &str, append: bool) -> Written {
    let summary = NewSummary { call: call(n), text: text.to_owned(), append };
    let caps = summaries::Caps { calls: 4, bytes: 20 };
    store
        .write(move |tx| Box::pin(async move { summaries::write(tx, &attempt(1), &summary, caps).await }))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_summary_grows_call_by_call_until_one_replaces_it() {
    let (_dir, store) = store().await;
    let texts = async || {
        let rows = summaries::list(store.read(), &attempt(1)).await.unwrap();
        rows.into_iter().map(|row| (row.seq, row.text)).collect::<Vec<_>>()
    };
    assert_eq!(write(&store, 1, "# Größe", true).await, Written::Kept);
    assert_eq!(write(&store, 2, "two", true).await, Written::Kept);
    assert_eq!(write(&store, 1, "# Größe", true).await, Written::Known);
    assert_eq!(write(&store, 3, "eleven more", true).await, Written::TooLong(9 + 3 + 11), "bytes, not characters");
    assert_eq!(texts().await, [(1, "# Größe".to_owned()), (2, "two".to_owned())]);
    assert_eq!(write(&store, 3, "instead", false).await, Written::Kept);
    assert_eq!(write(&store, 2, "two", true).await, Written::Known, "what was replaced does not come back");
    assert_eq!(texts().await, [(3, "instead".to_owned())]);
    assert_eq!(write(&store, 4, "", true).await, Written::Kept);
    assert_eq!(write(&store, 5, "x", true).await, Written::TooMany);
}
