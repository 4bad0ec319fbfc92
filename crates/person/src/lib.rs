//! The master index (主索引): identity records as institutions registered them, linked into persons.
//!
//! Facts hang on identity records; a person is a set of identity records. Linking, merging and splitting change links
//! only and never rewrite a fact. On-line linking is in [`linking`], what people do in [`operations`], what they look at
//! in [`review`], the values that are shown in [`best`]. How it decides: docs/adr/0017-on-line-linking.md.

pub mod best;
pub mod card;
pub mod care;
pub mod desk;
mod divisions;
mod engine;
mod events;
mod gather;
pub mod interface;
pub mod known;
pub mod linking;
pub mod operations;
mod population;
mod recompute;
pub mod review;
pub mod runs;
mod sealed;
pub mod search;
mod seen;
pub mod special;
mod traits;

use std::sync::{Arc, Mutex};

use contracts::{Institutions, Stays};
use kernel::access::InstitutionId;
use protect::Domain;
use store::reseal::{Part, PartColumn};
use store::{Db, Migration, Settings};

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
    Migration {
        context: "person",
        name: "0005_master_index",
        sql: include_str!("../migrations/0005_master_index.sql"),
    },
    Migration {
        context: "person",
        name: "0006_temporary_numbers",
        sql: include_str!("../migrations/0006_temporary_numbers.sql"),
    },
    Migration { context: "person", name: "0007_feed", sql: include_str!("../migrations/0007_feed.sql") },
    Migration {
        context: "person",
        name: "0008_review_question",
        sql: include_str!("../migrations/0008_review_question.sql"),
    },
    Migration { context: "person", name: "0009_claims", sql: include_str!("../migrations/0009_claims.sql") },
    Migration { context: "person", name: "0010_scraps", sql: include_str!("../migrations/0010_scraps.sql") },
    Migration { context: "person", name: "0011_look", sql: include_str!("../migrations/0011_look.sql") },
    Migration {
        context: "person",
        name: "0012_special",
        sql: include_str!("../migrations/0012_special.sql"),
    },
    Migration {
        context: "person",
        name: "0013_compare",
        sql: include_str!("../migrations/0013_compare.sql"),
    },
    Migration { context: "person", name: "0014_rows", sql: include_str!("../migrations/0014_rows.sql") },
    Migration {
        context: "person",
        name: "0015_fewer_indexes",
        sql: include_str!("../migrations/0015_fewer_indexes.sql"),
    },
    Migration {
        context: "person",
        name: "0016_one_death",
        sql: include_str!("../migrations/0016_one_death.sql"),
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
                PartColumn::text("contact_phone", sealed::CONTACT_PHONE.place),
            ],
        },
    ]
}

/// The master index: links rows to people and answers questions about people. Share one per process.
pub struct MasterIndex {
    db: Db,
    seen: Mutex<seen::Seen>,
    engine: engine::Current,
    numbers: linking::Numbers,
    options: Option<Settings>,
    institutions: Option<Arc<dyn Institutions>>,
    stays: Option<Arc<dyn Stays>>,
}

impl std::fmt::Debug for MasterIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterIndex").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl MasterIndex {
    /// A master index over this database, with the settings as shipped.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            seen: Mutex::default(),
            engine: engine::Current::default(),
            numbers: linking::Numbers::default(),
            options: None,
            institutions: None,
            stays: None,
        }
    }

    /// With the in-patient stays, of which nobody can have two at once in two cities.
    #[must_use]
    pub fn with_stays(mut self, stays: Arc<dyn Stays>) -> Self {
        self.stays = Some(stays);
        self
    }

    /// With an operator's settings, and the institutions, of which some are trusted more than others.
    #[must_use]
    pub fn with_options(mut self, options: Settings, institutions: Arc<dyn Institutions>) -> Self {
        self.options = Some(options);
        self.institutions = Some(institutions);
        self
    }

    /// How far an institution's registrations are trusted, 1 to 9.
    pub(crate) fn trust(&self, institution: InstitutionId) -> i64 {
        let (Some(options), Some(institutions)) = (&self.options, &self.institutions) else { return 5 };
        match institutions.by_id(institution).map_or("", |card| trusted_as(&card.sender_class)) {
            "hospital" => options.whole("person_index.trust_hospital"),
            "township" => options.whole("person_index.trust_township"),
            "village" => options.whole("person_index.trust_village"),
            "maternal_child" => options.whole("person_index.trust_maternal_child"),
            "cdc" => options.whole("person_index.trust_cdc"),
            _ => 5,
        }
    }

    /// How many records a blocking key may have to be looked at.
    pub(crate) fn candidates_per_key(&self) -> i64 {
        self.options.as_ref().map_or(100, |o| o.whole("person_index.candidates_per_key"))
    }

    /// The county where something is looked at: that of the institution, else of the residence.
    pub(crate) fn county(&self, institution: InstitutionId, region: &str) -> String {
        let card = self.institutions.as_ref().and_then(|i| i.by_id(institution));
        let code = card.map_or_else(|| region.to_owned(), |card| card.region.as_str().to_owned());
        code.chars().take(6).collect()
    }

    /// Whether risky answers wait for a second person.
    pub(crate) fn wants_second(&self) -> bool {
        self.options.as_ref().is_none_or(|o| o.flag("person_index.second_pair"))
    }
}

/// The class of institution by which its trust is set.
fn trusted_as(class: &str) -> &'static str {
    ["hospital", "township", "village", "maternal_child", "cdc"]
        .into_iter()
        .find(|c| *c == class)
        .unwrap_or("")
}
