//! The host's proxy settings, as the usual environment variables give them.

use std::fmt;

use crate::egress::EgressError;

/// Which proxies the relays use, and for which names they do not.
///
/// Port 80 goes through `HTTP_PROXY`, 443 and 8443 through `HTTPS_PROXY`, and whatever has no proxy of its own
/// through `ALL_PROXY`. Lower-case names win over upper-case ones, as in curl.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    all: Option<Proxy>,
    exempt: Vec<Exempt>,
}

/// One HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::egress) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
}

/// `user:password`; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::egress) struct Credentials(Vec<u8>);

/// An entry of `NO_PROXY`: a name and everything below it, on one port or all.
#[derive(Clone, Debug)]
struct Exempt {
    name: String,
    port: Option<u16>,
}

impl Credentials {
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Proxies {
    /// Reads the settings out of environment variables, given as `std::env::vars()` gives them.
    ///
    /// # Errors
    /// Names the variable that cannot be used, never its value.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, EgressError> {
        let variables: Vec<(String, String)> = variables.into_iter().collect();
        let value = |name: &str| {
            let find = |name: &str| variables.iter().find(|(n, value)| n == name && !value.trim().is_empty());
            find(name).or_else(|| find(&name.to_ascii_uppercase())).cloned()
        };
        let proxy = |name: &str| value(name).map(|(name, value)| read(name, value.trim())).transpose();
        let exempt = value("no_proxy").map(|(_, list)| list.split(',').filter_map(Exempt::read).collect());
        Ok(Self {
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
            all: proxy("all_proxy")?,
            exempt: exempt.unwrap_or_default(),
        })
    }

    /// The proxy for a connection; for a look-up (`port` is none), one that some connection to the name would use.
    pub(super) fn for_target(&self, name: &str, port: Option<u16>) -> Option<&Proxy> {
        if self.exempt.iter().any(|exempt| exempt.covers(name, port)) {
            return None;
        }
        let own = match port {
            Some(80) => self.http.as_ref(),
            Some(443 | 8443) => self.https.as_ref(),
            Some(_) => None,
            None => self.https.as_ref().or(self.http.as_ref()),
        };
        own.or(self.all.as_ref())
    }
}

fn read(variable: String, value: &str) -> Result<Proxy, EgressError> {
    parse(value).map_err(|why| EgressError::Proxy { variable, why })
}

fn parse(value: &str) -> Result<Proxy, &'static str> {
    const FORM: &str = "write `http://host:port` or `http://user:password@host:port`";
    let rest = match value.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err("only HTTP proxies can be used (not https:// or socks5://); write `http://host:port`"),
        None => value,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(Credentials(decoded(credentials).ok_or(FORM)?)), address),
        None => (None, authority),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().map_err(|_| FORM)?),
        _ => (address, 80),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        return Err(FORM);
    }
    Ok(Proxy { host: host.to_owned(), port, credentials })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl Exempt {
    fn read(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        let (name, port) = match entry.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry.as_str(), None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
        (!name.is_empty()).then(|| Self { name: name.to_owned(), port })
    }

    fn covers(&self, name: &str, port: Option<u16>) -> bool {
        let below = || name.strip_suffix(self.name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.port.is_none_or(|own| Some(own) == port) && (self.name == "*" || below())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, EgressError> {
        Proxies::from_env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn each_port_has_its_proxy_and_lower_case_wins() {
        let proxies = proxies(&[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://secure:3128/"),
            ("http_proxy", "plain"),
            ("NO_PROXY", "corp.example, .dot.example,*.star.example, port.example:8443,10.0.0.0/8"),
        ])
        .unwrap();
        let host = |name, port| proxies.for_target(name, port).map(|proxy| (proxy.host.as_str(), proxy.port));
        assert_eq!(host("pip.example", Some(443)), Some(("secure", 3128)));
        assert_eq!(host("pip.example", Some(80)), Some(("plain", 80)));
        assert_eq!(host("pip.example", Some(22)), None);
        assert_eq!(host("pip.example", None), Some(("secure", 3128)));
        for exempt in ["corp.example", "git.corp.example", "a.dot.example", "b.star.example"] {
            assert_eq!(host(exempt, Some(443)), None, "{exempt}");
        }
        assert_eq!(host("notcorp.example", Some(443)), Some(("secure", 3128)));
        assert_eq!(host("port.example", Some(8443)), None);
        assert_eq!(host("port.example", Some(443)), Some(("secure", 3128)));
    }

    #[test]
    fn all_proxy_takes_what_has_none_and_a_star_exempts_everything() {
        let all = proxies(&[("ALL_PROXY", "http://all:1"), ("http_proxy", " ")]).unwrap();
        assert!([80, 443, 22].iter().all(|port| all.for_target("a", Some(*port)).is_some()));
        let none = proxies(&[("all_proxy", "http://all:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(none.for_target("a", Some(443)), None);
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let proxies = proxies(&[("https_proxy", "http://me:p%40ss%3a@proxy.example:8080")]).unwrap();
        let proxy = proxies.for_target("a", Some(443)).unwrap();
        assert_eq!(proxy.credentials.as_ref().unwrap().expose(), b"me:p@ss:");
        assert!(!format!("{proxies:?}").contains("ss"), "{proxies:?}");
    }

    #[test]
    fn a_bad_setting_names_the_variable_and_not_its_value() {
        for bad in ["socks5://s3cret@h:1", "https://s3cret:x@h", "http://s3cret%4@h:1", "http://:s3cret", "http://"] {
            let error = proxies(&[("ALL_PROXY", bad)]).unwrap_err().to_string();
            assert!(error.starts_with("ALL_PROXY is not a usable proxy setting: "), "{error}");
            assert!(error.contains("`http://host:port`") && !error.contains("s3cret"), "{error}");
        }
    }
}
