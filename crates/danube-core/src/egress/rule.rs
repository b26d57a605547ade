//! Rules as people write them: one at a time, and in a file.

use std::fmt;
use std::str::FromStr;

use super::name::{host_name, is_localhost};
use super::{DEFAULT_PORTS, EgressRule};

/// Why a text is not an egress rule.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{rule}` is not an egress rule: {why}")]
pub struct EgressRuleError {
    /// What was written.
    pub rule: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

/// Why a file of rules cannot be read.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {source}")]
pub struct EgressFileError {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong in it.
    pub source: EgressRuleError,
}

/// Reads a file of rules: one per line; blank lines, and `#` to the end of its line, are ignored.
/// Rules for the same name are joined.
///
/// # Errors
/// The first line that is not a rule.
pub fn parse_rules(text: &str) -> Result<Vec<EgressRule>, EgressFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rule = |(at, line): (usize, &str)| {
        let rule = line.split('#').next().unwrap_or_default().trim();
        let parsed =
            (!rule.is_empty()).then(|| rule.parse().map_err(|source| EgressFileError { line: at + 1, source }));
        parsed.transpose()
    };
    let rules: Result<Vec<Option<EgressRule>>, _> = text.lines().enumerate().map(rule).collect();
    Ok(joined(rules?.into_iter().flatten().collect()))
}

/// Sorts rules and joins those for the same name, so that each name is said once (and once more if ` private`).
#[must_use]
pub fn joined(mut rules: Vec<EgressRule>) -> Vec<EgressRule> {
    rules.sort_by(|a, b| (&a.name, a.private).cmp(&(&b.name, b.private)));
    rules.dedup_by(|later, kept| {
        let same = later.name == kept.name && later.private == kept.private;
        if same && later.ports != kept.ports {
            kept.ports = canonical_ports(kept.open_ports().iter().chain(later.open_ports()).copied().collect());
        }
        same
    });
    rules
}

impl EgressRule {
    /// The ports this rule opens.
    #[must_use]
    pub fn open_ports(&self) -> &[u16] {
        if self.ports.is_empty() { &DEFAULT_PORTS } else { &self.ports }
    }

    /// Whether the rule speaks of this name, given lower-case and without the trailing dot.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some(parent) = self.name.strip_prefix("*.") else { return self.name == name };
        name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
    }
}

/// Sorted, each once; empty when they are the default ones.
pub(super) fn canonical_ports(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    if ports == DEFAULT_PORTS { Vec::new() } else { ports }
}

impl FromStr for EgressRule {
    type Err = EgressRuleError;
    fn from_str(text: &str) -> Result<Self, EgressRuleError> {
        rule(text).map_err(|why| EgressRuleError { rule: text.to_owned(), why })
    }
}

impl TryFrom<String> for EgressRule {
    type Error = EgressRuleError;
    fn try_from(text: String) -> Result<Self, EgressRuleError> {
        text.parse()
    }
}

fn rule(text: &str) -> Result<EgressRule, &'static str> {
    let mut words = text.split_whitespace();
    let address = words.next().ok_or("it is empty; write a host name such as `pip.example`")?;
    let private = match (words.next(), words.next()) {
        (None, _) => false,
        (Some("private"), None) => true,
        _ => return Err("only the word `private` can follow the name; write one rule per line"),
    };
    if address.contains("://") {
        return Err("it is a URL; write the host name alone, such as `pip.example` or `git.example.com:8443`");
    }
    if address.starts_with('[') || address.matches(':').count() > 1 {
        return Err("it is an IPv6 address, or has two colons; write `name` or `name:port,port`");
    }
    let (name, ports) = match address.split_once(':') {
        Some((name, list)) => (name, ports(list)?),
        None => (address, Vec::new()),
    };
    Ok(EgressRule { name: rule_name(name)?, ports, private })
}

fn rule_name(text: &str) -> Result<String, &'static str> {
    if matches!(text, "*" | "*." | "**") {
        return Err("it would allow every name; list the names, or use record mode to find them");
    }
    let (prefix, name) = match text.strip_prefix("*.") {
        Some(parent) => ("*.", parent),
        None => ("", text),
    };
    if name.contains('*') {
        return Err(
            "`*` can only stand for the whole first part: `*.example.com` (one label, not `example.com` itself)",
        );
    }
    let name = host_name(name)?;
    if is_localhost(&name) {
        return Err("localhost is the job's own loopback, always open; give the host's service another name");
    }
    if prefix.len() + name.len() > super::name::MAX_NAME {
        return Err("no name that it matches fits in 253 characters; write a shorter one");
    }
    Ok(format!("{prefix}{name}"))
}

fn ports(list: &str) -> Result<Vec<u16>, &'static str> {
    Ok(canonical_ports(list.split(',').map(port).collect::<Result<_, _>>()?))
}

fn port(text: &str) -> Result<u16, &'static str> {
    let why = "a port is a number from 1 to 65535; write `name:port` or `name:port,port`";
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(why);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(why),
        Ok(53) => Err("port 53 is DNS, which Danube answers itself; allow the names that are to be reached"),
        Ok(port) => Ok(port),
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, port) in self.ports.iter().enumerate() {
            write!(f, "{}{port}", if at == 0 { ':' } else { ',' })?;
        }
        f.write_str(if self.private { " private" } else { "" })
    }
}

impl From<EgressRule> for String {
    fn from(rule: EgressRule) -> String {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> EgressRule {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn rules_are_read_in_every_form_and_written_in_one() {
        for (written, canonical) in [
            ("pip.example", "pip.example"),
            (" PiP.Example. ", "pip.example"),
            ("*.Example.com", "*.example.com"),
            ("git.corp.example:22", "git.corp.example:22"),
            ("a.example:443,22,80,80", "a.example"),
            ("a.example:9000,8080,9000", "a.example:8080,9000"),
            ("db.local:5432 private", "db.local:5432 private"),
            ("db.local   private ", "db.local private"),
            ("_acme.under_score.example", "_acme.under_score.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("registry", "registry"),
            ("1password.com", "1password.com"),
            ("0xdeadbeef.example", "0xdeadbeef.example"),
        ] {
            assert_eq!(parsed(written).to_string(), canonical, "{written}");
        }
    }

    #[test]
    fn what_is_not_a_rule_is_refused_with_what_would_be_right() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = vec!["abcdefghi"; 26].join(".");
        for (written, hint) in [
            ("", "empty"),
            ("*", "record mode"),
            ("*.", "record mode"),
            ("*:443", "record mode"),
            ("**.example.com", "`*.example.com`"),
            ("a.*.example.com", "`*.example.com`"),
            ("a*.example.com", "`*.example.com`"),
            ("127.0.0.1", "IP address"),
            ("127.1", "IP address"),
            ("10.0.0.1:443", "IP address"),
            ("2130706433", "IP address"),
            ("0x7f000001", "IP address"),
            ("0x7f.1", "IP address"),
            ("0177.0.0.1", "IP address"),
            ("0X7F000001", "IP address"),
            ("*.0.0.1", "IP address"),
            ("1.2.3.4.", "IP address"),
            ("::1", "IPv6"),
            ("[::1]:443", "IPv6"),
            ("fe80::1%eth0", "IPv6"),
            ("a..example", "empty"),
            (".example", "empty"),
            ("example..", "empty"),
            ("-a.example", "starts or ends with `-`"),
            ("a-.example", "starts or ends with `-`"),
            ("bücher.example", "punycode"),
            ("https://pip.example", "host name alone"),
            ("pip.example/simple", "without a scheme or a path"),
            ("user@host.example", "without a scheme"),
            ("a.example:0", "1 to 65535"),
            ("a.example:65536", "1 to 65535"),
            ("a.example:+80", "1 to 65535"),
            ("a.example:", "1 to 65535"),
            ("a.example:80,", "1 to 65535"),
            ("a.example:http", "1 to 65535"),
            ("a.example:53", "DNS"),
            ("a.example public", "`private`"),
            ("a.example private private", "`private`"),
            ("a.example b.example", "one rule per line"),
            ("localhost", "loopback"),
            ("db.localhost", "loopback"),
            (&long_label, "63 characters"),
            (&long_name, "253 characters"),
        ] {
            let error = written.parse::<EgressRule>().expect_err(written);
            assert!(error.why.contains(hint), "{error}");
            assert!(error.to_string().contains(written), "{error}");
        }
    }

    #[test]
    fn a_file_names_the_line_that_is_wrong() {
        let file = "# what the build needs\r\npip.example\n\n  files.example.org # wheels\npip.example:8443\n";
        let rules = parse_rules(file).unwrap();
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["files.example.org", "pip.example:22,80,443,8443"]);
        let error = parse_rules("pip.example\n\n10.0.0.1\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.to_string().starts_with("line 3: `10.0.0.1` is not an egress rule"), "{error}");
        assert_eq!(parse_rules("\u{feff}# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn rules_that_differ_in_private_stay_apart() {
        let rules = joined(vec![parsed("a.example:8080 private"), parsed("a.example"), parsed("a.example")]);
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a.example", "a.example:8080 private"]);
    }

    #[test]
    fn json_carries_rules_as_text_and_refuses_bad_ones() {
        let rule: EgressRule = serde_json::from_str("\"*.example.com:8443 private\"").unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), "\"*.example.com:8443 private\"");
        let error = serde_json::from_str::<EgressRule>("\"127.0.0.1\"").unwrap_err();
        assert!(error.to_string().contains("IP address"), "{error}");
    }

    fn label() -> impl Strategy<Value = String> {
        "[a-z_][a-z0-9_-]{0,10}[a-z0-9_]"
    }

    proptest! {
        #[test]
        fn a_rule_survives_its_text(
            labels in prop::collection::vec(label(), 1..6), wild: bool, private: bool,
            ports in prop::collection::vec(54u16.., 0..5),
        ) {
            let name = format!("{}{}", if wild { "*." } else { "" }, labels.join("."));
            prop_assume!(!is_localhost(name.trim_start_matches("*.")));
            let rule = EgressRule { name, ports: canonical_ports(ports), private };
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }

        #[test]
        fn a_wildcard_stands_for_exactly_one_label(
            parent in prop::collection::vec(label(), 1..4), below in prop::collection::vec(label(), 0..4),
        ) {
            let parent = parent.join(".");
            let rule = EgressRule { name: format!("*.{parent}"), ports: vec![], private: false };
            let name: Vec<&str> = below.iter().map(String::as_str).chain([parent.as_str()]).collect();
            prop_assert_eq!(rule.matches(&name.join(".")), below.len() == 1);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            if let Ok(rule) = text.parse::<EgressRule>() {
                prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }

        #[test]
        fn joining_rules_changes_no_answer(rules in prop::collection::vec(("[ab]", prop::collection::vec(79u16..82, 0..3), any::<bool>()), 0..6)) {
            let rules: Vec<EgressRule> = rules.into_iter()
                .map(|(name, ports, private)| EgressRule { name, ports: canonical_ports(ports), private }).collect();
            let opens = |rules: &[EgressRule], name: &str, port: u16, private: bool| {
                rules.iter().any(|r| r.matches(name) && r.open_ports().contains(&port) && r.private == private)
            };
            let short = joined(rules.clone());
            for name in ["a", "b"] {
                for port in [22, 79, 80, 81, 443] {
                    for private in [false, true] {
                        prop_assert_eq!(opens(&rules, name, port, private), opens(&short, name, port, private));
                    }
                }
            }
        }
    }
}
