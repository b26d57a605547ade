//! `danube login`: a link for a browser.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::find::Instance;
use super::http::Http;
use super::{print, print_json};
use crate::cli::client::LoginArgs;
use crate::error::CliError;

/// What the server gives.
#[derive(Deserialize)]
struct Link {
    path: String,
    seconds: u64,
}

/// Runs `danube login`.
pub fn main(arguments: &LoginArgs) -> Result<ExitCode, CliError> {
    let instance = Instance::find(&arguments.server)?;
    let url = instance.url.clone();
    let http = Http::new(instance);
    let document = http.post("login-links", &json!({}))?;
    let link: Link = serde_json::from_value(document).map_err(|error| http.strange(error))?;
    let whole = format!("{url}{}", link.path);
    if arguments.server.json {
        return print_json(&json!({"url": whole, "seconds": link.seconds}));
    }
    print(format!("open {whole}   once, within {} minutes\n", link.seconds / 60).as_bytes())
}
