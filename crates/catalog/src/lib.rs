//! The catalogue: data sets, code tables, rules, roles and settings as definitions, read and checked at start.
//!
//! Pure: reads text that it is given, knows no database and no web. [`load::load`] turns the files of `catalog/` into
//! one [`Catalog`] or a list of every problem at once, with file and line. `docs/catalog.md` is the language.

pub mod codes;
pub mod model;
pub mod row;
pub mod value;

pub use codes::{Code, CodeTable, CodeTables};
pub use model::*;
pub use row::{Checked, Issue, RawRow};
pub use value::Value;
