//! Places in a text, as compilers and test runners write them (`src/date.test.ts:41`), and where the forge shows them: at
//! the commit that ran, and only files that the commit has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use danube_engine::snapshot::Origin;
use danube_store::jobs::JobRow;
use regex::Regex;

use crate::context::Ctx;
use crate::pages::link;

/// Files that are looked for at most.
const MOST: usize = 50;
/// A file's name with an ending, and a line. A job has its files below `/workspace`.
static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    let place = r"(?:\./|/workspace/)?((?:[\w@+.-]+/)*[\w@+.-]*\w\.\w+):(\d{1,7})";
    Regex::new(place).expect("the pattern is well formed")
});

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    /// Where the forge shows what it names.
    pub place: Option<String>,
}

/// What the places of a run's texts lead to. Empty where nothing is known of a forge.
#[derive(Clone, Debug, Default)]
pub(super) struct Forge {
    /// What stands before a file's name, by the file as it is named.
    files: BTreeMap<String, String>,
}

impl Forge {
    /// Looks for all files that these texts name.
    pub async fn of<'a>(ctx: &Ctx, row: &JobRow, texts: impl Iterator<Item = &'a str>) -> Self {
        let Some(commit) = row.source_sha.as_ref().filter(|_| !row.source_dirty) else { return Self::default() };
        let mut files: Vec<String> = texts.flat_map(places).map(|(_, file, _)| file).collect();
        files.sort();
        files.dedup();
        files.truncate(MOST);
        if files.is_empty() {
            return Self::default();
        }
        match ctx.master.origin(&row.pipeline, commit.clone(), files).await {
            Ok(origin) => origin.map_or_else(Self::default, |origin| Self::at(&origin, commit)),
            Err(error) => {
                tracing::debug!(%error, pipeline = row.pipeline, "where its commit came from cannot be asked");
                Self::default()
            }
        }
    }

    fn at(origin: &Origin, commit: &str) -> Self {
        let Some(before) = address(&origin.url, commit) else { return Self::default() };
        let at = |(named, file): (&String, &String)| {
            let parts: Vec<_> = file.split('/').map(link::segment).collect();
            (named.clone(), format!("{before}/{}", parts.join("/")))
        };
        Self { files: origin.files.iter().map(at).collect() }
    }

    /// A text in pieces.
    pub fn pieces(&self, text: &str) -> Vec<Piece> {
        let (mut pieces, mut done) = (Vec::new(), 0);
        for (range, file, line) in places(text) {
            let Some(address) = self.files.get(&file) else { continue };
            pieces.push(Piece { text: text[done..range.start].to_owned(), place: None });
            pieces.push(Piece { text: text[range.clone()].to_owned(), place: Some(format!("{address}#L{line}")) });
            done = range.end;
        }
        pieces.push(Piece { text: text[done..].to_owned(), place: None });
        pieces
    }
}

/// The places that a text names: where, the file, the line.
fn places(text: &str) -> Vec<(Range<usize>, String, u32)> {
    let place = |found: regex::Captures<'_>| {
        let (all, file, line) = (found.get(0)?, found.get(1)?, found.get(2)?.as_str().parse().ok()?);
        let before = text[..all.start()].chars().next_back();
        let is_part = before.is_some_and(|c| c.is_alphanumeric() || "_/:.@+-\\".contains(c));
        let climbs = file.as_str().split('/').any(|part| part == "..");
        (!is_part && !climbs).then(|| (all.range(), file.as_str().to_owned(), line))
    };
    PLACE.captures_iter(text).filter_map(place).collect()
}

/// What stands before a file's name in the address of its page. The kind of a forge is told by its host's name; where that
/// tells nothing there is no link, for none is better than one that leads nowhere.
fn address(repository: &str, commit: &str) -> Option<String> {
    let (scheme, host, path) = parts(repository)?;
    let labels: Vec<_> = host.split(['.', ':']).collect();
    let named = |names: &[&str]| labels.iter().any(|label| names.contains(label));
    let way = match () {
        () if named(&["github"]) => "blob",
        () if named(&["gitlab"]) => "-/blob",
        () if named(&["gitea", "forgejo", "codeberg"]) => "src/commit",
        () => return None,
    };
    let mut address = format!("{scheme}://{host}");
    for part in path.split('/') {
        // Writing to memory cannot fail.
        let _ = write!(address, "/{}", link::segment(part));
    }
    Some(format!("{address}/{way}/{}", link::segment(commit)))
}

/// Scheme, host and path of a repository's page. Names and passwords before the host are dropped.
fn parts(repository: &str) -> Option<(&'static str, String, String)> {
    let (scheme, rest) = match repository.split_once("://") {
        Some(("https", rest)) => ("https", rest),
        Some(("http", rest)) => ("http", rest),
        Some(("ssh", rest)) => ("https", rest),
        Some(_) => return None,
        None => ("https", repository),
    };
    let has_scheme = repository.contains("://");
    // `git@host:team/web.git`; a path of this machine has a slash before its colon, or no colon.
    let (authority, path) = if has_scheme { rest.split_once('/')? } else { rest.split_once(':')? };
    let host = authority.rsplit('@').next()?;
    // The port of SSH is none of the pages'.
    let host = if repository.starts_with("ssh://") { host.split(':').next()? } else { host };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    let is_plain = host.chars().all(is_host) && path.split('/').all(|part| !["", ".", ".."].contains(&part));
    (!host.is_empty() && is_plain && path.contains('/')).then(|| (scheme, host.to_ascii_lowercase(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_repository_on_each_kind_of_forge() {
        let at = |repository: &str| address(repository, "4f2a");
        let known = [
            ("https://github.example/team/web.git", "https://github.example/team/web/blob/4f2a"),
            ("https://me:secret@github.example/team/web", "https://github.example/team/web/blob/4f2a"),
            ("git@gitlab.example:team/part/web.git", "https://gitlab.example/team/part/web/-/blob/4f2a"),
            ("ssh://git@gitlab.example:2222/team/web.git", "https://gitlab.example/team/web/-/blob/4f2a"),
            ("http://gitea.example:3000/team/web.git/", "http://gitea.example:3000/team/web/src/commit/4f2a"),
        ];
        for (repository, page) in known {
            assert_eq!(at(repository).as_deref(), Some(page), "{repository}");
        }
        let unknown = ["/srv/github/web.git", "file:///srv/github/web", "https://git.example/team/web", "../github/x"];
        for repository in
            unknown.into_iter().chain(["https://github.example/", "javascript://github/a/b", "C:/github/a"])
        {
            assert_eq!(at(repository), None, "{repository}");
        }
    }

    #[test]
    fn places_are_found_as_tools_write_them() {
        let found =
            |text: &str| places(text).into_iter().map(|(_, file, line)| format!("{file} {line}")).collect::<Vec<_>>();
        assert_eq!(found("  at Object.<anonymous> (src/date.test.ts:41:7)"), ["src/date.test.ts 41"]);
        assert_eq!(found("--> ./src/main.rs:12:5"), ["src/main.rs 12"]);
        assert_eq!(found("/workspace/a/b.py:3: error, and c.py:4"), ["a/b.py 3", "c.py 4"]);
        assert_eq!(found("../up.py:1 /etc/other.conf:2 https://host.example/page.html:80 12:30:59 v1.2"), [""; 0]);
    }

    #[test]
    fn only_files_that_the_commit_has_become_links() {
        let files =
            [("src/a b.rs".to_owned(), "web/src/a b.rs".to_owned()), ("c.rs".to_owned(), "web/c.rs".to_owned())];
        let origin = Origin { url: "git@github.example:team/x.git".into(), files: files.into() };
        let pieces = Forge::at(&origin, "4f2a").pieces("see c.rs:7, not d.rs:8");
        let links: Vec<_> = pieces.iter().filter_map(|piece| piece.place.as_deref()).collect();
        assert_eq!(links, ["https://github.example/team/x/blob/4f2a/web/c.rs#L7"]);
        assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), "see c.rs:7, not d.rs:8");
        assert_eq!(Forge::default().pieces("c.rs:7").len(), 1);
    }
}
