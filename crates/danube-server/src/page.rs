//! The plain page, until there is an interface: pipelines, the last jobs, their logs. No scripts; every text is escaped.

use std::fmt::{self, Write as _};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use danube_store::jobs::{self, Filter};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::api::jobs::with_queue;
use crate::api::pipelines::{self, Pipeline};
use crate::context::Ctx;
use crate::model::Job;
use crate::problem::{Code, Problem};

/// Jobs on the page.
const JOBS: u32 = 30;
const STYLE: &str = include_str!("page.css");

/// A text as HTML, within an element or a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

pub(crate) async fn home(State(ctx): State<Ctx>) -> Result<Response, Problem> {
    let pipelines = pipelines::all(&ctx).await?;
    let rows = jobs::page(ctx.store().read(), &Filter::default(), JOBS).await?;
    let jobs = with_queue(&ctx, rows).await?;
    let mut html = String::new();
    // Writing to memory cannot fail.
    let _ = write_home(&mut html, &pipelines, &jobs);
    let mut response = document("Danube", &html).into_response();
    dress(response.headers_mut());
    Ok(response)
}

/// A problem as a page.
pub(crate) fn problem(problem: &Problem, request_id: &str) -> String {
    let mut html = String::new();
    let advice = match problem.code {
        Code::Unauthenticated => "<p>Open the link that Danube printed when it started.</p>",
        _ => "",
    };
    let _ = write!(
        html,
        "<p>{}</p>{advice}<p class=\"quiet\">Request {}</p>",
        Escaped(&problem.message),
        Escaped(request_id)
    );
    document("Danube", &html)
}

/// The headers of a page: nothing runs in it, nothing is loaded from elsewhere.
pub(crate) fn dress(headers: &mut HeaderMap) {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<header><h1>{title}</h1></header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

fn write_home(html: &mut String, pipelines: &[Pipeline], jobs: &[Job]) -> fmt::Result {
    html.push_str("<h2>Pipelines</h2>\n");
    if pipelines.is_empty() {
        html.push_str("<p>There are none yet.</p>\n");
    }
    html.push_str("<ul class=\"pipelines\">\n");
    pipelines.iter().try_for_each(|pipeline| write_pipeline(html, pipeline))?;
    html.push_str("</ul>\n<h2>Jobs</h2>\n");
    if jobs.is_empty() {
        html.push_str("<p>There are none yet: <code>danube trigger PIPELINE</code> starts one.</p>\n");
    }
    html.push_str("<ol class=\"jobs\">\n");
    jobs.iter().try_for_each(|job| write_job(html, job))?;
    html.push_str("</ol>\n");
    Ok(())
}

fn write_pipeline(html: &mut String, pipeline: &Pipeline) -> fmt::Result {
    let Pipeline { name, dir, entry_point, counts, .. } = pipeline;
    writeln!(
        html,
        "<li><strong>{}</strong> <span class=\"quiet\">{} in {}</span> <span>{} running, {} waiting</span></li>",
        Escaped(name),
        Escaped(entry_point),
        Escaped(dir),
        counts.running,
        counts.waiting
    )
}

fn write_job(html: &mut String, job: &Job) -> fmt::Result {
    let at = Timestamp::from_millisecond(job.created_ms).unwrap_or(Timestamp::MIN).strftime("%Y-%m-%d %H:%M UTC");
    let (id, status) = (Escaped(&job.id), Escaped(&job.status));
    writeln!(
        html,
        "<li><span class=\"status {status}\">{status}</span> <strong>{} #{}</strong> <time>{at}</time> \
         <a href=\"/api/v1/jobs/{id}/log.txt\">log</a> <a href=\"/api/v1/jobs/{id}\">details</a>{}</li>",
        Escaped(&job.pipeline),
        job.number,
        Note(job)
    )
}

/// Why a job did not succeed, or waits.
struct Note<'a>(&'a Job);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.0.reason.as_ref().map(|reason| &reason.message);
        let words = reason.or(self.0.waiting.as_ref().map(|waiting| &waiting.reason));
        words.map_or(Ok(()), |words| write!(f, "<p>{}</p>", Escaped(words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_markup() {
        let escaped = Escaped("<script>alert('x') & \"y\"</script>").to_string();
        assert_eq!(escaped, "&lt;script&gt;alert(&#39;x&#39;) &amp; &quot;y&quot;&lt;/script&gt;");
    }
}
