//! The master index (主索引): identity records as institutions registered them, linked into persons.
//!
//! Facts hang on identity records; a person is a set of identity records. Linking, and later merging and splitting,
//! changes links only and never rewrites a fact. The rules are in [`known`], the SQL in [`linking`].

pub mod card;
pub mod care;
mod divisions;
mod events;
mod gather;
pub mod known;
pub mod linking;
mod places;
mod population;
mod sealed;
pub mod search;
mod seen;
mod traits;

use std::sync::Mutex;

use protect::Domain;
use store::reseal::{Part, PartColumn};
use store::{Db, Migration};

/// The migrations of this context.
pub const MIGRATIONS: &[Migration] = &[
    Migration { context: "person", name: "0001_person", sql: include_str!("../migrations/0001_person.sql") },
    Migration {
        context: "person",
        name: "0002_protect",
        sql: include_str!("../migrations/0002_protect.sql"),
    },
    Migration { context: "person", name: "0003_care", sql: include_str!("../migrations/0003_care.sql") },
    Migration {
        context: "person",
        name: "0004_divisions",
        sql: include_str!("../migrations/0004_divisions.sql"),
    },
];

/// The protected columns of this context.
pub fn protected() -> Vec<Part> {
    let found =
        |name: &str, what: sealed::Protected, column| PartColumn::found(name, what.place, column, what.kind);
    vec![
        Part {
            table: "person".to_owned(),
            domain: Domain::Identity,
            columns: vec![
                found("citizen_id", sealed::CITIZEN, "citizen_blind"),
                PartColumn::text("phone", sealed::PHONE.place),
                PartColumn::text("address", sealed::ADDRESS.place),
            ],
        },
        Part {
            table: "identity_record".to_owned(),
            domain: Domain::Identity,
            columns: vec![
                found("citizen_id", sealed::CITIZEN, "citizen_blind"),
                found("credential_no", sealed::CREDENTIAL, "credential_blind"),
                found("card_no", sealed::CARD, "card_blind"),
                found("phone", sealed::PHONE, "phone_blind"),
                PartColumn::text("address", sealed::ADDRESS.place),
            ],
        },
    ]
}

/// The master index: links rows to people and answers questions about people. Share one per process.
#[derive(Debug)]
pub struct MasterIndex {
    db: Db,
    seen: Mutex<seen::Seen>,
}

impl MasterIndex {
    /// A master index over this database.
    pub fn new(db: Db) -> Self {
        Self { db, seen: Mutex::default() }
    }
}
