//! What a caller may do. Every route names the least that it asks for.

/// From least to most; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nobody need come in.
    Public,
    /// To see.
    Read,
    /// To start and to stop jobs.
    Write,
    /// Everything.
    Admin,
}

impl Permission {
    /// Its name, as the API's description has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}
