//! The pages: what they say, that nothing of a job's becomes markup, and that their forms do what they say.

mod support;

use danube_core::id::JobId;
use danube_core::job::{FailureKind, FailureReason, JobStatus};
use danube_core::report::CaseStatus;
use danube_store::jobs;
use support::House;
use support::client::{Answer, Ask};
use support::rows::case;

/// Every page that a job of the pipeline `build` has, and those of the whole.
const PAGES: [&str; 15] = [
    "/",
    "/?q=bui&state=failing",
    "/welcome",
    "/queue",
    "/search",
    "/search?q=%231",
    "/system",
    "/account",
    "/pipelines/build",
    "/pipelines/build?branch=main&trigger=manual&by=somebody",
    "/pipelines/build/run",
    "/pipelines/build/tests",
    "/pipelines/build/1",
    "/pipelines/build/1/tests",
    "/pipelines/build/1/artifacts",
];
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

fn browser(method: &str, path: &str) -> Ask {
    Ask::new(method, path).header("Accept", "text/html,*/*")
}

fn form(path: &str, fields: &str) -> Ask {
    let mut ask = browser("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
    ask.body = fields.into();
    ask
}

async fn fail(house: &House, job: &JobId) {
    let (id, reason) = (job.clone(), FailureReason { kind: FailureKind::Script, message: HOSTILE.into() });
    let write = house
        .store
        .write(|tx| Box::pin(async move { jobs::finish(tx, &id, JobStatus::Failure, Some(&reason), 30).await }));
    write.await.expect("written");
}

/// What must hold for every page.
fn is_a_page(path: &str, page: &Answer) {
    let html = page.text();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}: {html}");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(!html.contains("<img") && !html.contains("style=") && !html.contains(" onclick"), "{path}: {html}");
    assert_eq!(html.matches("<h1").count(), 1, "{path}: one heading");
    assert!(
        html.contains("<html lang=\"en\"") && html.contains("href=\"#main\"") && html.contains("<main id=\"main\"")
    );
    for tag in ["div", "ol", "ul", "li", "table", "form", "section", "details", "p", "span", "a"] {
        let (opened, closed) = (
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count(),
            html.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(opened, closed, "{path}: <{tag}>");
    }
}

#[tokio::test]
async fn every_page_is_whole_and_nothing_of_a_job_is_markup() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    house.says(&job, &mut log, format!("{HOSTILE}\n").as_bytes());
    house.artifact(&job, "dist/a.tar", b"bytes").await;
    for path in PAGES {
        is_a_page(path, &browser("GET", path).answer(&house).await);
    }
    house.fail_step(&job, 1, log).await;
    fail(&house, &job).await;
    house.ended("job-2", b"fine\n").await;
    for path in PAGES.into_iter().chain(["/pipelines/build/compare/1...2"]) {
        is_a_page(path, &browser("GET", path).answer(&house).await);
    }
}

#[tokio::test]
async fn a_failed_run_says_at_once_what_failed_and_why() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    house.says(&job, &mut log, b"compiling\n\x1b[31mFAIL\x1b[0m src/date.test.ts\n");
    house.fail_step(&job, 1, log).await;
    fail(&house, &job).await;
    let html = browser("GET", "/pipelines/build/1").answer(&house).await.text();
    let first_screen = &html[..html.find("<h2>Steps").unwrap()];
    assert!(first_screen.contains("failed · script"), "{first_screen}");
    assert!(first_screen.contains("“<bdi>step 1</bdi>” exited with 1"), "{first_screen}");
    assert!(first_screen.contains("FAIL src/date.test.ts") && !first_screen.contains('\u{1b}'), "{first_screen}");
    assert!(first_screen.contains("/pipelines/build/1/log?l=1:2"), "a line has an address");
    assert!(!first_screen.contains("onerror"), "the step says more than the reason: {first_screen}");
    let policy = browser("GET", "/pipelines/build/1").answer(&house).await;
    assert!(policy.header("content-security-policy").unwrap().contains("require-trusted-types-for 'script'"));
}

#[tokio::test]
async fn a_first_failure_far_from_the_end_is_shown_with_the_end() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    let mut said = "compiling\n".repeat(50) + "error: no such type\n  --> src/a.rs:1\n";
    said += &"compiling more\n".repeat(300);
    house.says(&job, &mut log, (said + "1 of 2 was built\n").as_bytes());
    house.fail_step(&job, 1, log).await;
    fail(&house, &job).await;
    let html = browser("GET", "/pipelines/build/1").answer(&house).await.text();
    let (failure, gap, end) =
        (html.find("error: no such type"), html.find("lines between"), html.find("1 of 2 was built"));
    assert!(failure.is_some() && failure < gap && gap < end, "{html}");
    assert!(
        html.contains("src/a.rs:1") && html.contains("Open the log at line 51") && html.contains("log?l=1:51\""),
        "{html}"
    );
    assert!(html.contains("… 285 lines between …"), "{html}");
}

#[tokio::test]
async fn an_older_attempt_has_its_own_end_steps_log_tests_and_files() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    let mut log = house.step(&job, 1).await;
    house.says(&job, &mut log, b"of the first attempt\n");
    house.fail_step(&job, 1, log).await;
    house.report(&job, 1, "first.xml", vec![case("breaks", CaseStatus::Failed)]).await;
    house.artifact(&job, "first.tar", b"bytes").await;
    house.fail_attempt(&job, 1, FailureKind::Infra, "the machine went away").await;
    house.attempt(&job, 2).await;
    house.row_of_step(&job, 2, 1).await;
    let mut log = house.log_of_step(&job, 2, 1).await;
    house.says(&job, &mut log, b"of the second attempt\n");
    house.report(&job, 2, "second.xml", vec![case("works", CaseStatus::Passed)]).await;
    let look = async |path: &str| browser("GET", &format!("/pipelines/build/1{path}")).answer(&house).await;

    let newest = look("").await.text();
    assert!(newest.contains("of the second attempt") && newest.contains("attempt 2 of 2"), "{newest}");
    assert!(newest.contains("href=\"/pipelines/build/1?attempt=1\"") && !newest.contains("first.tar"), "{newest}");
    let older = look("?attempt=1").await.text();
    assert!(older.contains("the machine went away") && older.contains("of the first attempt"), "{older}");
    assert!(
        older.contains("not your code") && older.contains("failed · infra") && older.contains("first.tar"),
        "{older}"
    );
    assert!(older.contains("/pipelines/build/1/log?attempt=1&#38;l=1:"), "its own log: {older}");
    assert!(older.contains("/pipelines/build/1/tests?attempt=1") && !older.contains("of the second"), "{older}");
    let log = look("/log?attempt=1").await.text();
    assert!(log.contains("of the first attempt") && !log.contains("of the second attempt"), "{log}");
    assert!(log.contains("/log.txt?attempt=1&#38;") && log.contains("data-attempt=\"1\""), "{log}");
    let tests = look("/tests?attempt=1").await.text();
    assert!(tests.contains("breaks") && !tests.contains("works"), "{tests}");
    assert!(look("/tests").await.text().contains("works"));
    let files = look("/artifacts?attempt=1").await.text();
    assert!(files.contains("artifacts/first.tar?attempt=1"), "{files}");
    assert!(!look("/artifacts").await.text().contains("first.tar"));
    for path in ["", "/log", "/tests", "/artifacts"] {
        for number in ["0", "3"] {
            assert_eq!(look(&format!("{path}?attempt={number}")).await.status, 404, "{path} {number}");
        }
        is_a_page(path, &look(&format!("{path}?attempt=1")).await);
    }
}

#[tokio::test]
async fn what_fails_is_not_hidden_by_a_run_that_has_only_begun() {
    let house = House::new().await;
    let job = house.running("job-1").await;
    fail(&house, &job).await;
    house.running("job-2").await;
    let html = browser("GET", "/").answer(&house).await.text();
    assert!(html.contains("failed · script") && html.contains("#2</a> is running"), "{html}");
    house.ended("job-3", b"fine\n").await;
    let html = browser("GET", "/pipelines/build/3").answer(&house).await.text();
    assert!(html.contains("first time since <a href=\"/pipelines/build/1\">#1</a>"), "{html}");
}

#[tokio::test]
async fn two_runs_are_compared_by_a_form() {
    let house = House::new().await;
    let there = browser("GET", "/pipelines/build/compare?a=1&b=2").answer(&house).await;
    assert_eq!((there.status, there.header("location")), (303, Some("/pipelines/build/compare/1...2")));
    assert_eq!(browser("GET", "/pipelines/build/compare?a=x&b=2").answer(&house).await.status, 400);
}

#[tokio::test]
async fn behind_another_name_cookies_belong_to_tls() {
    let house = House::new().await;
    let enter = async |host: &str| {
        let link = house.auth.issue_link();
        let ask = Ask::nobody("GET", &format!("/login?token={link}"));
        let ask = if host.is_empty() { ask } else { ask.header("Host", host) };
        ask.answer(&house).await
    };
    let near = enter("").await;
    assert!(near.header("set-cookie").unwrap().starts_with("danube_session="), "{near:?}");
    assert!(
        !near.header("set-cookie").unwrap().contains("Secure") && near.header("strict-transport-security").is_none()
    );
    let far = enter("danube.example").await;
    let cookie = far.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-danube=") && cookie.ends_with("Path=/; Max-Age=2592000; Secure"), "{cookie}");
    assert!(!cookie.contains("Domain") && cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(far.header("strict-transport-security").is_some());
    let sent = cookie.split(';').next().unwrap();
    let with = |host: &str, cookie: &str| {
        Ask::nobody("GET", "/").header("Host", host).header("Cookie", cookie).header("Accept", "text/html")
    };
    assert_eq!(with("danube.example", sent).answer(&house).await.status, 200);
    let other_name = sent.replace("__Host-danube", "danube_session");
    assert_eq!(with("danube.example", &other_name).answer(&house).await.status, 401, "anybody could have set it");
    let ask = form("/account", "theme=dark").header("Host", "danube.example");
    let kept = ask.answer(&house).await;
    let all = kept.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    assert!(all.map(|(_, value)| value).all(|value| value.ends_with("; Secure")), "{kept:?}");
}

#[tokio::test]
async fn chosen_lines_can_be_downloaded_without_scripts() {
    let house = House::new().await;
    house.ended("job-1", b"one\ntwo\nthree\n").await;
    let log = browser("GET", "/pipelines/build/1/log?l=1:2-3").answer(&house).await.text();
    assert!(log.contains("Lines 2 to 3 of step 1") && log.contains("/pipelines/build/1/log.txt?l=1:2-3"), "{log}");
    let text = browser("GET", "/pipelines/build/1/log.txt?l=1:2-3").answer(&house).await;
    assert_eq!(text.text(), "two\nthree\n");
}

#[tokio::test]
async fn pipelines_that_fail_come_first_and_say_since_when() {
    let house = House::new().await;
    house.register("aaa").await;
    house.ended("job-1", b"fine\n").await;
    for id in ["job-2", "job-3"] {
        let job = house.running(id).await;
        fail(&house, &job).await;
    }
    let html = browser("GET", "/").answer(&house).await.text();
    let (failing, never_ran) = (html.find(">build</a>").unwrap(), html.find(">aaa</a>").unwrap());
    assert!(failing < never_ran && html.contains("red since #2") && html.contains("never ran"), "{html}");
    assert!(html.contains("last 3 runs, median 24ms, 2 failed"), "the bars in words: {html}");
    let html = browser("GET", "/pipelines/build").answer(&house).await.text();
    assert!(html.contains("red since</strong> <a href=\"/pipelines/build/2\">#2</a>"), "{html}");
    assert!(html.contains("passed 33 % of 3"), "{html}");
}

#[tokio::test]
async fn a_run_is_started_by_its_form_and_said_to_be_once() {
    let house = House::new().await;
    let asked = browser("GET", "/pipelines/build/run").answer(&house).await.text();
    assert!(asked.contains("<option selected>staging</option><option>prod</option>"), "{asked}");
    assert!(asked.contains("&#60;b&#62;target&#60;/b&#62;") && asked.contains("type=\"checkbox\""), "{asked}");
    let sent = form("/pipelines/build/run", "ref=&p.target=prod&p.n=3").answer(&house).await;
    assert_eq!((sent.status, sent.header("location")), (303, Some("/pipelines/build/1")), "{}", sent.text());
    let cookie = sent.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let there = browser("GET", "/pipelines/build/1").header("Cookie", &cookie).answer(&house).await;
    assert!(there.text().contains("role=\"status\">#1 was started.") && there.text().contains("target=prod"));
    assert!(there.text().contains("force=false"), "a box without a tick is not sent");
    assert!(there.header("set-cookie").unwrap().starts_with("danube_done=;"), "it is said once");
}

#[tokio::test]
async fn a_wrong_value_brings_the_form_back_with_what_was_typed() {
    let house = House::new().await;
    let sent = form("/pipelines/build/run", "ref=fix%2Fa&p.n=7&p.bad=1").answer(&house).await;
    let html = sent.text();
    assert_eq!(sent.status, 422, "{html}");
    assert!(html.contains("<title>Error: run build") && html.contains("there is no parameter `bad`"), "{html}");
    assert!(html.contains("value=\"fix/a\"") && html.contains("value=\"7\""), "{html}");
}

#[tokio::test]
async fn a_run_is_cancelled_and_run_again_from_its_page() {
    let house = House::new().await;
    house.job("job-1").await;
    let done = form("/pipelines/build/1/cancel", "").answer(&house).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/pipelines/build/1")));
    house.ended("job-2", b"fine\n").await;
    let late = form("/pipelines/build/2/cancel", "").answer(&house).await;
    assert!(late.header("set-cookie").unwrap().starts_with("danube_done=over.2;"));
    let again = form("/pipelines/build/2/rerun", "").answer(&house).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/pipelines/build/3")), "{}", again.text());
}

#[tokio::test]
async fn who_may_only_look_is_shown_no_button_and_can_press_none() {
    let house = House::new().await;
    house.ended("job-1", b"fine\n").await;
    let reader = format!("Bearer {}", support::READER);
    let look = |path: &str| Ask::nobody("GET", path).header("Authorization", &reader).header("Accept", "text/html");
    let html = look("/pipelines/build/1").answer(&house).await.text();
    assert!(!html.contains("Run #1 again") && !html.contains("/run"), "{html}");
    assert_eq!(look("/pipelines/build/run").answer(&house).await.status, 403);
    let press = Ask::nobody("POST", "/pipelines/build/1/rerun").header("Authorization", &reader);
    assert_eq!(press.answer(&house).await.status, 403);
}

#[tokio::test]
async fn a_jobs_id_leads_to_its_page() {
    let house = House::new().await;
    house.job("job-1").await;
    let there = browser("GET", "/jobs/job-1").answer(&house).await;
    assert_eq!((there.status, there.header("location")), (308, Some("/pipelines/build/1")));
    assert_eq!(browser("GET", "/jobs/job-9").answer(&house).await.status, 404);
}

#[tokio::test]
async fn what_is_not_there_is_a_page_with_a_way_on() {
    let house = House::new().await;
    for path in ["/pipelines/nothing", "/pipelines/build/77", "/nowhere", "/pipelines/build/compare/1...x"] {
        let page = browser("GET", path).answer(&house).await;
        let html = page.text();
        assert!(page.status == 404 && html.contains("There is nothing here") && html.contains("href=\"/\""), "{html}");
        assert!(html.contains("Request <code>"), "{html}");
    }
}

#[tokio::test]
async fn settings_are_kept_in_a_cookie_and_a_wrong_zone_is_said() {
    let house = House::new().await;
    let kept = form("/account", "theme=dark&zone=UTC&keys=on").answer(&house).await;
    assert_eq!(kept.status, 303);
    let cookies = kept.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let settings = cookies.map(|(_, value)| value).find(|value| value.starts_with("danube_settings=")).unwrap();
    assert!(settings.contains("theme=dark&zone=UTC&keys=on") && settings.contains("HttpOnly"), "{settings}");
    let cookie = settings.split(';').next().unwrap().to_owned();
    let page = browser("GET", "/account").header("Cookie", &cookie).answer(&house).await.text();
    assert!(page.contains("data-theme=\"dark\"") && !page.contains("data-zone=\"browser\""), "{page}");
    let wrong = form("/account", "theme=dark&zone=Mars%2FBase").answer(&house).await;
    assert!(wrong.status == 422 && wrong.text().contains("no such time zone") && wrong.text().contains("Mars/Base"));
}

#[tokio::test]
async fn who_signs_out_is_out() {
    let house = House::new().await;
    let link = house.auth.issue_link();
    let entered = Ask::nobody("GET", &format!("/login?token={link}")).answer(&house).await;
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let with =
        |method: &str, path: &str| Ask::nobody(method, path).header("Cookie", &cookie).header("Accept", "text/html");
    assert_eq!(with("GET", "/").answer(&house).await.status, 200);
    let own = with("POST", "/logout").header("Sec-Fetch-Site", "same-origin").answer(&house).await;
    assert_eq!((own.status, own.header("location")), (303, Some("/login")));
    assert_eq!(with("GET", "/").answer(&house).await.status, 401);
}

#[tokio::test]
async fn a_form_that_another_site_sends_does_nothing() {
    let house = House::new().await;
    house.job("job-1").await;
    let link = house.auth.issue_link();
    let entered = Ask::nobody("GET", &format!("/login?token={link}")).answer(&house).await;
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let ask = Ask::nobody("POST", "/pipelines/build/1/cancel").header("Cookie", &cookie);
    for foreign in [ask.clone(), ask.clone().header("Sec-Fetch-Site", "cross-site"), ask.header("Origin", "null")] {
        assert_eq!(foreign.answer(&house).await.status, 403);
    }
    let html = browser("GET", "/pipelines/build/1").answer(&house).await.text();
    assert!(html.contains("Cancel #1"), "nobody asked for its end: {html}");
}

#[tokio::test]
async fn who_has_not_come_in_reads_how_to() {
    let house = House::new().await;
    let page = Ask::nobody("GET", "/").header("Accept", "text/html,*/*").answer(&house).await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("by a link that can be used once"), "{}", page.text());
    let program = Ask::nobody("GET", "/").answer(&house).await;
    assert_eq!(program.code(), "unauthenticated");
    let door = Ask::nobody("GET", "/login").header("Accept", "text/html").answer(&house).await;
    assert!(door.status == 200 && door.text().contains("danube dev"), "{}", door.text());
}

#[tokio::test]
async fn files_of_the_pages_need_no_login_and_are_only_our_own() {
    let house = House::new().await;
    let door = Ask::nobody("GET", "/login").header("Accept", "text/html").answer(&house).await.text();
    let sheet =
        door.split("href=\"").map(|rest| rest.split('"').next().unwrap()).find(|href| href.ends_with("app.css"));
    let css = Ask::nobody("GET", sheet.unwrap()).answer(&house).await;
    assert_eq!((css.status, css.header("content-type")), (200, Some("text/css; charset=utf-8")));
    for path in ["/static/x/nothing.css", "/static/x/..%2f..%2fCargo.toml", "/static/x/%2fetc%2fpasswd"] {
        assert_eq!(Ask::nobody("GET", path).answer(&house).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn pages_travel_compressed_and_downloads_as_they_are() {
    let house = House::new().await;
    house.ended("job-1", &b"the same again\n".repeat(1000)).await;
    let asked = |path: &str| browser("GET", path).header("Accept-Encoding", "br, gzip");
    let page = asked("/pipelines/build/1").answer(&house).await;
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    let mut html = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&page.body[..]), &mut html).unwrap();
    assert!(
        html.trim_end().ends_with("</html>") && page.body.len() < html.len() / 2,
        "{} of {}",
        page.body.len(),
        html.len()
    );
    let raw = asked("/api/v1/jobs/job-1/steps/1/raw").answer(&house).await;
    assert_eq!((raw.header("content-encoding"), raw.body.len()), (None, 15_000));
}

#[tokio::test]
async fn a_run_of_somebody_else_is_cancelled_only_after_a_question() {
    let house = House::new().await;
    house.running("job-1").await;
    for path in ["/pipelines/build/1", "/queue"] {
        let html = browser("GET", path).answer(&house).await.text();
        assert!(
            html.contains("<a class=\"button\" href=\"/pipelines/build/1/cancel\" data-dialog=\"cancel-job-1\">"),
            "{html}"
        );
        let dialog = &html[html.find("<dialog id=\"cancel-job-1\"").unwrap()..html.find("</dialog>").unwrap()];
        assert!(
            dialog.contains("<bdi>somebody</bdi> started it") && dialog.contains("autofocus>Let it run<"),
            "{dialog}"
        );
        assert!(dialog.contains("<form method=\"post\" action=\"/pipelines/build/1/cancel\">"), "{dialog}");
        let around = html.replace(dialog, "");
        assert!(!around.contains("method=\"post\" action=\"/pipelines/build/1/cancel\""), "{around}");
    }
    let page = browser("GET", "/pipelines/build/1/cancel").answer(&house).await;
    is_a_page("cancel", &page);
    let html = page.text();
    assert!(html.contains("<bdi>somebody</bdi> started it") && html.contains("autofocus>Let it run<"), "{html}");
    assert!(browser("GET", "/pipelines/build/1").answer(&house).await.text().contains(">Cancel #1</a>"), "it goes on");
    let done = form("/pipelines/build/1/cancel", "").answer(&house).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/pipelines/build/1")));
    let own = form("/pipelines/build/run", "p.n=1").answer(&house).await;
    let html = browser("GET", own.header("location").unwrap()).answer(&house).await.text();
    assert!(
        html.contains("<form method=\"post\" action=\"/pipelines/build/2/cancel\"><button>Cancel #2</button>"),
        "{html}"
    );
    assert!(!html.contains("<dialog"), "{html}");
    house.ended("job-3", b"").await;
    let over = browser("GET", "/pipelines/build/3/cancel").answer(&house).await.text();
    assert!(over.contains("It has ended already") && !over.contains("method=\"post\" action=\"/pipelines"), "{over}");
}

#[tokio::test]
async fn a_list_that_is_looked_at_is_told_when_it_is_another_one() {
    let house = House::new().await;
    house.register("other").await;
    let listens = async |path: &str| {
        let html = browser("GET", path).answer(&house).await.text();
        let from = html.find("data-events=\"").expect("it listens") + "data-events=\"".len();
        html[from..from + html[from..].find('"').unwrap()].replace("&#38;", "&").replace("&amp;", "&")
    };
    let (all, of_one, of_other) =
        (listens("/queue").await, listens("/pipelines/build").await, listens("/pipelines/other").await);
    assert_eq!(all, listens("/").await, "both are about all that goes on");
    let mut streams = [Ask::get(&all).events(&house).await, Ask::get(&of_one).events(&house).await];
    let mut other = Ask::get(&of_other).events(&house).await;
    let job = house.job("job-1").await;
    for stream in &mut streams {
        assert_eq!(stream.next().await.expect("a change").name, "changed");
    }
    house.finish(&job).await;
    house.touch(&job);
    for stream in &mut streams {
        assert_eq!(stream.next().await.expect("its end").name, "changed");
    }
    // Who has an old page is told at once; who has a new one, and who looks at another pipeline, is not.
    assert_eq!(Ask::get(&all).events(&house).await.next().await.expect("it has changed").name, "changed");
    let mut fresh = Ask::get(&listens("/queue").await).events(&house).await;
    let long = std::time::Duration::from_millis(1500);
    assert!(tokio::time::timeout(long, fresh.next()).await.is_err(), "nothing has changed");
    assert!(tokio::time::timeout(long, other.next()).await.is_err(), "it is another pipeline's run");
}
