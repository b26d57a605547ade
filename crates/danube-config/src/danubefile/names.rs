//! What the file calls Danube's things: `from danube import pipeline as p`, `import danube as d`.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::statement_visitor::{StatementVisitor, walk_stmt};
use ruff_python_ast::{Alias, Expr, Stmt};

/// What `from danube import *` brings that is read here.
const READ_HERE: [&str; 3] = ["pipeline", "step", "service"];

/// The names under which the file knows the SDK. Whichever scope imports it: a danubefile that calls something else
/// `step` in another function is beyond what reading can tell, and costs at most a container that starts early.
#[derive(Default)]
pub(super) struct Names {
    /// Bound to the module `danube`.
    modules: BTreeSet<String>,
    /// Bound to one of its members.
    members: BTreeMap<String, String>,
}

impl Names {
    /// The names that the imports of a file bind.
    pub(super) fn of(body: &[Stmt]) -> Self {
        let mut names = Self::default();
        names.visit_body(body);
        names
    }

    /// Whether the file imports the SDK at all.
    pub(super) fn any(&self) -> bool {
        !self.modules.is_empty() || !self.members.is_empty()
    }

    /// The path below `danube` of what an expression names: `d.step.run` gives `["step", "run"]`.
    pub(super) fn resolve<'a>(&'a self, expr: &'a Expr) -> Option<Vec<&'a str>> {
        let (mut expr, mut path) = (expr, Vec::new());
        while let Expr::Attribute(attribute) = expr {
            path.push(attribute.attr.as_str());
            expr = &attribute.value;
        }
        let root = expr.as_name_expr()?.id.as_str();
        if !self.modules.contains(root) {
            path.push(self.members.get(root)?);
        }
        path.reverse();
        Some(path)
    }

    fn bind_module(&mut self, alias: &Alias) {
        let (name, bound) = (alias.name.as_str(), alias.asname.as_ref().map(|name| name.as_str()));
        match bound {
            Some(bound) if name == "danube" => _ = self.modules.insert(bound.to_owned()),
            None if name == "danube" || name.starts_with("danube.") => _ = self.modules.insert("danube".to_owned()),
            _ => {}
        }
    }

    fn bind_member(&mut self, alias: &Alias) {
        if alias.name.as_str() == "*" {
            self.members.extend(READ_HERE.map(|name| (name.to_owned(), name.to_owned())));
            return;
        }
        let bound = alias.asname.as_ref().unwrap_or(&alias.name);
        self.members.insert(bound.as_str().to_owned(), alias.name.as_str().to_owned());
    }
}

impl<'a> StatementVisitor<'a> for Names {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.bind_module(alias)),
            Stmt::ImportFrom(import) if import.level == 0 && import.module.as_deref() == Some("danube") => {
                import.names.iter().for_each(|alias| self.bind_member(alias));
            }
            _ => walk_stmt(self, stmt),
        }
    }
}
