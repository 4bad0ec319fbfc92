//! The comparison engine of the master person index (居民主索引): which registrations are of one person.
//!
//! Pure: no files, no database, no clock, no threads but those of the batch. The life of a registration:
//!
//! 1. [`Model::prepare`] reads its values once into a [`Record`];
//! 2. [`Model::keys`] gives the blocking keys under which candidates are found;
//! 3. [`Model::compare`] weighs two records (Fellegi–Sunter: bits of evidence, added up over the fields, with term
//!    frequencies, deterministic rules and vetoes) and explains itself;
//! 4. [`cluster`] decides for a small neighbourhood or a whole province which records are one person, under the
//!    decisions of people and the rule that nobody has two valid citizen numbers.
//!
//! [`Batch`] does all of it for a file or a registry in memory, [`Batch::train`] learns the parameters from unlabelled data,
//! [`evaluate`] scores a result against the truth, [`guess_model`] makes a model for a file nobody described.

mod batch;
mod blocks;
mod cluster;
mod compare;
mod evaluate;
mod frequency;
mod guess;
mod keys;
mod kind;
mod model;
mod score;
mod train;
mod value;

pub use batch::{Batch, Linked, Options, Phase, Report};
pub use cluster::{Clustering, Constraints, Edge, Forest, Hold, Reason, cluster};
pub use compare::strings;
pub use evaluate::{Figures, Scores, evaluate};
pub use frequency::Frequencies;
pub use guess::{Column, guess_model};
pub use keys::Key;
pub use kind::Kind;
pub use model::{Model, ModelError};
pub use score::{Comparison, Contribution, Decision};
pub use train::{Trained, TrainedField, TrainedLevel, TrainedRelation};
pub use value::Record;
