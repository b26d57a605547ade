//! Hides secrets in a byte stream.
//!
//! A [`MaskSet`] is every form of a job's secrets, compiled once. A [`Masker`] is one stream's state. It gives out
//! bytes as soon as no secret can begin in them and holds back the rest: the longest suffix that is a proper prefix
//! of a form. So a secret cut in two by a chunk's border is found, and a masker that starts afresh at (consumed −
//! pending) goes on exactly as one that never stopped: nothing but that offset need be remembered over a restart.
//!
//! What is looked for is in [`forms`]; what is not, in docs/logs.md.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, Match, MatchKind, StartKind};

mod forms;
mod skip;

/// What stands in the place of a secret.
pub const REPLACEMENT: &[u8] = b"***";
/// A shorter secret would hide ordinary words, and its own length would tell most of it.
pub const SHORTEST: usize = 8;
/// A longer secret would make the tables too large; it belongs in a file the step fetches itself.
pub const LONGEST: usize = 64 * 1024;
/// Up to so many bytes of forms the search is a table look-up per byte; above, a smaller and slower machine.
const TABLE_BYTES: usize = 16 * 1024;

/// A secret's value with its name. Never printed; overwritten, as far as safe code can, when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue {
    name: String,
    bytes: Vec<u8>,
}

/// Why a secret cannot be hidden.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Too short to be hidden without hiding ordinary text.
    #[error(
        "the secret `{name}` is shorter than {SHORTEST} bytes and cannot be hidden in logs: \
         store a longer value, or make it a plain variable if it is no secret"
    )]
    TooShort {
        /// The secret's name.
        name: String,
    },
    /// Too long for the tables.
    #[error(
        "the secret `{name}` is longer than {LONGEST} bytes and cannot be hidden in logs: \
         store a short key and let the step fetch and decrypt the long value with it"
    )]
    TooLong {
        /// The secret's name.
        name: String,
    },
    /// The tables cannot be built.
    #[error("the secrets cannot be hidden in logs, so the job must not start: {0}; give it fewer or shorter secrets")]
    Tables(String),
}

/// Every form of a set of secrets, ready to be searched for. Cheap to clone.
#[derive(Clone, Default)]
pub struct MaskSet {
    /// None when there is nothing to hide.
    search: Option<Arc<Search>>,
}

/// One stream's masking: at any moment it holds back `pending` bytes of what was pushed.
#[derive(Clone, Default)]
pub struct Masker {
    set: MaskSet,
    held: Vec<u8>,
    hidden: u64,
}

/// The two machines, behind a table that skips most of a text: one finds forms, the other tells how much of a text's end may be the beginning of one.
struct Search {
    skips: skip::Skips,
    finder: AhoCorasick,
    prefixes: NFA,
    /// How many bytes of a form each state of `prefixes` stands for.
    depths: HashMap<StateID, usize>,
    /// Bytes of the longest form, less one: no more than that can be held back.
    longest_prefix: usize,
}

impl SecretValue {
    /// Keeps `bytes` as the secret called `name`.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    /// The secret's name, which is no secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValue({})", self.name)
    }
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        self.bytes.fill(0);
        // Otherwise the compiler may leave out a write that nobody reads.
        std::hint::black_box(&self.bytes);
    }
}

impl fmt::Debug for MaskSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskSet({} forms)", self.search.as_ref().map_or(0, |s| s.finder.patterns_len()))
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({:?}, {} pending)", self.set, self.held.len())
    }
}

impl MaskSet {
    /// Compiles every form of the secrets. A secret that cannot be hidden is refused: the job must not see it.
    pub fn new(secrets: &[SecretValue]) -> Result<Self, MaskError> {
        secrets.iter().try_for_each(check_length)?;
        let mut forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms::of(&secret.bytes)).collect();
        forms.sort();
        forms.dedup();
        if forms.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { search: Some(Arc::new(Search::new(&forms)?)) })
    }

    /// Starts masking a stream.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker { set: self.clone(), ..Masker::default() }
    }

    /// Masks a whole text: a step's name, an error's words, a file's name.
    #[must_use]
    pub fn mask_text(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        let mut masker = self.masker();
        masker.push(text.as_bytes(), &mut out);
        masker.finish(&mut out);
        String::from_utf8(out).unwrap_or_else(|cut| String::from_utf8_lossy(cut.as_bytes()).into_owned())
    }

    /// Masks the beginning of a text that was cut. What may be a secret's beginning at the end of it is left out.
    #[must_use]
    pub fn mask_beginning(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.masker().push(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap_or_else(|cut| String::from_utf8_lossy(cut.as_bytes()).into_owned())
    }
}

fn check_length(secret: &SecretValue) -> Result<(), MaskError> {
    let name = || secret.name.clone();
    match forms::trimmed(&secret.bytes).len() {
        0..SHORTEST => Err(MaskError::TooShort { name: name() }),
        SHORTEST..=LONGEST => Ok(()),
        _ => Err(MaskError::TooLong { name: name() }),
    }
}

impl Masker {
    /// A masker of its own for these secrets. Streams of one job share a [`MaskSet`] instead.
    pub fn new(secrets: &[SecretValue]) -> Result<Self, MaskError> {
        Ok(MaskSet::new(secrets)?.masker())
    }

    /// Takes `input` and appends to `out` what can be given out of everything pushed so far.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(search) = self.set.search.clone() else {
            out.extend_from_slice(&std::mem::take(&mut self.held));
            out.extend_from_slice(input);
            return;
        };
        if self.held.is_empty() {
            let (kept, hidden) = search.mask(input, out);
            self.hidden += hidden;
            self.held.extend_from_slice(&input[kept..]);
        } else {
            self.held.extend_from_slice(input);
            let (kept, hidden) = search.mask(&self.held, out);
            self.hidden += hidden;
            self.held.drain(..kept);
        }
    }

    /// Gives out what was held back: the stream ends here, so no secret can be completed.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.held);
        match &self.set.search {
            // It begins like a form, but a shorter form may stand complete in it.
            Some(search) => self.hidden += search.mask_to_end(&rest, out),
            None => out.extend_from_slice(&rest),
        }
    }

    /// How many times something was hidden.
    #[must_use]
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// How many of the bytes pushed have not been given out.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    /// The bytes pushed and not given out.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether there is nothing to hide, so that bytes may go around the masker.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.set.search.is_none() && self.held.is_empty()
    }

    /// From here on hides the secrets of `set`: a job learnt another secret while the stream ran.
    pub fn adopt(&mut self, set: &MaskSet) {
        self.set = set.clone();
    }
}

impl Search {
    fn new(forms: &[Vec<u8>]) -> Result<Self, MaskError> {
        let tables = |error: aho_corasick::BuildError| MaskError::Tables(error.to_string());
        let bytes: usize = forms.iter().map(Vec::len).sum();
        let kind = if bytes <= TABLE_BYTES { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(kind))
            .start_kind(StartKind::Both)
            .prefilter(false)
            .build(forms)
            .map_err(tables)?;
        let proper: Vec<&[u8]> = forms.iter().map(|form| &form[..form.len() - 1]).collect();
        let prefixes = NFA::builder().match_kind(MatchKind::Standard).build(&proper).map_err(tables)?;
        let depths = depths(&prefixes, &proper);
        Ok(Self {
            skips: skip::Skips::new(forms),
            finder,
            prefixes,
            depths,
            longest_prefix: proper.iter().map(|p| p.len()).max().unwrap_or(0),
        })
    }

    /// Masks what of `text` can be given out, and says how many of its bytes those are, and how often it hid something.
    ///
    /// A match that begins before the open tail is final: a longer or an earlier one would need bytes to come, so it
    /// would begin in the tail.
    fn mask(&self, text: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        let mut tail = self.open_tail(text, 0);
        let (mut done, mut hidden, mut tries) = (0, 0, self.tries(text));
        while let Some(found) = self.find(text, done, &mut tries).filter(|found| found.start() < tail) {
            out.extend_from_slice(&text[done..found.start()]);
            out.extend_from_slice(REPLACEMENT);
            hidden += 1;
            done = found.end();
            if done > tail {
                tail = self.open_tail(text, done);
            }
        }
        out.extend_from_slice(&text[done..tail]);
        (tail, hidden)
    }

    /// Masks all of `text`, which nothing follows, and says how often it hid something.
    fn mask_to_end(&self, text: &[u8], out: &mut Vec<u8>) -> u64 {
        let (mut done, mut hidden, mut tries) = (0, 0, self.tries(text));
        while let Some(found) = self.find(text, done, &mut tries) {
            out.extend_from_slice(&text[done..found.start()]);
            out.extend_from_slice(REPLACEMENT);
            hidden += 1;
            done = found.end();
        }
        out.extend_from_slice(&text[done..]);
        hidden
    }

    /// The first form at or after `from`, and of those that begin there the longest.
    fn find(&self, text: &[u8], from: usize, tries: &mut usize) -> Option<Match> {
        let mut at = from;
        while *tries > 0 {
            at = self.skips.candidate(text, at)?;
            *tries -= 1;
            let here = Input::new(text).range(at..).anchored(Anchored::Yes);
            if let Some(found) = self.finder.find(here) {
                return Some(found);
            }
            at += 1;
        }
        self.finder.find(Input::new(text).range(at..))
    }

    /// How often a form may be looked for at a candidate before the whole rest is searched byte by byte, which is
    /// slower but takes the same time for every text: a step must not slow the master by output made for it.
    fn tries(&self, text: &[u8]) -> usize {
        64 + text.len() / (self.longest_prefix + 1)
    }

    /// Where the longest suffix of `text[from..]` begins that is a proper prefix of a form.
    fn open_tail(&self, text: &[u8], from: usize) -> usize {
        let start = text.len().saturating_sub(self.longest_prefix).max(from);
        let mut state = self.root();
        for &byte in &text[start..] {
            state = self.prefixes.next_state(Anchored::No, state, byte);
        }
        text.len() - self.depths.get(&state).copied().unwrap_or(0)
    }

    fn root(&self) -> StateID {
        root(&self.prefixes)
    }
}

fn root(machine: &NFA) -> StateID {
    machine.start_state(Anchored::No).expect("an unanchored search is what the machine is built for")
}

/// Each state is reached first along some prefix, and stands for it.
fn depths(machine: &NFA, prefixes: &[&[u8]]) -> HashMap<StateID, usize> {
    let mut depths = HashMap::new();
    for prefix in prefixes {
        let mut state = root(machine);
        for (at, &byte) in prefix.iter().enumerate() {
            state = machine.next_state(Anchored::No, state, byte);
            depths.insert(state, at + 1);
        }
    }
    depths
}

#[cfg(test)]
mod tests;
