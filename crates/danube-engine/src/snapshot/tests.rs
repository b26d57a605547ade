//! Snapshots of real checkouts.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;

fn git(dir: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").arg("-C").arg(dir).args(identity).args(arguments).output().expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("temporary folder");
        for name in ["checkout", "workspace", "source"] {
            fs::create_dir(root.path().join(name)).expect("folder");
        }
        Self { root }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("checkout").join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("folders");
        fs::write(path, text).expect("file");
    }

    fn commit(&self) -> String {
        git(&self.path("checkout"), &["init", "-q"]);
        git(&self.path("checkout"), &["add", "-A"]);
        git(&self.path("checkout"), &["commit", "-qm", "first"]);
        git(&self.path("checkout"), &["rev-parse", "HEAD"])
    }

    fn take(&self, clean: bool) -> Result<Snapshot, SnapshotError> {
        self.take_at(clean.then_some("HEAD"))
    }

    fn take_at(&self, commit: Option<&str>) -> Result<Snapshot, SnapshotError> {
        self.take_with(commit, Objects::Borrowed)
    }

    fn take_with(&self, commit: Option<&str>, objects: Objects) -> Result<Snapshot, SnapshotError> {
        let (dir, workspace, source) = (self.path("checkout"), self.path("workspace"), self.path("source"));
        take(
            &Request { dir: &dir, commit, workspace: &workspace, source: &source, title: false, objects },
            &|_, _, _| {},
        )
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root.path().join(name)).ok()
    }
}

#[test]
fn changed_and_untracked_files_come_along_and_ignored_ones_do_not() {
    let place = Place::new();
    place.write("danubefile.py", "one");
    place.write(".gitignore", "target\n");
    let commit = place.commit();
    place.write("danubefile.py", "two");
    place.write("lib/new.py", "new");
    place.write("target/big", "x");
    let snapshot = place.take(false).expect("snapshot");
    assert_eq!((snapshot.commit, snapshot.branch, snapshot.dirty), (Some(commit), Some("main".into()), true));
    assert_eq!(place.read("workspace/danubefile.py").as_deref(), Some("two"));
    assert_eq!(place.read("workspace/lib/new.py").as_deref(), Some("new"));
    assert_eq!(place.read("workspace/target/big"), None);
    assert_eq!(place.read("source/lib/new.py").as_deref(), Some("new"));
    assert_eq!(place.read("source/.gitignore"), None, "only modules are importable");
}

#[test]
fn clean_is_the_commit_and_nothing_else() {
    let place = Place::new();
    place.write("danubefile.py", "one");
    place.commit();
    place.write("danubefile.py", "two");
    place.write("untracked.py", "x");
    let snapshot = place.take(true).expect("snapshot");
    assert!(!snapshot.dirty);
    assert_eq!(place.read("workspace/danubefile.py").as_deref(), Some("one"));
    assert_eq!(place.read("source/danubefile.py").as_deref(), Some("one"));
    assert_eq!(place.read("workspace/untracked.py"), None);
    assert_eq!(place.read("workspace/.danube-index"), None);
}

#[test]
fn an_older_commit_is_taken_as_if_it_were_checked_out() {
    let place = Place::new();
    place.write("danubefile.py", "one");
    place.write("gone.py", "old");
    let first = place.commit();
    let dir = place.path("checkout");
    git(&dir, &["branch", "release"]);
    place.write("danubefile.py", "two");
    fs::remove_file(dir.join("gone.py")).expect("removed");
    place.commit();
    for (reference, branch) in [("release", Some("release")), (first.as_str(), None), ("HEAD~1", None)] {
        assert_eq!(read(&dir, reference, Path::new("danubefile.py")).expect("a file"), b"one");
        for folder in ["workspace", "source"] {
            fs::remove_dir_all(place.path(folder)).expect("removed");
            fs::create_dir(place.path(folder)).expect("folder");
        }
        let snapshot = place.take_at(Some(reference)).expect("snapshot");
        assert_eq!((snapshot.commit.as_ref(), snapshot.branch.as_deref()), (Some(&first), branch), "{reference}");
        assert_eq!(place.read("workspace/gone.py").as_deref(), Some("old"));
        assert_eq!(place.read("source/danubefile.py").as_deref(), Some("one"));
        let workspace = place.path("workspace");
        let objects = snapshot.objects.expect("objects");
        fs::write(workspace.join(".git/objects/info/alternates"), format!("{}\n", objects.display())).expect("written");
        assert_eq!(git(&workspace, &["rev-parse", "HEAD"]), first);
        assert_eq!(git(&workspace, &["status", "--porcelain"]), "", "{reference}");
    }
    for wrong in ["nowhere", "--all", "HEAD:danubefile.py", ""] {
        let refused = place.take_at(Some(wrong)).expect_err("refused");
        assert!(matches!(refused, SnapshotError::NoReference { .. }), "{wrong}: {refused}");
    }
}

/// What others would build: neither staged changes nor the want of an index get into it.
#[test]
fn the_head_of_a_bare_repository_and_of_one_with_staged_changes_is_the_commit() {
    let place = Place::new();
    place.write("kept", "committed");
    let sha = place.commit();
    place.write("kept", "staged");
    git(&place.path("checkout"), &["add", "-A"]);
    git(&place.path("checkout"), &["clone", "-q", "--bare", ".", "../bare.git"]);
    for dir in ["checkout", "bare.git"] {
        for folder in ["workspace", "source"] {
            fs::remove_dir_all(place.path(folder)).and_then(|()| fs::create_dir(place.path(folder))).expect("emptied");
        }
        let (from, workspace, source) = (place.path(dir), place.path("workspace"), place.path("source"));
        let request = Request {
            dir: &from,
            commit: Some("HEAD"),
            workspace: &workspace,
            source: &source,
            title: false,
            objects: Objects::Borrowed,
        };
        let snapshot = take(&request, &|_, _, _| {}).expect("taken");
        assert_eq!((snapshot.commit.as_deref(), snapshot.dirty), (Some(sha.as_str()), false), "{dir}");
        assert_eq!(snapshot.branch.as_deref(), Some("main"), "{dir}");
        assert_eq!(place.read("workspace/kept").as_deref(), Some("committed"), "{dir}");
        let objects = snapshot.objects.expect("its objects are shared");
        fs::write(workspace.join(".git/objects/info/alternates"), format!("{}\n", objects.display()))
            .expect("borrowed");
        assert_eq!(git(&workspace, &["status", "--porcelain"]), "", "{dir}");
        assert_eq!(read(&from, "HEAD", Path::new("kept")).expect("read"), b"committed", "{dir}");
    }
}

#[test]
fn the_copy_is_a_checkout_whose_status_is_that_of_the_original() {
    let place = Place::new();
    place.write("a", "one");
    place.write("b", "two");
    let commit = place.commit();
    let url = "https://me:secret@git.example/x";
    git(&place.path("checkout"), &["remote", "add", "origin", url]);
    place.write("b", "changed");
    let snapshot = place.take(false).expect("snapshot");
    let workspace = place.path("workspace");
    // Inside the job the objects are mounted at a fixed place; here the test stands in for the mount.
    let objects = snapshot.objects.expect("objects");
    let alternates = workspace.join(".git/objects/info/alternates");
    assert_eq!(fs::read_to_string(&alternates).expect("alternates"), format!("{OBJECTS}\n"));
    fs::write(&alternates, format!("{}\n", objects.display())).expect("alternates");
    assert_eq!(git(&workspace, &["rev-parse", "HEAD"]), commit);
    assert_eq!(git(&workspace, &["status", "--porcelain"]), "M b");
    assert_eq!(git(&workspace, &["remote", "get-url", "origin"]), "https://git.example/x");
}

#[test]
fn a_commit_came_from_the_origin_once_the_origin_has_it() {
    let place = Place::new();
    place.write("web/src/a.rs", "one");
    place.write("top.rs", "two");
    let commit = place.commit();
    let (checkout, web) = (place.path("checkout"), place.path("checkout/web"));
    let names = ["src/a.rs", "src", "top.rs", "gone.rs"].map(str::to_owned);
    assert_eq!(origin(&web, &commit, &names).expect("asked"), None, "it is a copy of nothing");
    git(&checkout, &["remote", "add", "origin", "git@forge.example:team/web.git"]);
    assert_eq!(origin(&web, &commit, &names).expect("asked"), None, "it was not pushed");
    git(&checkout, &["update-ref", "refs/remotes/origin/main", &commit]);
    let found = origin(&web, &commit, &names).expect("asked").expect("an origin");
    assert_eq!(found.url, "git@forge.example:team/web.git");
    let files = [("src/a.rs".to_owned(), "web/src/a.rs".to_owned())];
    assert_eq!(found.files.into_iter().collect::<Vec<_>>(), files, "files below the folder, and no folder");
    // As `git clone --mirror` makes one.
    let mirror = place.path("mirror.git");
    git(&checkout, &["clone", "--quiet", "--mirror", ".", mirror.to_str().expect("text")]);
    let found = origin(&mirror, &commit, &["top.rs".to_owned()]).expect("asked").expect("an origin");
    assert_eq!(found.files.get("top.rs").map(String::as_str), Some("top.rs"));
}

#[test]
fn a_folder_that_is_no_checkout_is_copied_whole() {
    let place = Place::new();
    place.write("danubefile.py", "x");
    place.write("data/file", "y");
    std::os::unix::fs::symlink("../outside", place.path("checkout").join("link")).expect("link");
    let snapshot = place.take(false).expect("snapshot");
    assert_eq!((snapshot.commit, snapshot.files), (None, 3));
    assert_eq!(place.read("workspace/data/file").as_deref(), Some("y"));
    let link = fs::read_link(place.path("workspace").join("link")).expect("link");
    assert_eq!(link, Path::new("../outside"), "links are copied, not followed");
    assert!(matches!(place.take(true), Err(SnapshotError::NoCommit(_))));
}

#[test]
fn a_folder_within_a_checkout_is_a_workspace_without_git() {
    let place = Place::new();
    place.write("top", "x");
    place.write("examples/python/danubefile.py", "y");
    place.commit();
    let (dir, workspace, source) =
        (place.path("checkout/examples/python"), place.path("workspace"), place.path("source"));
    for clean in [false, true] {
        let commit = clean.then_some("HEAD");
        let objects = Objects::Borrowed;
        let request = Request { dir: &dir, commit, workspace: &workspace, source: &source, title: false, objects };
        let snapshot = take(&request, &|_, _, _| {}).expect("snapshot");
        assert!(snapshot.commit.is_some() && snapshot.objects.is_none() && !snapshot.dirty);
        assert_eq!(place.read("workspace/danubefile.py").as_deref(), Some("y"));
        assert_eq!(place.read("workspace/top"), None);
        fs::remove_dir_all(&workspace).expect("empty");
        fs::create_dir(&workspace).expect("workspace");
        fs::remove_file(source.join("danubefile.py")).expect("empty");
    }
}

#[test]
fn a_workspace_that_travels_has_a_repository_of_its_own_with_the_history_that_was_asked_for() {
    let place = Place::new();
    place.write("a", "1");
    place.commit();
    let checkout = place.path("checkout");
    git(&checkout, &["remote", "add", "origin", "https://me:secret@git.example/x"]);
    git(&checkout, &["tag", "old"]);
    for n in ["2", "3", "4"] {
        place.write("a", n);
        git(&checkout, &["commit", "-qam", n]);
    }
    git(&checkout, &["tag", "v4"]);
    let commit = git(&checkout, &["rev-parse", "HEAD"]);
    let depth = std::num::NonZeroU32::new(2);
    let snapshot = place.take_with(Some("main"), Objects::Own { depth }).expect("snapshot");
    assert_eq!((snapshot.commit, snapshot.objects), (Some(commit.clone()), None));
    // Nothing of this machine is needed any more.
    fs::rename(&checkout, place.path("gone")).expect("moved");
    let workspace = place.path("workspace");
    assert!(!workspace.join(".git/objects/info/alternates").exists());
    git(&workspace, &["fsck", "--strict"]);
    assert_eq!(git(&workspace, &["log", "--format=%s"]), "4\n3");
    assert_eq!(git(&workspace, &["status", "--porcelain", "--branch"]), "## main");
    assert_eq!(git(&workspace, &["rev-parse", "HEAD", "origin/main"]), format!("{commit}\n{commit}"));
    assert_eq!(git(&workspace, &["tag"]), "v4", "tags of commits that are there");
    assert_eq!(git(&workspace, &["remote", "get-url", "origin"]), "https://git.example/x");
    assert_eq!(git(&workspace, &["diff", "--stat", "HEAD~1"]).lines().count(), 2);
}

#[test]
fn a_commit_on_no_branch_travels_too_and_all_of_its_history_when_that_is_wanted() {
    let place = Place::new();
    place.write("a", "1");
    let first = place.commit();
    place.write("a", "2");
    git(&place.path("checkout"), &["commit", "-qam", "second"]);
    let commit = git(&place.path("checkout"), &["rev-parse", "HEAD"]);
    git(&place.path("checkout"), &["reset", "-q", "--hard", &first]);
    let snapshot = place.take_with(Some(&commit), Objects::Own { depth: None }).expect("snapshot");
    assert_eq!((snapshot.commit, snapshot.branch), (Some(commit.clone()), None));
    let workspace = place.path("workspace");
    assert_eq!(git(&workspace, &["rev-parse", "HEAD"]), commit);
    assert_eq!(git(&workspace, &["log", "--format=%s"]), "second\nfirst");
    assert_eq!(git(&workspace, &["status", "--porcelain"]), "");
}

#[test]
fn changes_that_are_in_no_commit_travel_as_changes() {
    let place = Place::new();
    place.write("a", "one");
    place.commit();
    place.write("a", "two");
    place.write("b", "new");
    git(&place.path("checkout"), &["add", "b"]);
    let snapshot = place.take_with(None, Objects::Own { depth: std::num::NonZeroU32::new(1) }).expect("snapshot");
    assert!(snapshot.dirty);
    assert_eq!(git(&place.path("workspace"), &["status", "--porcelain"]), "M a\n?? b");
}

#[test]
fn a_hook_or_monitor_of_the_repository_is_never_started() {
    let place = Place::new();
    place.write("a", "one");
    place.commit();
    let witness = place.path("started");
    let script = format!("touch {}", witness.display());
    git(&place.path("checkout"), &["config", "core.fsmonitor", &script]);
    place.take(false).expect("snapshot");
    assert!(!witness.exists());
}
