//! What happens to every request before and after its handler: its id, the host it was sent to, its errors' words.

pub(crate) mod body;
mod compress;
pub(crate) mod extract;
mod finish;
pub(crate) mod form;
mod host;

pub(crate) use compress::compress;
pub(crate) use finish::{AsItIs, finish, not_found, wrong_method};
pub(crate) use host::{Hosts, check_host, is_this_machine};
