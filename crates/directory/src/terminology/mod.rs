//! Terminology (术语注册, A4): code tables with editions, search, institutions' own codes, coverage, FHIR.
//!
//! ```text
//! catalog/codes ─┐
//!                ├─ editions (in force from … to …) ─ CodeTables ─┬─ search index ─ pages, forms, FHIR
//! files loaded ──┘                                                └─ Checker of intake ─┐
//! code_map: proposed → approved → ended ─ LocalMaps ──────────────────────────────────┘
//!            └→ rejected, withdrawn          unknown codes ─ local_code, code_day, code_unmapped_day ─ coverage
//!     approved, ended ─ code_translation ─ stored rows follow (carried out by `exchange`)
//! ```
//!
//! Tables and maps are served from memory. Search indexes are built when a table is first searched.

pub mod coverage;
pub mod editions;
pub mod fhir;
pub mod index;
pub mod maps;
pub mod pages;
mod panel;
pub mod reader;
pub mod stored;
pub mod suggest;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use catalog::{CodeTable, CodeTables, LocalMaps};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::CodeCounts;
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Clock, Result, SystemClock};
use store::{DbDoing, Tx};

use crate::Directory;
use index::{Hit, Query, SearchIndex};

pub use panel::panel;

/// Editions out of force that are remembered after somebody asked for them.
const REMEMBERED: usize = 6;
/// How long the counts of use of an institution are taken as they are.
const USES_HOLD: TimeDelta = TimeDelta::minutes(10);
/// Codes of an institution whose use is told apart.
const USES: i64 = 5_000;
/// How long counts of use are gathered before they are written.
const GATHER: TimeDelta = TimeDelta::seconds(60);

/// How often each code of a table is used at an institution, by position.
pub type Uses = Arc<HashMap<u32, u32>>;

/// Counts of use and when they were read.
type Taken = (DateTime<Utc>, Uses);

/// What terminology keeps in memory beside the tables.
pub(crate) struct Terms {
    clock: RwLock<Arc<dyn Clock>>,
    indexes: Mutex<HashMap<String, Arc<SearchIndex>>>,
    editions: Mutex<Vec<(i32, Arc<CodeTable>)>>,
    /// Approved maps by institution.
    maps: RwLock<Arc<HashMap<i64, Arc<LocalMaps>>>>,
    /// The next day on which other editions hold.
    next: Mutex<Option<NaiveDate>>,
    uses: Mutex<HashMap<(i64, String), Taken>>,
    gathered: Mutex<Gathered>,
    /// Code and name of each data set by its number, for links.
    datasets: RwLock<Arc<DatasetNames>>,
}

/// Code and name of each data set by its number.
type DatasetNames = HashMap<i16, (String, String)>;

/// Counts of use not yet written: institution, table, code.
#[derive(Default)]
struct Gathered {
    since: Option<DateTime<Utc>>,
    counts: HashMap<(i64, String), HashMap<String, i64>>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            clock: RwLock::new(Arc::new(SystemClock)),
            indexes: Mutex::default(),
            editions: Mutex::default(),
            maps: RwLock::default(),
            next: Mutex::default(),
            uses: Mutex::default(),
            gathered: Mutex::default(),
            datasets: RwLock::default(),
        }
    }
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Terms")
    }
}

impl Terms {
    fn remembered(&self, id: i32) -> Option<Arc<CodeTable>> {
        let editions = self.editions.lock().unwrap_or_else(PoisonError::into_inner);
        editions.iter().find(|(of, _)| *of == id).map(|(_, table)| Arc::clone(table))
    }
    fn remember(&self, id: i32, table: Arc<CodeTable>) -> Arc<CodeTable> {
        let mut editions = self.editions.lock().unwrap_or_else(PoisonError::into_inner);
        if editions.len() >= REMEMBERED {
            editions.remove(0);
        }
        editions.push((id, Arc::clone(&table)));
        table
    }
    fn forget_editions(&self) {
        self.editions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Directory {
    /// Takes the time from another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        *self.terms.clock.write().unwrap_or_else(PoisonError::into_inner) = clock;
        self
    }

    /// Learns the names of data sets, by which pages lead to rows.
    #[must_use]
    pub fn with_datasets(self, catalog: &catalog::Catalog) -> Self {
        let names = catalog.datasets.iter().map(|d| (d.number, (d.code.clone(), d.name.clone()))).collect();
        crate::put::<DatasetNames>(&self.terms.datasets, names);
        self
    }

    fn dataset_names(&self) -> Arc<DatasetNames> {
        crate::get(&self.terms.datasets)
    }

    /// The present instant.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.terms.clock.read().unwrap_or_else(PoisonError::into_inner).now()
    }

    /// Today in China.
    pub(crate) fn today(&self) -> NaiveDate {
        kernel::clock::to_china(self.now()).date()
    }

    /// The tables in force today; also notes when that changes.
    pub(crate) async fn tables_of_today(&self) -> Result<CodeTables> {
        let (tables, next) = editions::in_force(&self.db, &self.shipped, self.today()).await?;
        *self.terms.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(tables)
    }

    /// Whether a day has come on which other editions hold than those in memory.
    pub(crate) fn editions_are_due(&self) -> bool {
        let next = *self.terms.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.is_some_and(|day| self.today() >= day)
    }

    /// The search index of a table, made on first use. Made while others wait: it takes some 30 ms for 34,000 codes.
    pub fn search_index(&self, table: &Arc<CodeTable>) -> Arc<SearchIndex> {
        let mut indexes = self.terms.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = indexes.get(&table.id)
            && Arc::ptr_eq(index.table(), table)
        {
            return Arc::clone(index);
        }
        let index = Arc::new(SearchIndex::new(Arc::clone(table)));
        indexes.insert(table.id.clone(), Arc::clone(&index));
        index
    }

    /// Codes of a table that match, best first.
    pub fn search_codes(&self, table: &Arc<CodeTable>, query: Query<'_>) -> Vec<Hit> {
        self.search_index(table).search(query)
    }

    /// How often codes of a table are used at an institution.
    pub async fn uses_of(&self, institution: InstitutionId, table: &Arc<CodeTable>) -> Result<Uses> {
        let key = (institution.get(), table.id.clone());
        let now = self.now();
        {
            let known = self.terms.uses.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, uses)) = known.get(&key)
                && now - *at < USES_HOLD
            {
                return Ok(Arc::clone(uses));
            }
        }
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select code, uses from code_use where institution_id = $1 and table_id = $2 order by uses desc limit $3",
        )
        .bind(institution.get() as i32)
        .bind(&table.id)
        .bind(USES)
        .fetch_all(self.db.pool())
        .await
        .db("read the use of codes")?;
        let uses: HashMap<u32, u32> = rows
            .iter()
            .filter_map(|(code, uses)| {
                Some((table.position(code)?, u32::try_from(*uses).unwrap_or(u32::MAX)))
            })
            .collect();
        let uses = Arc::new(uses);
        let mut known = self.terms.uses.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (now, Arc::clone(&uses)));
        Ok(uses)
    }

    /// Gathers counts of use; gives them out to be written once a minute. What is gathered when the process ends is
    /// lost: the counts only order what a search offers.
    fn gather(&self, institution: InstitutionId, counts: &CodeCounts) -> Option<Gathered> {
        let now = self.now();
        let mut gathered = self.terms.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, code, rows) in &counts.used {
            let of_table = gathered.counts.entry((institution.get(), table.clone())).or_default();
            *of_table.entry(code.clone()).or_default() += rows;
        }
        let since = *gathered.since.get_or_insert(now);
        (now - since >= GATHER && !gathered.counts.is_empty()).then(|| std::mem::take(&mut *gathered))
    }
}

impl contracts::Terminology for Directory {
    fn tables(&self) -> Arc<CodeTables> {
        self.tables_now()
    }
    fn local_maps(&self, institution: InstitutionId) -> Option<Arc<LocalMaps>> {
        crate::get(&self.terms.maps).get(&institution.get()).cloned()
    }
    fn count_codes<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        institution: InstitutionId,
        counts: &'a CodeCounts,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(coverage::count(self, tx, institution, counts))
    }
}
