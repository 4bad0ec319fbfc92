//! The catalogue: data sets, code tables, rules, roles and settings as definitions, read and checked at start.
//!
//! Pure: reads text that it is given, knows no database and no web. [`load::load`] turns the files of `catalog/` into
//! one [`Catalog`] or a list of every problem at once, with file and line; [`files`] brings the shipped files and an
//! operator's folder laid over them. [`Checker`] types and checks rows, [`Weighed`] turns counts into quality scores,
//! [`map_headings`] finds fields behind column headings. `docs/catalog.md` is the language.

pub mod check;
pub mod codes;
pub mod deidentify;
mod digest;
pub mod files;
pub mod headings;
pub mod hierarchy;
pub mod load;
pub mod model;
pub mod parse;
pub mod probe;
pub mod problem;
pub mod protection;
pub mod register;
pub mod role;
pub mod row;
pub mod score;
mod source;
pub mod title;
pub mod value;

pub use check::Checker;
pub use codes::{Code, CodeTable, CodeTables, LocalMap, LocalMaps, Retired};
pub use digest::Digester;
pub use files::{from_dir, shipped};
pub use headings::{HeadingError, HeadingNames, Mapping, map_headings};
pub use hierarchy::Hierarchy;
pub use model::*;
pub use problem::Problem;
pub use protection::{
    CodeSpan, FieldMask, FileClass, MaskLevel, MaskSight, Masks, Protection, ProtectionLevel, Recognise,
    SensitiveCategory,
};
pub use register::{Owner, Pick, Register};
pub use role::{Role, RoleGrant, RoleSpan};
pub use row::{Checked, Issue, LocalValue, RawRow, RuleSet};
pub use score::{RuleCounts, Score, Weighed};
pub use value::Value;
