//! Registers (注册) of institutions (机构), staff (卫生人员) and what belongs to them, driven by `catalog/registry`.
//!
//! One engine serves every register: the definition says which fields there are, what they are checked for, who decides
//! about them and how they are listed. An entry is written together with its version, its events and its audit entry
//! ([`write`]); every door (form, spreadsheet, request) comes through [`examine`].

mod api;
mod bring;
pub mod examine;
mod fhir;
mod guard;
pub use guard::protected;
pub mod imports;
pub mod life;
pub mod model;
pub mod pages;
pub mod panel;
pub mod read;
pub mod requests;
mod sheet;
mod staff_names;
mod staff_register;
pub mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Catalog, FieldKind, Pick, Register, TitlePart};
use chrono::{DateTime, Utc};
use contracts::{Institutions, Population};
use kernel::{Clock, Refusal, RegionCode};
use serde_json::{Map, Value};
use store::Db;

use crate::Directory;
use model::as_text;

/// Held while versions are written, so that their numbers come in the order of commits and the change feed loses none.
pub(crate) const LOCK: i64 = 0x6d69_6e6b_616e_6711;

/// The registers. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    pub(crate) db: Db,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: store::Settings,
    people: Option<Arc<dyn Population>>,
    counted: Arc<Mutex<Option<Counted>>>,
}

/// People by county, and when they were counted.
type Counted = (DateTime<Utc>, Arc<HashMap<RegionCode, i64>>);

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries").finish_non_exhaustive()
    }
}

impl Registries {
    /// The registers of a catalogue over the directory.
    pub fn new(
        directory: Arc<Directory>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        options: store::Settings,
    ) -> Self {
        Self {
            db: directory.db.clone(),
            catalog,
            directory,
            clock,
            options,
            people: None,
            counted: Arc::default(),
        }
    }

    /// Every route of the registers: pages, JSON and FHIR.
    pub fn routes(&self) -> web::Routes<()> {
        pages::routes(self).merge(api::routes(self)).merge(fhir::routes(self))
    }

    /// The same with the people of each county, for rates.
    #[must_use]
    pub fn with_people(self, people: Arc<dyn Population>) -> Self {
        Self { people: Some(people), ..self }
    }

    /// People by county; counted anew when the last count is too old.
    pub(crate) async fn people_by_county(&self) -> kernel::Result<Arc<HashMap<RegionCode, i64>>> {
        let Some(people) = &self.people else { return Ok(Arc::default()) };
        let now = self.clock.now();
        let kept = self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, counts)) = kept
            && now - at < self.options.minutes("registry.population_minutes")
        {
            return Ok(counts);
        }
        let counts = Arc::new(people.by_county().await?);
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&counts)));
        Ok(counts)
    }

    /// A register by its code.
    pub fn register(&self, code: &str) -> Result<&Arc<Register>, Refusal> {
        self.catalog
            .register(code)
            .ok_or_else(|| Refusal::not_found("registry.no_such", "没有这个注册库。请从菜单“注册管理”进入。"))
    }

    /// A value as people read it: codes and institutions by name.
    pub(crate) fn shown(&self, register: &Register, position: usize, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        match (register.picks[position], &register.dataset.fields[position].kind) {
            (Some(Pick::Institution), _) => {
                self.directory.by_code(text).map_or_else(|| text.to_owned(), |card| card.name.clone())
            }
            (Some(Pick::Region), _) => kernel::RegionCode::parse(text)
                .map_or_else(|_| text.to_owned(), |code| self.directory.region_name(&code)),
            (_, FieldKind::Code { table, .. }) => self.directory.tables_now().display(table, text).to_owned(),
            _ => text.to_owned(),
        }
    }

    /// What an entry is called.
    pub(crate) fn title(&self, register: &Register, content: &Map<String, Value>) -> String {
        let mut title = String::new();
        for part in &register.title {
            match part {
                TitlePart::Text(text) => title.push_str(text),
                TitlePart::Field(position) => {
                    let field = &register.dataset.fields[*position];
                    let text = content.get(&field.name).map(as_text).unwrap_or_default();
                    title.push_str(&self.shown(register, *position, &text));
                }
            }
        }
        title.trim().to_owned()
    }
}
