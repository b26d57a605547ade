//! The static metadata of a danubefile (`docs/danubefile.md`): parsed, never executed.
//!
//! Reading order: [`source`] turns bytes into text with lines, [`depth`] refuses what would nest too deep, [`names`]
//! finds what the file calls Danube's things, [`pipeline`] reads the decorator by the table in [`keywords`], and
//! [`uses`] collects the images of the steps.

mod depth;
mod keywords;
mod literal;
mod names;
mod param;
mod pipeline;
mod quantity;
mod report;
mod source;
mod trigger;
mod uses;

use std::thread;

use ruff_python_ast::{ModModule, PythonVersion};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::Ranged;

pub use self::keywords::{KEYWORDS, Keyword};
pub use self::param::{Param, ParamError, ParamType, ParamValue, resolve as resolve_params};
pub use self::pipeline::{Arch, Danubefile, DeclaredImage};
pub use self::trigger::Trigger;
pub use self::uses::{ImageUse, UsedImage};

pub(crate) use self::quantity::{parse_cpu_millis, parse_duration, parse_size};

use self::report::Report;
use crate::diagnostic::{Diagnostics, shown};
use crate::text::Text;

/// A longer file is refused unread.
pub const LONGEST_FILE: usize = 1024 * 1024;

/// A file so broken that the parser stumbles from line to line is shown by its first few errors.
const MOST_SYNTAX_ERRORS: usize = 5;

/// Reserved, not used: dropping and walking a tree recurse, and [`depth`] keeps both far below this.
const STACK: usize = 64 * 1024 * 1024;

/// Reads a danubefile's metadata. `path_shown` names the file in errors; every mistake is told at once.
///
/// # Errors
/// All mistakes of the file, each with its line and what would be right.
pub fn read(path_shown: &str, source: &[u8]) -> Result<Danubefile, Diagnostics> {
    let source = source::decode(path_shown, source)?;
    // A thread of its own, because its stack is ours to choose and a parser that panics ends only it.
    let outcome = thread::scope(|scope| {
        let reader = thread::Builder::new().name("danubefile".into()).stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || read_source(&source)).map_err(|error| error.to_string())?;
        reader.join().map_err(|_| "the parser gave up; the file is at fault or the parser is".to_owned())
    });
    outcome.unwrap_or_else(|why| Err(Diagnostics::unread(path_shown, &why)))
}

fn read_source(source: &Text) -> Result<Danubefile, Diagnostics> {
    depth::check(source)?;
    let options = ParseOptions::from(Mode::Module).with_target_version(PythonVersion::PY314);
    let parsed = ruff_python_parser::parse_unchecked(&source.text, options);
    let Some(module) = parsed.try_into_module() else {
        return Err(Diagnostics::unread(&source.path, "it is not a Python module"));
    };
    let mut report = Report::new(source);
    syntax_errors(&module, &mut report);
    report.into_result(())?;
    let mut report = Report::new(source);
    let file = pipeline::read(&module.syntax().body, &mut report);
    report.into_result(file)?.ok_or_else(|| Diagnostics::unread(&source.path, "it has no pipeline"))
}

/// Syntax errors, one per line: the parser goes on after the first, and often stumbles over the same thing again.
fn syntax_errors(module: &Parsed<ModModule>, report: &mut Report<'_>) {
    let broken = module.errors().iter().map(|error| (error.range(), error.error.to_string()));
    let newer = module.unsupported_syntax_errors().iter().map(|error| (error.range(), error.to_string()));
    let mut last_line = 0;
    for (range, message) in broken.chain(newer).take(MOST_SYNTAX_ERRORS) {
        let line = report.source.position(range.start().to_usize()).0;
        if line != last_line {
            report.at(range, format!("this is not valid Python: {}", shown_sentence(&message)), None);
        }
        last_line = line;
    }
}

/// The parser's words, which may quote the file.
fn shown_sentence(message: &str) -> String {
    message.lines().map(shown).collect::<Vec<_>>().join(" ")
}
