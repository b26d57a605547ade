//! Values that can be read without running anything.

use ruff_python_ast::{Expr, Number, UnaryOp};
use ruff_text_size::{Ranged, TextRange};

use super::report::Wrong;
use crate::diagnostic::shown;

/// A literal with its place.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    /// Where it stands.
    pub(super) range: TextRange,
    /// What it is.
    pub(super) value: Value,
}

/// What a literal is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    None,
    /// A list, tuple or set.
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Literal {
    /// Reads an expression, or says why it is not a literal.
    pub(super) fn of(expr: &Expr) -> Result<Self, Wrong> {
        Ok(Self { range: expr.range(), value: value(expr)? })
    }

    /// A word for the kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Bool(_) => "True or False",
            Value::None => "None",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
        }
    }

    /// "`timeout` must be …, not a list".
    pub(super) fn not(&self, what: &str, wanted: &str, example: &str) -> Wrong {
        let got = match &self.value {
            Value::Text(text) => format!("the string {:?}", shown(text)),
            Value::Int(number) => format!("the number {number}"),
            _ => self.kind().to_owned(),
        };
        Wrong::new(self.range, format!("{what} must be {wanted}, not {got}"), format!("for example {example}"))
    }

    /// A string that is not blank.
    pub(super) fn text(&self, what: &str, example: &str) -> Result<String, Wrong> {
        match &self.value {
            Value::Text(text) if !text.trim().is_empty() && !text.contains(char::is_control) => Ok(text.clone()),
            Value::Text(_) => Err(self.not(what, "a string of visible characters", example)),
            _ => Err(self.not(what, "a string", example)),
        }
    }

    /// The members of a list, tuple or set.
    pub(super) fn list(&self, what: &str, example: &str) -> Result<&[Literal], Wrong> {
        match &self.value {
            Value::List(members) => Ok(members),
            _ => Err(self.not(what, "a list", example)),
        }
    }

    /// A list of strings.
    pub(super) fn texts(&self, what: &str, example: &str) -> Result<Vec<String>, Wrong> {
        self.list(what, example)?.iter().map(|member| member.text(what, example)).collect()
    }
}

fn value(expr: &Expr) -> Result<Value, Wrong> {
    Ok(match expr {
        Expr::StringLiteral(text) => Value::Text(text.value.to_str().to_owned()),
        Expr::BooleanLiteral(boolean) => Value::Bool(boolean.value),
        Expr::NoneLiteral(_) => Value::None,
        Expr::NumberLiteral(number) => number_value(&number.value).ok_or_else(|| not_literal(expr))?,
        Expr::UnaryOp(negated) if negated.op == UnaryOp::USub => {
            negative(value(&negated.operand)?).ok_or_else(|| not_literal(expr))?
        }
        Expr::List(list) => Value::List(members(&list.elts)?),
        Expr::Tuple(tuple) => Value::List(members(&tuple.elts)?),
        Expr::Set(set) => Value::List(members(&set.elts)?),
        Expr::Dict(dict) => Value::Dict(
            dict.items
                .iter()
                .map(|item| {
                    let key = item.key.as_ref().ok_or_else(|| not_literal(&item.value))?;
                    Ok((Literal::of(key)?, Literal::of(&item.value)?))
                })
                .collect::<Result<_, Wrong>>()?,
        ),
        _ => return Err(not_literal(expr)),
    })
}

/// Every part of an expression that is not a literal.
pub(super) fn mistakes(expr: &Expr) -> Vec<Wrong> {
    match expr {
        Expr::List(list) => list.elts.iter().flat_map(mistakes).collect(),
        Expr::Tuple(tuple) => tuple.elts.iter().flat_map(mistakes).collect(),
        Expr::Set(set) => set.elts.iter().flat_map(mistakes).collect(),
        Expr::Dict(dict) => dict
            .items
            .iter()
            .flat_map(|item| match &item.key {
                Some(key) => [mistakes(key), mistakes(&item.value)].concat(),
                None => vec![not_literal(&item.value)],
            })
            .collect(),
        _ => Literal::of(expr).err().into_iter().collect(),
    }
}

fn members(elements: &[Expr]) -> Result<Vec<Literal>, Wrong> {
    elements.iter().map(Literal::of).collect()
}

fn number_value(number: &Number) -> Option<Value> {
    match number {
        Number::Int(int) => int.as_i64().map(Value::Int),
        Number::Float(float) if float.is_finite() => Some(Value::Float(*float)),
        Number::Float(_) | Number::Complex { .. } => None,
    }
}

fn negative(value: Value) -> Option<Value> {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int),
        Value::Float(float) => Some(Value::Float(-float)),
        _ => None,
    }
}

fn not_literal(expr: &Expr) -> Wrong {
    let what = match expr {
        Expr::Name(name) => format!("the name `{}`", shown(name.id.as_str())),
        Expr::Call(_) => "a call".to_owned(),
        Expr::FString(_) | Expr::TString(_) => "an f-string".to_owned(),
        Expr::BytesLiteral(_) => "bytes".to_owned(),
        Expr::Attribute(_) => "an attribute".to_owned(),
        Expr::Starred(_) => "an unpacking".to_owned(),
        Expr::NumberLiteral(_) => "a number that is too large".to_owned(),
        Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) => "a comprehension".to_owned(),
        _ => "an expression".to_owned(),
    };
    Wrong::new(
        expr.range(),
        format!("values in the decorator must be literals, not {what}"),
        "the file is read without being run, so write the value itself: text, a number, True, False, None, or a list or dictionary of these",
    )
}
