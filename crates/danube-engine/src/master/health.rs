//! Which parts of the master are well, each in words when it is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A part and what ails it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What ails it, in words; nothing when it is well.
    pub ill: Option<String>,
}

/// What is known of every part. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl Health {
    /// Notes that a part is well.
    pub fn well(&self, name: &'static str) {
        self.note(name, None);
    }

    /// Notes what ails a part.
    pub fn ill(&self, name: &'static str, words: impl ToString) {
        self.note(name, Some(words.to_string()));
    }

    /// Every part, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, ill)| Part { name, ill: ill.clone() }).collect()
    }

    fn note(&self, name: &'static str, ill: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, ill);
    }
}
