//! Prints the lines of its input that match a glob: `glob-lite PATTERN`.

use std::io::{self, BufRead};
use std::process::ExitCode;

use glob_lite::Glob;

fn main() -> ExitCode {
    let Some(pattern) = std::env::args().nth(1) else {
        eprintln!("usage: glob-lite PATTERN < PATHS");
        return ExitCode::from(2);
    };
    let glob = match Glob::new(&pattern) {
        Ok(glob) => glob,
        Err(error) => {
            eprintln!("glob-lite: {pattern}: {error}");
            return ExitCode::from(2);
        }
    };
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if glob.matches(&line) {
            println!("{line}");
        }
    }
    ExitCode::SUCCESS
}
