//! Classes of characters: `[a-z_]`, `[!0-9]`.

/// A class of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// First and last of each range.
    pub(crate) ranges: Vec<(char, char)>,
    /// Whether it is the characters outside of the ranges.
    pub(crate) negated: bool,
}

impl Class {
    /// Whether a character is in the class.
    pub(crate) fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negated_class_has_everything_else() {
        let class = Class { ranges: vec![('0', '9')], negated: true };
        assert!(class.contains('a') && !class.contains('5'));
    }
}
