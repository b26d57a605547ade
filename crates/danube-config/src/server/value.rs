//! Values of `danube.toml`: each gives what was meant, or in words what it must be.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::danubefile::parse_duration;
use crate::diagnostic::shown;
use crate::location;

/// Less would do nothing but look; more would surprise whoever pushed.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// What a value must be.
pub(super) type Must = String;

/// The value as it was written, for an error.
pub(super) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{}\"", shown(text)),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        other => format!("of the type {}", other.type_str()),
    }
}

/// A string that is not blank and in one line.
pub(super) fn text<'v>(value: &'v DeValue<'_>, wanted: &str) -> Result<&'v str, Must> {
    let text = value.as_str().filter(|text| !text.trim().is_empty() && !text.contains(char::is_control));
    text.ok_or_else(|| wanted.to_owned())
}

/// A path from the root.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Must> {
    let wanted = "an absolute path";
    let path = PathBuf::from(text(value, wanted)?);
    if path.is_absolute() { Ok(path) } else { Err(wanted.to_owned()) }
}

/// An address of the loopback, with a port.
pub(super) fn loopback(value: &DeValue<'_>) -> Result<SocketAddr, Must> {
    let wanted = "an address and a port";
    let address: SocketAddr = text(value, wanted)?.parse().map_err(|_| wanted.to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("a loopback address (127.0.0.1 or [::1]): this Danube has no accounts yet, so it answers nobody outside this \
         machine"
        .to_owned())
}

/// A repository on this machine.
pub(super) fn repository(value: &DeValue<'_>) -> Result<PathBuf, Must> {
    location::repository(text(value, location::WANTED)?)
}

/// The name of a branch.
pub(super) fn branch(value: &DeValue<'_>) -> Result<String, Must> {
    let wanted = "the name of a branch";
    let name = text(value, wanted)?;
    if location::is_branch(name) { Ok(name.to_owned()) } else { Err(wanted.to_owned()) }
}

/// A time between two looks.
pub(super) fn interval(value: &DeValue<'_>) -> Result<Duration, Must> {
    let wanted = "a time from 1s to 1d, in s, m, h or d";
    let time = parse_duration(text(value, wanted)?);
    time.filter(|time| INTERVALS.contains(time)).ok_or_else(|| wanted.to_owned())
}

/// How many, or none.
pub(super) fn count_or_none(value: &DeValue<'_>) -> Result<usize, Must> {
    let wanted = || "a number from 0 to 16".to_owned();
    let number = value.as_integer().ok_or_else(wanted)?;
    let number = usize::from_str_radix(number.as_str(), number.radix()).ok();
    number.filter(|number| *number <= 16).ok_or_else(wanted)
}

/// How many.
pub(super) fn count(value: &DeValue<'_>) -> Result<NonZeroUsize, Must> {
    let wanted = || "a number from 1 to 10000".to_owned();
    let number = value.as_integer().ok_or_else(wanted)?;
    let number = usize::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| *number <= 10_000);
    number.and_then(NonZeroUsize::new).ok_or_else(wanted)
}
