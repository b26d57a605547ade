//! A file to begin with: every key, commented out, with what holds without it.

use std::fmt::Write;

use super::keys::{KEYS, Key, TABLES};

/// Longer comments are broken.
const WIDTH: usize = 100;

/// The text of the file. It says nothing but the defaults.
#[must_use]
pub fn starter() -> String {
    let mut text = String::from(
        "# What this Danube must know before it can read its configuration repository; everything else is there.\n\
         # A line that is commented out shows what holds without it, or an example.\n",
    );
    of_table(&mut text, "");
    for (table, about) in TABLES {
        text.push('\n');
        comment(&mut text, about);
        let _ = writeln!(text, "[{table}]");
        of_table(&mut text, table);
    }
    text
}

fn of_table(text: &mut String, table: &str) {
    for key in KEYS.iter().filter(|key| key.table == table) {
        text.push('\n');
        comment(text, &about(key));
        let _ = writeln!(text, "#{} = {}", key.name, key.default.unwrap_or(key.example));
    }
}

fn about(key: &Key) -> String {
    let meaning = key.meaning.replace('`', "");
    match key.default {
        Some(_) => meaning,
        None => format!("{meaning} Without it: {}.", key.otherwise.replace('`', "")),
    }
}

/// Writes words as comments, in lines that fit.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "{line}");
}
