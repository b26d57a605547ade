//! Colours of the terminal view, and how wide it may write.

use std::io::IsTerminal;

/// What a piece of text is.
#[derive(Clone, Copy)]
pub enum Tone {
    /// What only some look for.
    Dim,
    /// Headings.
    Bold,
    /// What went well.
    Good,
    /// What failed.
    Bad,
    /// What is worth a look.
    Note,
    /// What belongs to the step of this number: neighbours differ.
    Step(u32),
}

/// Colours that tell parallel steps apart; green, red and yellow say how a step ended.
const STEP_COLORS: [&str; 4] = ["36", "35", "34", "96"];

/// How text is painted.
#[derive(Clone, Copy)]
pub struct Paint {
    /// Whether there are colours at all.
    pub colors: bool,
}

impl Paint {
    /// The text in its colour.
    pub fn text(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colors || text.is_empty() => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Note => "33",
            Tone::Step(number) => STEP_COLORS[number as usize % STEP_COLORS.len()],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Columns of the terminal on stdout; none where nobody watches.
pub fn columns() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    // A terminal that does not know its size says 0.
    Some(if size.ws_col == 0 { 80 } else { usize::from(size.ws_col) })
}
