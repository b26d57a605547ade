//! What each kind of project comes to: steps, and why just these.

/// One kind of code that was found, and what is to be done with it.
#[derive(Debug, Default)]
pub struct Part {
    /// What it is: `Rust`.
    pub kind: &'static str,
    /// The files that tell so.
    pub why: Vec<&'static str>,
    /// What the project calls itself.
    pub name: Option<String>,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// What not every project passes: written as comments.
    pub more: Vec<Step>,
    /// Whether some of the steps are its tests.
    pub has_tests: bool,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
    /// A program that its steps need and this machine does not have.
    pub missing: Option<&'static str>,
    /// An image that has it, as an example.
    pub image: &'static str,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// What is shown.
    pub name: &'static str,
    /// The command.
    pub command: String,
    /// Variables.
    pub env: Option<(&'static str, &'static str)>,
}

impl Step {
    /// A step without variables.
    pub fn new(name: &'static str, command: impl Into<String>) -> Self {
        Self { name, command: command.into(), env: None }
    }
}

impl Part {
    /// Whether its steps can run on this machine.
    pub fn runs(&self) -> bool {
        self.missing.is_none() && !self.steps.is_empty()
    }
}
