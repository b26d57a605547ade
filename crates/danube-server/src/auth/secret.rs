//! Secrets that let in: 32 random bytes as text. What is kept of them is their SHA-256, from which nobody gets back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A new secret: 43 characters that need no quoting anywhere.
///
/// # Panics
///
/// When the system has no randomness to give: nothing could be kept secret then.
#[must_use]
pub fn new_secret() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is kept of a secret.
#[must_use]
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
