//! Finds the decorated function and reads its decorator.

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::egress::EgressRule;
use danube_core::runtime::Resources;
use ruff_python_ast::statement_visitor::{StatementVisitor, walk_stmt};
use ruff_python_ast::{Arguments, Decorator, Expr, Keyword as Argument, Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};
use serde::Serialize;

use super::keywords::KEYWORDS;
use super::literal::{Literal, mistakes};
use super::names::Names;
use super::param::Param;
use super::report::{Report, Wrong};
use super::trigger::Trigger;
use super::uses::{self, ImageUse};
use crate::diagnostic::shown;
use crate::nearest::nearest;

const EXAMPLE: &str = "for example:\n\n    from danube import pipeline, step\n\n    @pipeline(name=\"tests\")\n    def tests():\n        step.run(\"make test\")\n";

/// What a danubefile says about itself without being run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Danubefile {
    /// The pipeline's name; the function's unless given.
    pub name: String,
    /// The function that the runner calls.
    pub function: String,
    /// The line of its decorator.
    pub line: usize,
    /// The default image, as written.
    pub image: Option<String>,
    /// Further images to start with the job.
    pub images: Vec<DeclaredImage>,
    /// What starts a job.
    pub triggers: Vec<Trigger>,
    /// Parameters by name.
    pub params: BTreeMap<String, Param>,
    /// How long the job may take.
    pub timeout: Option<Duration>,
    /// How long `finally` may take after a cancel or timeout.
    pub cleanup_timeout: Duration,
    /// Limits of each container that has none of its own.
    pub resources: Resources,
    /// The processor that the job needs.
    pub arch: Option<Arch>,
    /// The only names that steps may reach.
    pub egress: Option<Vec<EgressRule>>,
    /// Tries after a failure of infrastructure, where it says how many.
    pub retries: Option<u32>,
    /// Of the jobs with the same one, one runs at a time; `{branch}` stands for the branch.
    pub concurrency: Option<String>,
    /// A newer job cancels those of its group also when they run.
    pub cancel_superseded: bool,
    /// Images and limits of the steps and services in the file, in its order.
    pub uses: Vec<ImageUse>,
}

/// An image of `images=`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeclaredImage {
    /// As written.
    pub image: String,
    /// Its container's limits.
    pub resources: Resources,
}

/// A processor architecture, as OCI names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// A `@pipeline` and what it stands on.
struct Found<'a> {
    decorator: &'a Decorator,
    /// None for a class.
    function: Option<&'a StmtFunctionDef>,
}

/// Reads the metadata; nothing when a mistake was noted that leaves none.
pub(super) fn read(body: &[Stmt], report: &mut Report<'_>) -> Option<Danubefile> {
    let names = Names::of(body);
    let mut finder = Finder { names: &names, found: Vec::new() };
    finder.visit_body(body);
    let [found] = finder.found.as_slice() else {
        not_one(&finder.found, body, &names, report);
        return None;
    };
    let top_level = body.iter().any(|stmt| matches!(stmt, Stmt::FunctionDef(at) if Some(at) == found.function));
    let function = report.take(callable(found, top_level))?;
    let mut file = defaults(function, report.source.position(found.decorator.start().to_usize()).0);
    file.uses = uses::collect(body, &names, report);
    if let Expr::Call(call) = &found.decorator.expression {
        arguments(&call.arguments, &mut file, report);
    }
    // Parameters that could not be read would be told as missing.
    if report.is_clean() {
        function_arguments(function, &file, report);
    }
    Some(file)
}

fn defaults(function: &StmtFunctionDef, line: usize) -> Danubefile {
    Danubefile {
        name: function.name.as_str().to_owned(),
        function: function.name.as_str().to_owned(),
        line,
        image: None,
        images: Vec::new(),
        triggers: Vec::new(),
        params: BTreeMap::new(),
        timeout: None,
        cleanup_timeout: Duration::from_secs(60),
        resources: Resources::default(),
        arch: None,
        egress: None,
        retries: None,
        concurrency: None,
        cancel_superseded: false,
        uses: Vec::new(),
    }
}

/// Every use of the decorator, wherever it stands.
struct Finder<'n, 'a> {
    names: &'n Names,
    found: Vec<Found<'a>>,
}

impl<'a> Finder<'_, 'a> {
    fn look(&mut self, decorators: &'a [Decorator], function: Option<&'a StmtFunctionDef>) {
        for decorator in decorators {
            let callee = match &decorator.expression {
                Expr::Call(call) => &call.func,
                other => other,
            };
            if self.names.resolve(callee).is_some_and(|path| path == ["pipeline"]) {
                self.found.push(Found { decorator, function });
            }
        }
    }
}

impl<'a> StatementVisitor<'a> for Finder<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => self.look(&function.decorator_list, Some(function)),
            Stmt::ClassDef(class) => self.look(&class.decorator_list, None),
            _ => {}
        }
        walk_stmt(self, stmt);
    }
}

/// There is no pipeline, or more than one.
fn not_one(found: &[Found<'_>], body: &[Stmt], names: &Names, report: &mut Report<'_>) {
    for extra in found.iter().skip(1) {
        let first = report.source.position(found[0].decorator.start().to_usize()).0;
        let message = format!("a danubefile has one `@pipeline`; the first is on line {first}");
        report.at(extra.decorator.range, message, Some("keep one, and make plain functions of the others".into()));
    }
    if !found.is_empty() {
        return;
    }
    match unimported(body) {
        Some(decorator) if !names.any() => report.at(
            decorator.range,
            "`pipeline` is not imported".into(),
            Some("add `from danube import pipeline, step` at the top".into()),
        ),
        _ => report.missing("no function is decorated with `@pipeline`", EXAMPLE),
    }
}

/// A decorator that looks like ours in a file that does not import it.
fn unimported(body: &[Stmt]) -> Option<&Decorator> {
    let looks = |decorator: &&Decorator| match &decorator.expression {
        Expr::Call(call) => matches!(&*call.func, Expr::Name(name) if name.id.as_str() == "pipeline"),
        Expr::Name(name) => name.id.as_str() == "pipeline",
        _ => false,
    };
    body.iter().filter_map(Stmt::as_function_def_stmt).flat_map(|function| &function.decorator_list).find(looks)
}

/// The function, if the runner can call it.
fn callable<'a>(found: &Found<'a>, top_level: bool) -> Result<&'a StmtFunctionDef, Wrong> {
    let place = found.decorator.range;
    let Some(function) = found.function else {
        return Err(Wrong::new(place, "`@pipeline` must decorate a function, not a class", "write `def`"));
    };
    if !top_level {
        let help = "move the function to the top level of the file, outside of `if`, `class` and other functions";
        return Err(Wrong::new(place, "`@pipeline` must decorate a function at the top level of the file", help));
    }
    if function.is_async {
        return Err(Wrong::new(
            function.name.range,
            "the pipeline's function must not be `async`",
            "write `def`; for steps at the same time there is `step.parallel`",
        ));
    }
    Ok(function)
}

/// Every argument without a default must be a parameter of the pipeline: the runner gives those by name, and no others.
fn function_arguments(function: &StmtFunctionDef, file: &Danubefile, report: &mut Report<'_>) {
    let by_position = function.parameters.posonlyargs.iter().map(|argument| (argument, true));
    let by_name =
        function.parameters.args.iter().chain(&function.parameters.kwonlyargs).map(|argument| (argument, false));
    for (argument, positional) in by_position.chain(by_name).filter(|(argument, _)| argument.default.is_none()) {
        let name = shown(argument.name().as_str());
        if positional {
            let message = format!("the argument `{name}` is given by name");
            report.wrong(Wrong::new(argument.range(), message, "remove the `/`"));
        } else if !file.params.contains_key(argument.name().as_str()) {
            let message = format!("the pipeline has no parameter `{name}` to give to its function");
            let help = format!(
                "add it to the decorator, for example params={{\"{name}\": \"default\"}}, or give the argument a default"
            );
            report.wrong(Wrong::new(argument.range(), message, help));
        }
    }
}

fn arguments(arguments: &Arguments, file: &mut Danubefile, report: &mut Report<'_>) {
    for positional in &arguments.args {
        report.wrong(Wrong::new(
            positional.range(),
            "`@pipeline` takes keywords only",
            "for example @pipeline(name=\"tests\")",
        ));
    }
    for argument in &arguments.keywords {
        keyword(argument, file, report);
    }
    // A group that could not be read would be told as missing.
    if report.is_clean() && file.cancel_superseded && file.concurrency.is_none() {
        let message = "`cancel_superseded` needs a group within which jobs give way";
        report.wrong(Wrong::new(arguments.range, message, "add it, for example concurrency=\"tests-{branch}\""));
    }
}

fn keyword(argument: &Argument, file: &mut Danubefile, report: &mut Report<'_>) {
    let Some(name) = &argument.arg else {
        let message = "`**` cannot be read without running the file";
        report.wrong(Wrong::new(argument.range, message, "write the keywords themselves"));
        return;
    };
    let Some(keyword) = KEYWORDS.iter().find(|keyword| keyword.name == name.as_str()) else {
        report.wrong(unknown(name.as_str(), name.range));
        return;
    };
    match Literal::of(&argument.value) {
        Ok(value) => keyword.set(file, &value, report),
        Err(_) => mistakes(&argument.value).into_iter().for_each(|wrong| report.wrong(wrong)),
    }
}

fn unknown(name: &str, range: TextRange) -> Wrong {
    let known = KEYWORDS.iter().map(|keyword| keyword.name);
    let help = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.collect::<Vec<_>>().join(", ")),
    };
    Wrong::new(range, format!("`@pipeline` has no keyword `{}`", shown(name)), help)
}
