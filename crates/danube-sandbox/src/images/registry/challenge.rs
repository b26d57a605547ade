//! What a registry asks for before it answers (`WWW-Authenticate`).

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token, which another service gives out.
    Bearer {
        /// The service's address.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// What the token shall allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads one header. None when it asks for something else.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(parameters.swap_remove(at).1)
        };
        Some(Self::Bearer { realm: take("realm")?, service: take("service"), scope: take("scope") })
    }
}

/// `name=value` and `name="value"`, separated by commas.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name.trim_matches([' ', ',']).to_owned(), value));
        rest = after;
    }
    found
}

/// The text up to the closing quote, and what stands after it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_its_commas_and_quotes() {
        let header = r#"Bearer realm="https://auth.example/token",service="r, \"x\"",scope="repository:a/b:pull,push""#;
        let wanted = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("r, \"x\"".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(header), Some(wanted));
        assert_eq!(Challenge::parse("basic realm=x"), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for header in ["", "Bearer", "Negotiate abc", "Bearer service=\"x\"", "Bearer =", "Bearer realm"] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
    }
}
