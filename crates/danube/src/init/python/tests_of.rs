//! Which tests a Python project has.

use std::path::Path;

use super::Python;

/// Test files that are looked into.
const LOOKED_INTO: usize = 50;

/// What runs the tests.
#[derive(Debug, PartialEq, Eq)]
pub enum Tests {
    /// pytest.
    Pytest,
    /// Django's manage.py.
    Django,
    /// The standard library, from this folder on.
    Unittest {
        /// `tests`, `test`, or `.`.
        folder: &'static str,
    },
    /// There are none.
    None,
}

impl Tests {
    /// Looks for settings of pytest first, then into the tests.
    pub fn find(python: &Python<'_>) -> Self {
        let project = python.project;
        let files: Vec<&Path> = project.files().filter(|path| is_test(path)).collect();
        let texts: Vec<String> = files.iter().take(LOOKED_INTO).map(|path| project.text(path)).collect();
        if speaks_of_pytest(python)
            || texts.iter().any(|text| text.contains("import pytest") || text.contains("from pytest"))
        {
            return Self::Pytest;
        }
        if project.has("manage.py") && project.text("manage.py").contains("django") {
            return Self::Django;
        }
        let folder = ["tests", "test"].into_iter().find(|folder| files.iter().any(|path| path.starts_with(folder)));
        let folder = folder.or_else(|| files.iter().any(|path| path.components().count() == 1).then_some("."));
        match folder {
            Some(folder) if texts.iter().any(|text| text.contains("unittest")) => Self::Unittest { folder },
            Some(_) => Self::Pytest,
            None => Self::None,
        }
    }
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.extension().is_some_and(|end| end == "py") && (name.starts_with("test_") || name.ends_with("_test.py"))
}

fn speaks_of_pytest(python: &Python<'_>) -> bool {
    let project = python.project;
    let has_file = project.has("pytest.ini") || project.files().any(|path| path.ends_with("conftest.py"));
    let sections = [("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]")];
    has_file
        || python.setting(&["tool", "pytest"]).is_some()
        || sections.iter().any(|(file, section)| project.text(file).contains(section))
}
