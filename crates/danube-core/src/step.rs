//! A step, as the SDK asks for it: commands without a shell, names, environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a row of a job's steps is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A command of `step.run`; number 0 is the danubefile itself.
    #[default]
    Step,
    /// A program that runs beside the steps until it is stopped (`service.start`).
    Service,
}

impl StepKind {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Service => "service",
        }
    }

    /// Reads what was stored. What only a newer Danube knows is shown as a step.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text == Self::Service.as_str() { Self::Service } else { Self::Step }
    }
}

/// What every step finds in its environment unless the image or the step says otherwise.
pub const ENV_DEFAULTS: [(&str, &str); 5] =
    [("CI", "true"), ("DANUBE", "true"), ("FORCE_COLOR", "1"), ("CLICOLOR_FORCE", "1"), ("PYTHONUNBUFFERED", "1")];

/// Characters that mean something to a shell wherever they stand unquoted.
const SPECIAL: &[char] = &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', ']', '{', '}', '\n'];
/// Characters that mean something to a shell at the start of a word.
const SPECIAL_FIRST: &[char] = &['~', '#'];
/// Words that a shell runs itself: no image has a program of that name that would do the same.
const BUILTINS: &[&str] = &[
    "!", ".", ":", "alias", "case", "cd", "eval", "exec", "exit", "export", "for", "if", "local", "read", "readonly",
    "return", "set", "shift", "source", "trap", "ulimit", "umask", "unset", "until", "wait", "while",
];
/// A step's name is at most this long.
const LONGEST_NAME: usize = 80;

/// A command that only a shell can run, for an image that has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, and the image has no shell; run one program directly with the list form: {list_form}")]
pub struct ShellSyntax {
    /// The character or word that needs a shell.
    pub found: String,
    /// What is wrong, in words.
    pub why: String,
    /// The command as a list, as far as it was read.
    pub list_form: String,
}

/// Why a variable cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A shell could not read it.
    #[error("`{0}` is not a name for an environment variable: use letters, digits and `_`, not starting with a digit")]
    Name(String),
    /// The kernel would cut it off.
    #[error("the environment variable `{0}` has a NUL byte in its value; put binary data into a file")]
    Nul(String),
}

/// Splits a command into words as a shell would, if it needs nothing else of a shell.
///
/// # Errors
/// What needs a shell, with the list form of what came before it.
pub fn split_plain(command: &str) -> Result<Vec<String>, ShellSyntax> {
    let mut splitter = Splitter { rest: command.trim(), words: Vec::new(), word: None };
    match splitter.run() {
        Ok(()) => Ok(splitter.words),
        Err((found, why)) => Err(ShellSyntax { found, why, list_form: list_form(&splitter.words) }),
    }
}

/// What was found, and why it cannot stand.
type Found = (String, String);

struct Splitter<'c> {
    rest: &'c str,
    words: Vec<String>,
    /// The word being read; some, but empty, after `''`.
    word: Option<String>,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), Found> {
        while let Some(c) = self.next() {
            match c {
                ' ' | '\t' => self.end_word()?,
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => self.escaped(),
                c if SPECIAL.contains(&c) || (self.word.is_none() && SPECIAL_FIRST.contains(&c)) => {
                    return Err(needs(c));
                }
                '=' if self.is_assignment() => return Err(needs('=')),
                c => self.push(c),
            }
        }
        self.end_word()?;
        if self.words.is_empty() { Err((String::new(), "the command is empty".into())) } else { Ok(()) }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    /// `NAME=value` before the program is a shell's way to set a variable.
    fn is_assignment(&self) -> bool {
        self.words.is_empty() && self.word.as_deref().is_some_and(is_env_name)
    }

    fn end_word(&mut self) -> Result<(), Found> {
        let Some(word) = self.word.take() else { return Ok(()) };
        if self.words.is_empty() && BUILTINS.contains(&word.as_str()) {
            let why = format!("`{word}` is a command of the shell itself");
            return Err((word, why));
        }
        self.words.push(word);
        Ok(())
    }

    /// Outside of quotes a backslash takes the next character as it is, and a line end away.
    fn escaped(&mut self) {
        match self.next() {
            Some('\n') => {}
            Some(c) => self.push(c),
            None => self.push('\\'),
        }
    }

    fn single_quoted(&mut self) -> Result<(), Found> {
        let (quoted, rest) = self.rest.split_once('\'').ok_or_else(|| unclosed('\''))?;
        self.word.get_or_insert_default().push_str(quoted);
        self.rest = rest;
        Ok(())
    }

    fn double_quoted(&mut self) -> Result<(), Found> {
        self.word.get_or_insert_default();
        loop {
            match self.next().ok_or_else(|| unclosed('"'))? {
                '"' => return Ok(()),
                c @ ('$' | '`') => return Err(needs(c)),
                '\\' => self.escaped_in_quotes()?,
                c => self.push(c),
            }
        }
    }

    /// Between double quotes a backslash escapes only what would mean something there.
    fn escaped_in_quotes(&mut self) -> Result<(), Found> {
        match self.next().ok_or_else(|| unclosed('"'))? {
            '\n' => {}
            c @ ('$' | '`' | '"' | '\\') => self.push(c),
            c => self.word.get_or_insert_default().extend(['\\', c]),
        }
        Ok(())
    }
}

fn needs(c: char) -> Found {
    let why = match c {
        '\n' => "a second line needs a shell".to_owned(),
        '=' => "a variable before the program needs a shell (or `env=`)".to_owned(),
        c => format!("`{c}` needs a shell"),
    };
    (c.to_string(), why)
}

fn unclosed(quote: char) -> Found {
    (quote.to_string(), format!("the quote {quote} is not closed"))
}

/// `step.run(["kaniko", "--context=/workspace"])`.
fn list_form(words: &[String]) -> String {
    if words.is_empty() {
        return "step.run([\"program\", \"argument\"])".to_owned();
    }
    let words: Vec<String> = words.iter().map(|word| python_string(word)).collect();
    format!("step.run([{}])", words.join(", "))
}

fn python_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The name of a step that has none: its script's first telling line.
#[must_use]
pub fn name_of_script(script: &str) -> String {
    let telling = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set ");
    let mut lines = script.lines().map(str::trim).filter(telling);
    let first = lines.next().unwrap_or("empty script");
    shortened(first, lines.next().is_some())
}

/// The name of a step that has none: its words.
#[must_use]
pub fn name_of_words(words: &[String]) -> String {
    let quoted = |word: &String| match word.contains(char::is_whitespace) || word.is_empty() {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    shortened(&words.iter().map(quoted).collect::<Vec<_>>().join(" "), false)
}

/// One line of at most 80 characters.
fn shortened(text: &str, more: bool) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut name: String = line.chars().take(LONGEST_NAME).collect();
    if more || line.chars().nth(LONGEST_NAME).is_some() {
        name = name.chars().take(LONGEST_NAME - 2).collect::<String>().trim_end().to_owned() + " …";
    }
    name
}

/// A step's environment: what it says, over [`ENV_DEFAULTS`].
///
/// # Errors
/// The first name or value that cannot be set.
pub fn environment(own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, EnvError> {
    own.iter().try_for_each(|(name, value)| check_env(name, value))?;
    let mut all: BTreeMap<String, String> =
        ENV_DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(all)
}

fn check_env(name: &str, value: &str) -> Result<(), EnvError> {
    if !is_env_name(name) {
        return Err(EnvError::Name(name.chars().take(LONGEST_NAME).collect::<String>().escape_debug().to_string()));
    }
    if value.contains('\0') { Err(EnvError::Nul(name.to_owned())) } else { Ok(()) }
}

/// Whether a shell can read a variable of this name.
#[must_use]
pub fn is_env_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(command: &str) -> Vec<String> {
        split_plain(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    #[test]
    fn a_plain_command_becomes_its_words() {
        assert_eq!(
            split("  /kaniko/executor --context=/workspace\t-v "),
            ["/kaniko/executor", "--context=/workspace", "-v"]
        );
        assert_eq!(split(r#"echo 'a  b' "c 'd'" e\ f '' x"y"z"#), ["echo", "a  b", "c 'd'", "e f", "", "xyz"]);
        assert_eq!(
            split(r#"printf "\$5 \"q\" \n" '$HOME' \* a#b file~ a=b"#),
            ["printf", r#"$5 "q" \n"#, "$HOME", "*", "a#b", "file~", "a=b"]
        );
        assert_eq!(split("make \\\n  test"), ["make", "test"]);
        assert_eq!(split("./a=b --c=d"), ["./a=b", "--c=d"]);
    }

    #[test]
    fn what_needs_a_shell_is_found_unquoted_only() {
        for special in SPECIAL.iter().map(char::to_string) {
            let error = split_plain(&format!("run a{special}b")).expect_err(&special);
            assert_eq!(error.found, special);
            assert_eq!(split(&format!("run 'a{special}b'")), ["run".to_owned(), format!("a{special}b")]);
        }
        for (command, found) in [
            ("ls ~", "~"),
            ("ls # all", "#"),
            ("A=b make", "="),
            ("cd src", "cd"),
            ("! true", "!"),
            ("echo \"$HOME\"", "$"),
            ("echo 'open", "'"),
            ("echo \"open", "\""),
            ("", ""),
            ("   ", ""),
            ("if true", "if"),
            ("export", "export"),
        ] {
            assert_eq!(split_plain(command).expect_err(command).found, found, "{command}");
        }
    }

    #[test]
    fn the_error_shows_the_list_form() {
        let error = split_plain("kaniko --context=/workspace && echo \"done\"").expect_err("needs a shell");
        assert_eq!(
            error.to_string(),
            "`&` needs a shell, and the image has no shell; run one program directly with the list form: \
             step.run([\"kaniko\", \"--context=/workspace\"])"
        );
        assert_eq!(split_plain("cd src").expect_err("builtin").list_form, "step.run([\"program\", \"argument\"])");
    }

    #[test]
    fn a_step_without_a_name_is_called_by_what_it_does() {
        assert_eq!(name_of_script("make test"), "make test");
        assert_eq!(name_of_script("\n# build\nset -x\n  make\tall\nmake test\n"), "make all …");
        assert_eq!(name_of_script(""), "empty script");
        assert_eq!(name_of_script(&"é".repeat(200)).chars().count(), LONGEST_NAME);
        assert_eq!(name_of_words(&["sh".into(), "-c".into(), "a b".into(), String::new()]), "sh -c 'a b' ''");
        assert!(!name_of_script("\x1b[2Jx").contains('\x1b'));
    }

    #[test]
    fn a_steps_own_environment_wins() {
        let own = BTreeMap::from([("CI".to_owned(), "0".to_owned()), ("A_1".to_owned(), String::new())]);
        let all = environment(&own).expect("valid");
        assert_eq!((all["CI"].as_str(), all["DANUBE"].as_str(), all.len()), ("0", "true", 6));
    }

    #[test]
    fn a_variable_no_shell_can_read_is_refused() {
        for bad in ["", "1A", "A-B", "A=B", "A B", "É", "A\0"] {
            let own = BTreeMap::from([(bad.to_owned(), String::new())]);
            assert!(matches!(environment(&own), Err(EnvError::Name(_))), "{bad:?}");
        }
        let own = BTreeMap::from([("A".to_owned(), "x\0y".to_owned())]);
        assert_eq!(environment(&own), Err(EnvError::Nul("A".into())));
    }
}
