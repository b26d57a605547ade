//! `/pipelines/{name}/{number}/artifacts`: the files that a run kept.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::artifacts::{self, ArtifactRow};

use super::job::{RunPath, Wanted, crumbs, find};
use super::shell::{Crumb, Shell, Tab};
use super::visitor::Visitor;
use super::{job_page, link};
use crate::api::jobs::attempt_of;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

struct Row {
    name: String,
    href: String,
    size: String,
    sha256: String,
    short: String,
}

#[derive(Template)]
#[template(path = "artifacts.html")]
struct Artifacts {
    shell: Shell,
    name: String,
    number: i64,
    rows: Vec<Row>,
    folders: Vec<(String, String)>,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let attempt = attempt_of(&row, wanted.attempt)?;
    let kept = artifacts::list(ctx.store().read(), &attempt).await?;
    let shell = Shell::new(&ctx, &visitor, format!("Artifacts of {name} #{number}"), Tab::Pipelines).await?;
    let base = format!("/api/v1/jobs/{}/artifacts", row.id);
    job_page(&Artifacts {
        shell: shell.under(crumbs(&name, number)).under([Crumb::new("Artifacts", "")]),
        folders: folders(&base, attempt.number, &kept),
        rows: kept.into_iter().map(|kept| Row::new(&base, attempt.number, kept)).collect(),
        name,
        number,
    })
}

impl Row {
    fn new(base: &str, attempt: u32, row: ArtifactRow) -> Self {
        let sha256 = hex::encode(&row.sha256);
        let href = format!("{base}/{}?attempt={attempt}", path(&row.name));
        Self { href, size: size(row.size), short: sha256.chars().take(12).collect(), sha256, name: row.name }
    }
}

/// The outermost folders, each as one archive.
fn folders(base: &str, attempt: u32, kept: &[ArtifactRow]) -> Vec<(String, String)> {
    let outermost = kept.iter().filter_map(|row| row.name.split_once('/')).map(|(folder, _)| folder);
    let folders: BTreeSet<&str> = outermost.collect();
    folders
        .into_iter()
        .map(|name| (name.to_owned(), format!("{base}/{}?attempt={attempt}&format=tar", path(name))))
        .collect()
}

fn path(name: &str) -> String {
    name.split('/').map(link::segment).collect::<Vec<_>>().join("/")
}

/// Bytes in a unit that leaves few digits.
fn size(bytes: i64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567, 9_876_543_210].map(size), ["0 B", "999 B", "1.0 kB", "1.2 MB", "9.9 GB"]);
    }

    #[test]
    fn a_name_keeps_its_folders_and_nothing_else() {
        assert_eq!(path("dist/a b?#.tar"), "dist/a%20b%3F%23.tar");
    }
}
