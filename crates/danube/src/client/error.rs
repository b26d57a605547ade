//! Why a server did not do what it was asked, and what to do about it.

use std::io;

use crate::error::CliError;
use crate::view::harmless;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer, or it broke off.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why there was none.
        why: String,
    },
    /// The server said no, as Danube does.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// In words.
        message: String,
        /// Under which the server's log says more.
        request_id: String,
    },
    /// An answer that is not Danube's.
    #[error("{url} answered, but not as Danube does: {why}")]
    Strange {
        /// Who was asked.
        url: String,
        /// What it said.
        why: String,
    },
}

impl CallError {
    /// Whether it may be different in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Strange { .. } => false,
        }
    }

    /// An answer that broke off while it was read.
    pub fn broke_off(url: &str, error: &io::Error) -> Self {
        Self::Unreachable { url: url.to_owned(), why: error.to_string() }
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let words = harmless(&error.to_string());
        match &error {
            CallError::Unreachable { .. } => {
                Self::infra(words).hint("is the server running? `danube dev` starts one here; --url names another")
            }
            CallError::Strange { .. } => Self::infra(words).hint("check --url: another program may answer there"),
            CallError::Refused { status, request_id, .. } => refused(*status, words, &harmless(request_id)),
        }
    }
}

fn refused(status: u16, words: String, request_id: &str) -> CliError {
    match status {
        401 => CliError::config(words)
            .hint("put a token of that server into DANUBE_TOKEN, or name its file: --token @FILE"),
        403 => CliError::config(words).hint("ask an administrator of the server"),
        404 => CliError::config(words).hint("`danube jobs` and `danube pipelines` list what there is"),
        503 => CliError::infra(words).hint("try again in a moment"),
        500.. => CliError::infra(words).hint(format!("the server's log says more about the request {request_id}")),
        _ => CliError::config(words),
    }
}
