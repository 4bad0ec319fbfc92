//! What is wrong with a definition, and where.

/// One problem of one definition file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path below the catalogue folder, e.g. `datasets/outpatient_visit.toml`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, in Chinese.
    pub message: String,
}

impl Problem {
    /// A problem.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}
