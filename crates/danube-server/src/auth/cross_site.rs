//! A browser sends its cookie along with whatever another site makes it ask. So a request that changes something and
//! comes by a cookie must say that it comes from our own pages. Other ports of this machine are other sites here, which
//! `SameSite` does not see.

use axum::http::{HeaderMap, Method, header};

use crate::problem::{Code, Problem};

/// Refuses what another site made a browser ask.
pub(crate) fn refuse_cross_site(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() || is_own(headers) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "Another site made your browser ask for this: Danube does not do it."))
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text(header::HOST.as_str());
            // Whether by TLS is not for us to know behind a proxy; the name and the port decide.
            origin.split_once("://").is_some_and(|(_, name)| Some(name) == host)
        }
        // Every browser that is young enough for our pages says one of them.
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_pages_may_change_things_by_a_cookie() {
        let host = ("host", "127.0.0.1:8080");
        let post = |pairs: &[_]| refuse_cross_site(&Method::POST, &headers(pairs)).is_ok();
        assert!(post(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[host, ("sec-fetch-site", "same-site")]), "another port of this machine");
        assert!(!post(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!post(&[host, ("sec-fetch-site", "none")]));
        assert!(post(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(!post(&[host, ("origin", "http://127.0.0.1:9090")]));
        assert!(!post(&[host, ("origin", "null")]));
        assert!(!post(&[host]), "who keeps both back");
        assert!(refuse_cross_site(&Method::GET, &headers(&[host, ("sec-fetch-site", "cross-site")])).is_ok());
    }
}
