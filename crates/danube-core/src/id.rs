//! Identifiers. Each is its own type, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// A step id is not 32 lower-case hexadecimal digits.
    #[error("a step id is 32 lower-case hexadecimal digits")]
    StepId,
    /// A job id has characters that cannot stand in a file name.
    #[error("a job id is 1 to 64 characters of a-z, 0-9 and -")]
    JobId,
    /// A container name has characters that cannot stand in a pod.
    #[error("a container name is 1 to 63 characters of a-z, 0-9 and -")]
    ContainerName,
}

/// Identifies one job for ever. A UUIDv7 in text form, so ids sort by time of creation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// One try at a job: its number counts from 1. Containers, log folders and pods are named by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job that is tried.
    pub job: JobId,
    /// Counts from 1.
    pub number: u32,
}

/// 128 random bits made once per `step.run` call by the SDK (docs/protocol.md, rule 1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId([u8; 16]);

/// The name of a container within its job: `coordinator`, `worker`, `worker-2`, `service-1`, …
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// Whether a text can be a file name and a label everywhere Danube writes one.
fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl FromStr for JobId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_label(text, 64) { Ok(Self(text.to_owned())) } else { Err(IdError::JobId) }
    }
}

impl FromStr for ContainerName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_label(text, 63) { Ok(Self(text.to_owned())) } else { Err(IdError::ContainerName) }
    }
}

impl FromStr for StepId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(IdError::StepId);
        }
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| IdError::StepId)?;
        }
        Ok(Self(bytes))
    }
}

impl StepId {
    /// The id made of these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, as the gRPC messages carry them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl ContainerName {
    /// The container in which the danubefile runs.
    #[must_use]
    pub fn coordinator() -> Self {
        Self("coordinator".to_owned())
    }

    /// The `n`-th container in which steps run, counted from 1: `worker`, `worker-2`, …
    #[must_use]
    pub fn worker(n: usize) -> Self {
        Self(if n <= 1 { "worker".to_owned() } else { format!("worker-{n}") })
    }

    /// Which worker it is, counted from 1; the coordinator is none.
    #[must_use]
    pub fn worker_number(&self) -> Option<usize> {
        match self.0.strip_prefix("worker")? {
            "" => Some(1),
            rest => rest.strip_prefix('-')?.parse().ok(),
        }
    }

    /// The `n`-th container in which a service runs, counted from 1: `service-1`, `service-2`, …
    #[must_use]
    pub fn service(n: usize) -> Self {
        Self(format!("service-{n}"))
    }

    /// Which service's container it is, counted from 1; others are none.
    #[must_use]
    pub fn service_number(&self) -> Option<usize> {
        self.0.strip_prefix("service-")?.parse().ok()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JobId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job, self.number)
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepId({self})")
    }
}

macro_rules! text_conversions {
    ($($id:ty),*) => {$(
        impl TryFrom<String> for $id {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> { text.parse() }
        }
        impl From<$id> for String {
            fn from(id: $id) -> String { id.to_string() }
        }
    )*};
}
text_conversions!(JobId, StepId, ContainerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_id_survives_its_text_form() {
        let id = StepId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", &"g".repeat(32), &"AB".repeat(16), &"ab".repeat(17)] {
            assert_eq!(bad.parse::<StepId>(), Err(IdError::StepId), "{bad}");
        }
    }

    #[test]
    fn a_container_s_name_says_what_it_is_for() {
        assert_eq!(
            (ContainerName::service(3).as_str(), ContainerName::service(3).service_number()),
            ("service-3", Some(3))
        );
        assert_eq!(
            (ContainerName::worker(2).worker_number(), ContainerName::worker(2).service_number()),
            (Some(2), None)
        );
        assert_eq!(
            (ContainerName::service(1).worker_number(), ContainerName::coordinator().service_number()),
            (None, None)
        );
    }

    #[test]
    fn a_job_id_can_always_be_a_file_name() {
        assert!("0193-abc".parse::<JobId>().is_ok());
        for bad in ["", "..", "a/b", "A", "a b", &"a".repeat(65)] {
            assert_eq!(bad.parse::<JobId>(), Err(IdError::JobId), "{bad}");
        }
    }
}
