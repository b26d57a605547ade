//! Parameters: `params={"env": "staging", "count": 3}`, or in full with choices and a description.

use std::collections::BTreeMap;

use ruff_text_size::TextRange;
use serde::Serialize;

use super::literal::{Literal, Value};
use super::report::{Report, Wrong};
use crate::diagnostic::shown;
use crate::nearest::nearest;

/// More parameters than this are a slip.
const MOST: usize = 100;
/// The keys of a parameter written in full.
const KEYS: [&str; 4] = ["type", "default", "choices", "description"];
const EXAMPLE: &str =
    r#"params={"env": "staging"} or params={"env": {"default": "staging", "choices": ["staging", "prod"]}}"#;

/// A parameter of the pipeline, asked for when a job is started by hand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Param {
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Its value unless one is given; none means that one must be given.
    pub default: Option<ParamValue>,
    /// If not empty, the only values allowed.
    pub choices: Vec<ParamValue>,
    /// For people.
    pub description: String,
}

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or False.
    Bool,
}

/// A parameter's value, as the danubefile finds it in `ctx.params`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// True or False.
    Bool(bool),
}

/// Why the given values do not fit the parameters.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ParamError {
    /// The pipeline has no such parameter.
    #[error("the pipeline has no parameter `{name}`; {hint}")]
    Unknown {
        /// As given.
        name: String,
        /// What it has.
        hint: String,
    },
    /// The value is of another type or not among the choices.
    #[error("the parameter `{name}` must be {wanted}, not {value:?}")]
    Value {
        /// Whose value.
        name: String,
        /// As given.
        value: String,
        /// What fits.
        wanted: String,
    },
    /// There is neither a value nor a default.
    #[error("the parameter `{0}` has no default: give it a value with `--param {0}=…`")]
    Missing(String),
}

impl ParamType {
    fn of(value: &ParamValue) -> Self {
        match value {
            ParamValue::String(_) => Self::String,
            ParamValue::Int(_) => Self::Int,
            ParamValue::Float(_) => Self::Float,
            ParamValue::Bool(_) => Self::Bool,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    const fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
        }
    }

    /// Reads what a person typed.
    fn parse(self, text: &str) -> Option<ParamValue> {
        match self {
            Self::String => Some(ParamValue::String(text.to_owned())),
            Self::Int => text.trim().parse().ok().map(ParamValue::Int),
            Self::Float => text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(ParamValue::Float),
            Self::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(ParamValue::Bool(true)),
                "false" | "no" | "off" | "0" => Some(ParamValue::Bool(false)),
                _ => None,
            },
        }
    }

    /// The value as this type; a whole number is a number too.
    fn admit(self, value: ParamValue) -> Option<ParamValue> {
        match (self, value) {
            (Self::Float, ParamValue::Int(number)) => self.parse(&number.to_string()),
            (kind, value) => (Self::of(&value) == kind).then_some(value),
        }
    }
}

/// The values a job gets: those given as text (`--param name=value`), else the defaults.
///
/// # Errors
/// Every value that does not fit, and every parameter left without one.
pub fn resolve(
    params: &BTreeMap<String, Param>,
    given: &[(String, String)],
) -> Result<BTreeMap<String, ParamValue>, Vec<ParamError>> {
    let (mut values, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, text) in given {
        match params.get(name).map(|param| param.read(name, text)) {
            Some(Ok(value)) => _ = values.insert(name.clone(), value),
            Some(Err(error)) => errors.push(error),
            None => errors.push(unknown(name, params)),
        }
    }
    for (name, param) in params {
        match &param.default {
            Some(default) => _ = values.entry(name.clone()).or_insert_with(|| default.clone()),
            None if given.iter().any(|(given, _)| given == name) => {}
            None => errors.push(ParamError::Missing(name.clone())),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

fn unknown(name: &str, params: &BTreeMap<String, Param>) -> ParamError {
    let hint = match nearest(name, params.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if params.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", params.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    ParamError::Unknown { name: name.to_owned(), hint }
}

impl Param {
    fn read(&self, name: &str, text: &str) -> Result<ParamValue, ParamError> {
        let value = self.kind.parse(text).filter(|value| self.choices.is_empty() || self.choices.contains(value));
        value.ok_or_else(|| {
            let wanted = match self.choices.iter().map(|choice| choice.to_string()).collect::<Vec<_>>() {
                choices if choices.is_empty() => self.kind.words().to_owned(),
                choices => format!("one of {}", choices.join(", ")),
            };
            ParamError::Value { name: name.to_owned(), value: text.to_owned(), wanted }
        })
    }
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(boolean) => boolean.fmt(f),
        }
    }
}

/// Reads `params=`.
pub(super) fn params(literal: &Literal, report: &mut Report<'_>) -> BTreeMap<String, Param> {
    let mut params = BTreeMap::new();
    let Value::Dict(items) = &literal.value else {
        report.wrong(literal.not("`params`", "a dictionary", EXAMPLE));
        return params;
    };
    if items.len() > MOST {
        report.wrong(Wrong::new(
            literal.range,
            format!("{} parameters are too many", items.len()),
            format!("at most {MOST}"),
        ));
        return params;
    }
    for (key, value) in items {
        let (Some(name), Some(param)) = (report.take(name(key)), param(value, report)) else { continue };
        if params.insert(name.clone(), param).is_some() {
            report.wrong(Wrong::new(key.range, format!("the parameter `{name}` is given twice"), "keep one"));
        }
    }
    params
}

fn name(key: &Literal) -> Result<String, Wrong> {
    let good = |text: &String| {
        text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    match &key.value {
        Value::Text(text) if good(text) => Ok(text.clone()),
        _ => Err(key.not("a parameter's name", "letters, digits, _ and -, at most 64", EXAMPLE)),
    }
}

fn param(literal: &Literal, report: &mut Report<'_>) -> Option<Param> {
    if let Value::Dict(items) = &literal.value {
        return in_full(literal.range, items, report);
    }
    let default = report.take(scalar(literal))?;
    Some(Param {
        kind: ParamType::of(&default),
        default: Some(default),
        choices: Vec::new(),
        description: String::new(),
    })
}

fn scalar(literal: &Literal) -> Result<ParamValue, Wrong> {
    Ok(match &literal.value {
        Value::Text(text) => ParamValue::String(text.clone()),
        Value::Int(number) => ParamValue::Int(*number),
        Value::Float(number) => ParamValue::Float(*number),
        Value::Bool(boolean) => ParamValue::Bool(*boolean),
        _ => return Err(literal.not("a parameter's value", "a string, a number, True or False", EXAMPLE)),
    })
}

/// The keys of a parameter in full, each still unread.
#[derive(Default)]
struct Written<'a> {
    kind: Option<&'a Literal>,
    default: Option<&'a Literal>,
    choices: Option<&'a Literal>,
    description: Option<&'a Literal>,
}

fn in_full(range: TextRange, items: &[(Literal, Literal)], report: &mut Report<'_>) -> Option<Param> {
    let written = keys(items, report)?;
    let description = match written.description {
        Some(literal) => report.take(literal.text("`description`", "\"where to deploy\""))?,
        None => String::new(),
    };
    let choices = match written.choices {
        Some(literal) => report.take(choices(literal))?,
        None => Vec::new(),
    };
    let default = match written.default.filter(|literal| literal.value != Value::None) {
        Some(literal) => Some(report.take(scalar(literal))?),
        None => None,
    };
    let kind = report.take(kind(range, written.kind, default.as_ref().or(choices.first())))?;
    let place = written.default.or(written.choices).map_or(range, |literal| literal.range);
    report.take(fitting(place, kind, default, choices).map(|(default, choices)| Param {
        kind,
        default,
        choices,
        description,
    }))
}

fn keys<'a>(items: &'a [(Literal, Literal)], report: &mut Report<'_>) -> Option<Written<'a>> {
    let mut written = Written::default();
    let mut good = true;
    for (key, value) in items {
        match &key.value {
            Value::Text(name) if name == "type" => written.kind = Some(value),
            Value::Text(name) if name == "default" => written.default = Some(value),
            Value::Text(name) if name == "choices" => written.choices = Some(value),
            Value::Text(name) if name == "description" => written.description = Some(value),
            _ => {
                report.wrong(unknown_key(key, "a parameter", &KEYS));
                good = false;
            }
        }
    }
    good.then_some(written)
}

/// "a parameter has no key `defualt`".
pub(super) fn unknown_key(key: &Literal, of: &str, known: &[&str]) -> Wrong {
    let Value::Text(name) = &key.value else { return key.not("a key", "a string", &format!("\"{}\"", known[0])) };
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its keys are {}", known.join(", ")),
    };
    Wrong::new(key.range, format!("{of} has no key `{}`", shown(name)), help)
}

fn choices(literal: &Literal) -> Result<Vec<ParamValue>, Wrong> {
    let members = literal.list("`choices`", r#"["staging", "prod"]"#)?;
    if members.is_empty() {
        return Err(literal.not("`choices`", "a list of at least one value", r#"["staging", "prod"]"#));
    }
    members.iter().map(scalar).collect()
}

fn kind(range: TextRange, written: Option<&Literal>, example: Option<&ParamValue>) -> Result<ParamType, Wrong> {
    match (written, example) {
        (Some(literal), _) => match &literal.value {
            Value::Text(name) => ParamType::named(name),
            _ => None,
        }
        .ok_or_else(|| literal.not("`type`", "\"string\", \"int\", \"float\" or \"bool\"", "\"type\": \"int\"")),
        (None, Some(value)) => Ok(ParamType::of(value)),
        (None, None) => Err(Wrong::new(range, "a parameter needs a default or a type", "add \"type\": \"string\"")),
    }
}

/// Default and choices as the parameter's type, if they fit it and each other.
fn fitting(
    range: TextRange,
    kind: ParamType,
    default: Option<ParamValue>,
    choices: Vec<ParamValue>,
) -> Result<(Option<ParamValue>, Vec<ParamValue>), Wrong> {
    let unfit = |value: &ParamValue| {
        let message =
            format!("`{}` does not fit a parameter whose values are {}", shown(&value.to_string()), kind.words());
        Wrong::new(range, message, "give default, choices and type the same kind of value")
    };
    let admit = |value: ParamValue| kind.admit(value.clone()).ok_or_else(|| unfit(&value));
    let choices = choices.into_iter().map(admit).collect::<Result<Vec<_>, _>>()?;
    let default = default.map(admit).transpose()?;
    match default.as_ref().filter(|default| !choices.is_empty() && !choices.contains(default)) {
        Some(_) => Err(Wrong::new(
            range,
            "the default is not one of the choices",
            "add it to `choices`, or choose another default",
        )),
        None => Ok((default, choices)),
    }
}
