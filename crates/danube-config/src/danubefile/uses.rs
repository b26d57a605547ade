//! The images that the file's steps and services name, so that known ones start with the job.
//!
//! Reading is generous here: whatever is not a literal is told as dynamic, and the job adds its image when it gets
//! there. Only a literal that can never be right is a mistake.

use danube_core::runtime::Resources;
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};
use ruff_text_size::Ranged;
use serde::Serialize;

use super::literal::{Literal, Value};
use super::names::Names;
use super::pipeline::{Danubefile, DeclaredImage};
use super::quantity;
use super::report::Report;

/// What one call says about its image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageUse {
    /// Which image.
    pub image: UsedImage,
    /// It starts a service, in a container of its own.
    pub service: bool,
    /// `memory=`, if it is a literal.
    pub memory_bytes: Option<u64>,
    /// Where the call stands; counts from 1.
    pub line: usize,
    /// In characters; counts from 1.
    pub column: usize,
}

/// The image of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsedImage {
    /// None is named: the pipeline's default.
    Default,
    /// A literal.
    Literal(String),
    /// Computed when the danubefile runs.
    Dynamic,
}

/// The calls on `step` and `service` that name an image or a limit.
pub(super) fn collect(body: &[Stmt], names: &Names, report: &mut Report<'_>) -> Vec<ImageUse> {
    let mut calls = Calls { names, calls: Vec::new() };
    calls.visit_body(body);
    calls.calls.into_iter().filter_map(|(call, service)| image_use(call, service, report)).collect()
}

/// Every call on `step` and `service`; true for those that start a service.
struct Calls<'n, 'a> {
    names: &'n Names,
    calls: Vec<(&'a ExprCall, bool)>,
}

impl<'a> Visitor<'a> for Calls<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr {
            match self.names.resolve(&call.func).as_deref() {
                Some(["step", _, ..]) => self.calls.push((call, false)),
                Some(["service", "start"]) => self.calls.push((call, true)),
                _ => {}
            }
        }
        walk_expr(self, expr);
    }
}

fn image_use(call: &ExprCall, service: bool, report: &mut Report<'_>) -> Option<ImageUse> {
    let keyword = |name| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
    let image = keyword("image").or_else(|| if service { call.arguments.args.first() } else { None });
    let memory = keyword("memory").and_then(|value| Literal::of(value).ok());
    let unpacked = call.arguments.keywords.iter().any(|keyword| keyword.arg.is_none());
    if image.is_none() && memory.is_none() && !unpacked {
        return None;
    }
    let image = match image {
        Some(expr) => used(expr, report)?,
        None if unpacked => UsedImage::Dynamic,
        None => UsedImage::Default,
    };
    let (line, column) = report.source.position(call.start().to_usize());
    Some(ImageUse { image, service, memory_bytes: memory_bytes(memory, report), line, column })
}

fn used(expr: &Expr, report: &mut Report<'_>) -> Option<UsedImage> {
    match Literal::of(expr) {
        Ok(literal) if literal.value == Value::None => Some(UsedImage::Default),
        Ok(literal) => report.take(literal.text("`image`", r#"image="node:22""#)).map(UsedImage::Literal),
        Err(_) => Some(UsedImage::Dynamic),
    }
}

fn memory_bytes(literal: Option<Literal>, report: &mut Report<'_>) -> Option<u64> {
    let literal = literal.filter(|literal| literal.value != Value::None)?;
    report.take(quantity::bytes(&literal, "`memory`"))
}

impl Danubefile {
    /// The images to start with the job, each once and with its limits: the default (empty if the file names none)
    /// first, then those of `images=`, then those of steps. A literal `memory=` of a step raises its image's limit.
    #[must_use]
    pub fn known_images(&self) -> Vec<DeclaredImage> {
        let default = self.image.clone().unwrap_or_default();
        let mut known = vec![DeclaredImage { image: default.clone(), resources: self.resources }];
        for declared in &self.images {
            let resources = self.filled(declared.resources);
            match known.iter_mut().find(|image| image.image == declared.image) {
                Some(image) => image.resources = resources,
                None => known.push(DeclaredImage { image: declared.image.clone(), resources }),
            }
        }
        for used in self.uses.iter().filter(|used| !used.service) {
            let name = match &used.image {
                UsedImage::Default => &default,
                UsedImage::Literal(image) => image,
                UsedImage::Dynamic => continue,
            };
            self.raise(&mut known, name, used.memory_bytes);
        }
        known
    }

    /// The services to make containers for with the job, one for each call that names its image by a literal.
    #[must_use]
    pub fn known_services(&self) -> Vec<DeclaredImage> {
        let of = |used: &ImageUse| match &used.image {
            UsedImage::Literal(image) if used.service => {
                let memory_bytes = used.memory_bytes.or(self.resources.memory_bytes);
                Some(DeclaredImage { image: image.clone(), resources: Resources { memory_bytes, ..self.resources } })
            }
            _ => None,
        };
        self.uses.iter().filter_map(of).collect()
    }

    /// An image's own limits, the pipeline's where it has none.
    fn filled(&self, own: Resources) -> Resources {
        Resources {
            cpu_millis: own.cpu_millis.or(self.resources.cpu_millis),
            memory_bytes: own.memory_bytes.or(self.resources.memory_bytes),
            disk_bytes: own.disk_bytes.or(self.resources.disk_bytes),
            pids: own.pids.or(self.resources.pids),
        }
    }

    fn raise(&self, known: &mut Vec<DeclaredImage>, name: &str, memory: Option<u64>) {
        let at = known.iter().position(|image| image.image == name).unwrap_or_else(|| {
            known.push(DeclaredImage { image: name.to_owned(), resources: self.resources });
            known.len() - 1
        });
        let limit = &mut known[at].resources.memory_bytes;
        *limit = (*limit).max(memory);
    }
}
