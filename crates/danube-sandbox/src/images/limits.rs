//! What an image may ask for at most. Each limit is there because somebody's tar asks for more.

use serde::{Deserialize, Serialize};

use super::error::{ImageError, Result};

/// The environment variable that sets [`Limits::bytes`].
pub const BYTES_SETTING: &str = "DANUBE_IMAGE_MAX_BYTES";
/// The environment variable that sets [`Limits::entries`].
pub const ENTRIES_SETTING: &str = "DANUBE_IMAGE_MAX_ENTRIES";
/// The environment variable that sets [`Limits::ratio`].
pub const RATIO_SETTING: &str = "DANUBE_IMAGE_MAX_RATIO";

/// Caps on one image. The first three can be raised by the environment, the others are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of all layers after decompression.
    pub bytes: u64,
    /// Entries of all layers together.
    pub entries: u64,
    /// How many times larger than its blob a layer may become, once it is past [`Limits::ratio_from`].
    pub ratio: u64,
    /// Below this many decompressed bytes of a layer the ratio does not count.
    pub ratio_from: u64,
    /// Layers.
    pub layers: usize,
    /// Bytes of one entry's path.
    pub path_bytes: usize,
    /// Directories above one entry, also after links were followed.
    pub depth: usize,
    /// Bytes of one extended header (PAX records, a GNU long name).
    pub header_bytes: u64,
    /// Data regions of one sparse file.
    pub sparse_regions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 32 << 30,
            entries: 2_000_000,
            ratio: 500,
            ratio_from: 1 << 30,
            layers: 256,
            path_bytes: 4096,
            depth: 200,
            header_bytes: 1 << 20,
            sparse_regions: 100_000,
        }
    }
}

impl Limits {
    /// The defaults, as the environment changes them.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut limits = Self::default();
        let settings = [
            (BYTES_SETTING, &mut limits.bytes),
            (ENTRIES_SETTING, &mut limits.entries),
            (RATIO_SETTING, &mut limits.ratio),
        ];
        for (name, limit) in settings {
            let Some(value) = lookup(name) else { continue };
            *limit = match value.parse() {
                Ok(number) if number > 0 => number,
                _ => return Err(ImageError::Setting { name, value }),
            };
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_raises_a_limit_and_a_wrong_value_is_named() {
        let raised = Limits::from_lookup(|name| (name == BYTES_SETTING).then(|| "99".to_owned())).unwrap();
        assert_eq!(raised, Limits { bytes: 99, ..Limits::default() });
        for wrong in ["0", "-1", "many", ""] {
            let error = Limits::from_lookup(|name| (name == RATIO_SETTING).then(|| wrong.to_owned())).unwrap_err();
            assert!(error.to_string().contains(RATIO_SETTING), "{error}");
        }
    }
}
