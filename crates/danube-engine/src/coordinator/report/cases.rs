//! The cases of a report's files as they are written: masked, and no more of them than an attempt may keep.

use std::fs::File;
use std::io::{BufReader, Seek};

use danube_core::mask::MaskSet;
use danube_core::report::Counts;
use danube_store::reports::NewCase;
use tokio::sync::mpsc;

use crate::junit::{Case, Junit, Short, XmlError};

/// Cases that are written at once: whoever else writes waits so long.
const BATCH: usize = 250;
/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;
/// Stands where a text was cut.
const CUT: &str = "…";

/// Why no more is read.
pub enum Stop {
    /// The file is no report.
    Xml(XmlError),
    /// The attempt keeps as many cases as it may.
    TooMany,
    /// Nobody takes what is read.
    Unwanted,
}

impl From<XmlError> for Stop {
    fn from(error: XmlError) -> Self {
        Self::Xml(error)
    }
}

/// A report that is being read, file by file.
pub struct Reading {
    masks: MaskSet,
    counts: Counts,
    microseconds: u64,
    /// So many more cases may be kept.
    cases_left: u64,
    /// So many more bytes of messages and details may be kept.
    words_left: usize,
}

impl Reading {
    /// Nothing is read yet.
    pub fn new(masks: MaskSet, cases_left: u64, words_left: usize) -> Self {
        Self { masks, counts: Counts::default(), microseconds: 0, cases_left, words_left }
    }

    /// How many cases were read.
    pub fn cases(&self) -> u32 {
        u32::try_from(self.counts.tests()).unwrap_or(u32::MAX)
    }

    /// What was read.
    pub const fn counts(&self) -> Counts {
        Counts { duration_ms: self.microseconds / 1000, ..self.counts }
    }

    /// Reads a file and gives away its cases in order. It blocks.
    pub fn file(&mut self, mut file: File, batches: &mpsc::Sender<Vec<NewCase>>) -> Result<(), Stop> {
        file.rewind().map_err(XmlError::from)?;
        let mut junit = Junit::new(BufReader::with_capacity(BUFFER, file))?;
        let mut batch = Vec::new();
        while let Some(case) = junit.next()? {
            batch.push(self.case(case)?);
            if batch.len() == BATCH {
                batches.blocking_send(std::mem::take(&mut batch)).map_err(|_| Stop::Unwanted)?;
            }
        }
        if !batch.is_empty() {
            batches.blocking_send(batch).map_err(|_| Stop::Unwanted)?;
        }
        Ok(())
    }

    fn case(&mut self, case: Case) -> Result<NewCase, Stop> {
        self.cases_left = self.cases_left.checked_sub(1).ok_or(Stop::TooMany)?;
        self.counts.note(case.status);
        self.microseconds = self.microseconds.saturating_add(case.duration_us.unwrap_or(0));
        Ok(NewCase {
            suite: self.masked(&case.suite, CUT),
            class: self.masked(&case.class, CUT),
            name: self.masked(&case.name, CUT),
            status: case.status,
            duration_ms: case.duration_us.map(|us| us / 1000),
            message: self.words(case.message, CUT),
            details: self.words(case.details, "\n… (cut here)"),
        })
    }

    /// Nothing of a secret that was cut in two may stay.
    fn masked(&self, short: &Short, cut: &str) -> String {
        if short.cut { self.masks.mask_beginning(&short.text) + cut } else { self.masks.mask_text(&short.text) }
    }

    fn words(&mut self, words: Option<Short>, cut: &str) -> Option<String> {
        let words = self.masked(&words?, cut);
        self.words_left = self.words_left.checked_sub(words.len())?;
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use danube_core::mask::SecretValue;

    use super::*;

    fn read(xml: &str, mut reading: Reading) -> (Result<(), Stop>, Vec<NewCase>, Reading) {
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, xml.as_bytes()).expect("written");
        let (sender, mut batches) = mpsc::channel(1000);
        let ended = reading.file(file, &sender);
        let cases = std::iter::from_fn(|| batches.try_recv().ok()).flatten().collect();
        (ended, cases, reading)
    }

    #[test]
    fn a_secret_is_nowhere_also_where_a_text_was_cut_within_it() {
        let secret = "correct & horse <battery>";
        let masks = MaskSet::new(&[SecretValue::new("S", secret.as_bytes())]).expect("masks");
        let written = "correct &amp; horse &lt;battery&gt;";
        for before in (0..30).chain(1000..1030).chain(4076..4100).chain(65_516..65_540) {
            let text = "x".repeat(before) + written;
            let xml = format!(
                "<testsuite name='{text}'><testcase classname='{text}' name='{text}'><failure message='{text}'>{text}
                 </failure></testcase></testsuite>"
            );
            let (ended, cases, _) = read(&xml, Reading::new(masks.clone(), 9, 1 << 20));
            assert!(ended.is_ok() && cases.len() == 1);
            let shown = format!("{cases:?}");
            assert!(!shown.contains("co") && !shown.contains("battery"), "{before}: {shown}");
        }
    }

    #[test]
    fn only_so_many_words_and_cases_are_kept() {
        let case = "<testcase name='a' time='0.0004'><failure message='12345'>1234567</failure></testcase>";
        let xml = format!("<testsuite>{}</testsuite>", case.repeat(600));
        let (ended, cases, reading) = read(&xml, Reading::new(MaskSet::default(), 600, 12 * 3 + 5));
        assert!(ended.is_ok());
        assert_eq!((cases.len(), reading.cases(), reading.counts().duration_ms), (600, 600, 240), "0.4 ms each");
        assert_eq!(cases.iter().filter(|case| case.details.is_some()).count(), 3);
        let (ended, cases, _) = read(&xml, Reading::new(MaskSet::default(), 599, 0));
        assert!(matches!(ended, Err(Stop::TooMany)) && cases.len() == 500);
    }
}
