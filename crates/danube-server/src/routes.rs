//! Every route, with the permission that it asks for and what it takes and gives. The router and the API's description
//! are both made from this table, so neither can have what the other has not.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::api::{artifacts, events, health, jobs, login, logs, pipelines, search, summaries, test_reports};
use crate::context::Ctx;
use crate::model::{Job, JobDetail};
use crate::permission::Permission::{self, Admin, Public, Read, Write};
use crate::{assets, openapi, pages};

/// What every route about one attempt may be asked.
const ATTEMPT: (&str, &str) = ("attempt", "Of this attempt; of the newest one if not given");

/// A route.
pub(crate) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub permission: Permission,
    pub summary: &'static str,
    /// Name and meaning.
    pub query: &'static [(&'static str, &'static str)],
    pub takes: Option<Kind>,
    pub gives: Gives,
    pub handler: MethodRouter<Ctx>,
}

/// A thing of the API, for its description.
#[derive(Clone)]
pub(crate) struct Kind {
    pub name: String,
    pub schema: RefOr<Schema>,
    /// Those that it is made from.
    pub parts: Vec<(String, RefOr<Schema>)>,
}

/// What a route gives when all is well.
#[derive(Clone)]
pub(crate) struct Gives {
    pub status: u16,
    pub media: &'static str,
    /// None for what is no JSON.
    pub kind: Option<Kind>,
}

/// What a thing looks like.
fn kind<T: ToSchema>() -> Kind {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    Kind { name: T::name().into_owned(), schema: T::schema(), parts }
}

fn get<H, T>(path: &'static str, permission: Permission, handler: H) -> Route
where
    H: Handler<T, Ctx>,
    T: 'static,
{
    Route::new("get", path, permission, on(MethodFilter::GET, handler))
}

fn post<H, T>(path: &'static str, permission: Permission, handler: H) -> Route
where
    H: Handler<T, Ctx>,
    T: 'static,
{
    Route::new("post", path, permission, on(MethodFilter::POST, handler))
}

impl Route {
    fn new(method: &'static str, path: &'static str, permission: Permission, handler: MethodRouter<Ctx>) -> Self {
        let gives = Gives { status: 200, media: "application/json", kind: None };
        Self { method, path, permission, summary: "", query: &[], takes: None, gives, handler }
    }

    fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn asks(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    fn takes<T: ToSchema>(self) -> Self {
        Self { takes: Some(kind::<T>()), ..self }
    }

    fn gives<T: ToSchema>(self, status: u16) -> Self {
        Self { gives: Gives { status, media: "application/json", kind: Some(kind::<T>()) }, ..self }
    }

    fn gives_bytes(self, status: u16, media: &'static str) -> Self {
        Self { gives: Gives { status, media, kind: None }, ..self }
    }
}

/// The whole table.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = api_routes();
    routes.extend(page_routes());
    routes
}

/// What programs ask.
pub(crate) fn api_routes() -> Vec<Route> {
    let mut routes = public_routes();
    routes.extend(pipeline_routes());
    routes.extend(job_routes());
    routes.extend(log_routes());
    routes.extend(artifact_routes());
    routes.extend(report_routes());
    routes
}

/// What people look at, and their forms. Those of configuration, approvals, audit and provenance have their places here.
pub(crate) fn page_routes() -> Vec<Route> {
    vec![
        get("/", Read, pages::home::show),
        get("/welcome", Read, pages::system::welcome),
        get("/queue", Read, pages::queue::show),
        get("/events", Read, pages::live::stream),
        get("/search", Read, pages::search::show),
        get("/system", Read, pages::system::show),
        get("/account", Read, pages::account::show),
        post("/account", Read, pages::account::keep),
        post("/logout", Read, pages::account::log_out),
        get("/pipelines/{name}", Read, pages::pipeline::show),
        get("/pipelines/{name}/run", Write, pages::run::show),
        post("/pipelines/{name}/run", Write, pages::run::start),
        get("/pipelines/{name}/tests", Read, pages::reports::history),
        get("/pipelines/{name}/compare", Read, pages::compare::choose),
        get("/pipelines/{name}/compare/{pair}", Read, pages::compare::show),
        get("/pipelines/{name}/{number}", Read, pages::job::show),
        get("/pipelines/{name}/{number}/cancel", Write, pages::cancel::ask),
        post("/pipelines/{name}/{number}/cancel", Write, pages::cancel::cancel),
        post("/pipelines/{name}/{number}/rerun", Write, pages::job::rerun),
        get("/pipelines/{name}/{number}/log", Read, pages::log::show),
        get("/pipelines/{name}/{number}/log/lines", Read, pages::log::lines),
        get("/pipelines/{name}/{number}/log/hits", Read, pages::log::hits),
        get("/pipelines/{name}/{number}/log.txt", Read, pages::log::text),
        get("/pipelines/{name}/{number}/events", Read, pages::log::stream),
        get("/pipelines/{name}/{number}/summary", Read, pages::log::summary),
        get("/pipelines/{name}/{number}/tests", Read, pages::reports::show),
        get("/pipelines/{name}/{number}/artifacts", Read, pages::artifacts::show),
        get("/jobs/{id}", Read, pages::job::by_id),
        get("/login", Public, login::login),
        get("/static/{set}/{name}", Public, assets::get),
    ]
}

fn public_routes() -> Vec<Route> {
    vec![
        post("/api/v1/login-links", Admin, login::issue)
            .says("Makes a link that lets one browser in, once, within 10 minutes")
            .gives::<login::NewLink>(201),
        get("/health", Public, health::health).says("The server answers").gives::<health::Health>(200),
        get("/health/ready", Public, health::ready)
            .says("Whether every part is well; 503 when one is not")
            .gives::<health::Readiness>(200),
        get("/openapi.json", Read, openapi::serve).says("This description").gives_bytes(200, "application/json"),
    ]
}

fn pipeline_routes() -> Vec<Route> {
    vec![
        get("/api/v1/pipelines", Read, pipelines::list).says("Every pipeline").gives::<pipelines::Pipelines>(200),
        get("/api/v1/pipelines/{name}", Read, pipelines::get).says("One pipeline").gives::<pipelines::Pipeline>(200),
        post("/api/v1/pipelines/{name}/jobs", Write, jobs::create)
            .says("Starts a job")
            .takes::<jobs::NewJob>()
            .gives::<Job>(201),
    ]
}

fn job_routes() -> Vec<Route> {
    vec![
        get("/api/v1/jobs", Read, jobs::list)
            .says("Jobs, newest first")
            .asks(&[
                ("pipeline", "Of this pipeline only"),
                ("status", "With this status only"),
                ("before", "Older than this job only: the `next` of the page before"),
                ("limit", "From 1 to 200; 50 if not given"),
            ])
            .gives::<jobs::JobPage>(200),
        get("/api/v1/jobs/{id}", Read, jobs::get)
            .says("One job with its steps and attempts; `latest` is the newest job")
            .asks(&[ATTEMPT])
            .gives::<JobDetail>(200),
        post("/api/v1/jobs/{id}/cancel", Write, jobs::cancel).says("Asks for a job's end").gives::<Job>(202),
        post("/api/v1/jobs/{id}/rerun", Write, jobs::rerun)
            .says("Starts a job with the inputs of this one")
            .gives::<Job>(201),
    ]
}

fn log_routes() -> Vec<Route> {
    vec![
        get("/api/v1/jobs/{id}/log.txt", Read, logs::text)
            .says("The job's output as text, step after step")
            .asks(&[ATTEMPT])
            .gives_bytes(200, "text/plain"),
        get("/api/v1/jobs/{id}/steps/{n}/raw", Read, logs::raw)
            .says("The exact bytes of a step's output, secrets hidden; takes Range")
            .asks(&[ATTEMPT])
            .gives_bytes(200, "application/octet-stream"),
        get("/api/v1/jobs/{id}/steps/{n}/lines", Read, logs::lines)
            .says("Lines of a step's output")
            .asks(&[("from", "The first line's number; 0 if not given"), ("count", "At most 1000"), ATTEMPT])
            .gives::<logs::Lines>(200),
        get("/api/v1/jobs/{id}/search", Read, search::search)
            .says("Lines of the job that have a text, in whatever case")
            .asks(&[("q", "The text"), ("limit", "From 1 to 1000; 100 if not given"), ATTEMPT])
            .gives::<search::Matches>(200),
        get("/api/v1/jobs/{id}/events", Read, events::stream)
            .says("The job's live stream; Last-Event-ID goes on where it stopped")
            .asks(&[("after", "The id of an event: go on after it")])
            .gives_bytes(200, "text/event-stream"),
    ]
}

fn artifact_routes() -> Vec<Route> {
    vec![
        get("/api/v1/jobs/{id}/artifacts", Read, artifacts::list)
            .says("The job's artifacts")
            .asks(&[ATTEMPT])
            .gives::<artifacts::Artifacts>(200),
        get("/api/v1/jobs/{id}/artifacts/{*name}", Read, artifacts::get)
            .says("An artifact's bytes; takes Range")
            .asks(&[("format", "`tar`: everything below this folder as one archive"), ATTEMPT])
            .gives_bytes(200, "application/octet-stream"),
    ]
}

fn report_routes() -> Vec<Route> {
    vec![
        get("/api/v1/jobs/{id}/tests", Read, test_reports::list)
            .says("What the job's tests said, failures first")
            .asks(&[
                ("status", "`passed`, `failed`, `error`, `skipped` or `flaky` only"),
                ("failures", "`true`: only what failed or could not be carried out"),
                ("report", "Of the report with this number only"),
                ("q", "With this in the name of suite, class or test only, in whatever case"),
                ("after", "Behind this place: the `next` of the page before"),
                ("limit", "From 1 to 1000; 100 if not given"),
                ATTEMPT,
            ])
            .gives::<test_reports::Tests>(200),
        get("/api/v1/jobs/{id}/tests/{case}", Read, test_reports::get)
            .says("All about one test")
            .asks(&[ATTEMPT])
            .gives::<test_reports::CaseDetail>(200),
        get("/api/v1/jobs/{id}/summaries", Read, summaries::text)
            .says("What the danubefile wrote for people, as Markdown")
            .asks(&[ATTEMPT])
            .gives_bytes(200, "text/markdown"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_change_things_are_not_for_who_only_looks() {
        let open_to_all: Vec<_> = page_routes().into_iter().filter(|route| route.permission == Public).collect();
        assert_eq!(open_to_all.iter().map(|route| route.path).collect::<Vec<_>>(), ["/login", "/static/{set}/{name}"]);
        for route in page_routes().into_iter().filter(|route| route.method == "post") {
            // Of oneself everybody may decide.
            let own = ["/account", "/logout"].contains(&route.path);
            assert_eq!(route.permission, if own { Read } else { Write }, "{}", route.path);
        }
    }
}
