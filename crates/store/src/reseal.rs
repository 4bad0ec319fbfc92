//! Writing protected values anew: what was written plain, and what an older key wrote, while everybody goes on reading
//! and writing.
//!
//! A table is gone through by ranges of its pages, a short transaction each, and the place is noted in `protect_sweep`:
//! a process that dies goes on from there. Each row is written only if it still is what was read. A pass is repeated
//! until one finds nothing to write; then the older keys are retired.

use std::fmt::Write;
use std::sync::Arc;

use catalog::Catalog;
use kernel::{Clock, Error, Result};
use protect::{Blinder, Domain, KeyState, Opener, Purpose, Sealer, sealed_with};
use sqlx::{AssertSqlSafe, Row};

use crate::db::{Db, Retry, Tx};
use crate::failure::DbDoing;
use crate::jobs::{Job, Jobs, enqueue_at};
use crate::keys::{SETTLE, Vault};

/// Kind of the job.
pub const JOB: &str = "keys.reseal";
/// Pages of 8 kB that one transaction looks at: some hundred to two thousand rows.
const PAGES: i64 = 32;
/// Passes over a table before the job fails and is tried again later.
const PASSES: u32 = 10;

/// A table with protected values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The table.
    pub table: String,
    /// What its keys are for.
    pub domain: Domain,
    /// The columns; none for `fact_history`, whose content follows the catalogue.
    pub columns: Vec<PartColumn>,
}

/// A protected column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartColumn {
    /// Its name.
    pub name: String,
    /// The place its ciphertext is bound to.
    pub place: String,
    /// The column of its blind index and the kind of number.
    pub blind: Option<(&'static str, &'static str)>,
    /// How it is sealed.
    pub form: Form,
}

/// How a column holds what is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `text`, sealed whole.
    Text,
    /// `jsonb`, sealed as one JSON text.
    Json,
    /// `jsonb`: an object whose values are sealed texts, each bound to `<place>.<name of the value>`.
    Fields,
}

impl PartColumn {
    /// A `text` column.
    pub fn text(name: &str, place: &str) -> Self {
        Self { name: name.to_owned(), place: place.to_owned(), blind: None, form: Form::Text }
    }
    /// A `jsonb` column whose object holds a sealed text under each name.
    pub fn fields(name: &str, place: &str) -> Self {
        Self { form: Form::Fields, ..Self::text(name, place) }
    }
    /// A `text` column that is found by a blind index.
    pub fn found(name: &str, place: &str, column: &'static str, kind: &'static str) -> Self {
        Self { blind: Some((column, kind)), ..Self::text(name, place) }
    }
}

/// The tables of facts.
pub fn fact_parts(catalog: &Catalog) -> Vec<Part> {
    let mut parts: Vec<Part> = catalog
        .datasets
        .iter()
        .filter(|d| d.protected().next().is_some())
        .map(|d| Part {
            table: d.table(),
            domain: Domain::Facts,
            columns: d.protected().map(|f| PartColumn::text(&d.fields[f].name, &d.place(f))).collect(),
        })
        .collect();
    parts.push(Part { table: "fact_history".to_owned(), domain: Domain::Facts, columns: Vec::new() });
    parts
}

/// How far a table has come, for people.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Sweep {
    /// The table.
    pub table_name: String,
    /// Pages done.
    pub page: i64,
    /// Pages when the pass began.
    pub pages: i64,
    /// Rows written anew.
    pub changed: i64,
    /// Whether it is through.
    pub done: bool,
}

/// How far every table has come.
///
/// # Errors
/// When the database fails.
pub async fn sweeps(db: &Db) -> Result<Vec<Sweep>> {
    sqlx::query_as("select table_name, page, pages, changed, done from protect_sweep order by table_name")
        .fetch_all(db.pool())
        .await
        .db("read how far re-encryption has come")
}

/// What writes protected values anew.
#[derive(Clone)]
pub struct Resealer {
    /// The database.
    pub db: Db,
    /// The keys.
    pub vault: Vault,
    /// Definitions, for kept versions of facts.
    pub catalog: Arc<Catalog>,
    /// Every table with protected values.
    pub parts: Arc<Vec<Part>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Resealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resealer").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl Resealer {
    /// Registers the job's handler.
    pub fn register(&self, jobs: &mut Jobs) {
        let own = self.clone();
        jobs.on(JOB, move |job| {
            let own = own.clone();
            async move { own.run(Some(&job)).await }
        });
    }

    /// Asks for a run when the new versions of keys may write.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request(&self) -> Result<()> {
        let at = self.clock.now() + SETTLE;
        self.db
            .transaction(async |tx| {
                enqueue_at(tx, JOB, "keys", &serde_json::json!({}), Some("keys"), at).await?;
                Ok(())
            })
            .await
    }

    /// Asks for a run if something is plain or older than the keys in force. Tables that are empty need none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_if_needed(&self) -> Result<bool> {
        let keys = self.vault.status().await?;
        let mut needed = keys
            .iter()
            .any(|k| k.purpose == Purpose::Data && matches!(k.state, KeyState::Coming | KeyState::Reading));
        for part in self.parts.iter() {
            let target = self.vault.keyring().active(part.domain)?.to_string();
            let state = state(&self.db, &part.table).await?;
            if state.as_ref().is_some_and(|s| s.done && s.target == target) {
                continue;
            }
            if size(&self.db, &part.table).await? == 0 {
                note(&self.db, &part.table, &State { target, done: true, ..State::default() }, &*self.clock)
                    .await?;
            } else {
                needed = true;
            }
        }
        if needed {
            self.request().await?;
        }
        Ok(needed)
    }

    /// Brings every table to the keys in force and retires the others.
    ///
    /// # Errors
    /// When the database fails, or a value does not open.
    pub async fn run(&self, job: Option<&Job>) -> Result<()> {
        self.vault.activate(self.clock.now()).await?;
        for (at, part) in self.parts.iter().enumerate() {
            self.part(part, at, job).await?;
        }
        for domain in Domain::ALL {
            // Secrets and originals name their key in each value and are not swept here.
            if self.parts.iter().any(|p| p.domain == domain) {
                self.vault.retire(domain, self.clock.now()).await?;
            }
        }
        Ok(())
    }

    async fn part(&self, part: &Part, at: usize, job: Option<&Job>) -> Result<()> {
        let keyring = self.vault.keyring();
        let sealer = keyring.sealer(part.domain)?;
        let target = sealer.key().to_string();
        let mut state = match state(&self.db, &part.table).await? {
            Some(state) if state.target == target => state,
            _ => State { target: target.clone(), ..State::default() },
        };
        if state.done {
            return Ok(());
        }
        let blinder = match part.columns.iter().any(|c| c.blind.is_some()) {
            true => Some(keyring.blinder(part.domain)?),
            false => None,
        };
        let hand = Hand { opener: keyring.opener(), sealer, blinder, part, catalog: &self.catalog };
        for _ in 0..PASSES {
            // A pass that an earlier process began may have written something.
            let mut written = u64::from(state.page > 0);
            state.pages = size(&self.db, &part.table).await?;
            while state.page < state.pages {
                let mut next = state.clone();
                next.page = (state.page + PAGES).min(state.pages);
                let changed = self.step(&hand, state.page, &mut next).await?;
                written += changed;
                state = next;
                if let Some(job) = job {
                    job.progress(&serde_json::json!({
                        "table": part.table, "page": state.page, "pages": state.pages, "changed": state.changed,
                        "part": at + 1, "parts": self.parts.len(),
                    }))
                    .await?;
                }
            }
            state.page = 0;
            if written == 0 {
                state.done = true;
                note(&self.db, &part.table, &state, &*self.clock).await?;
                tracing::info!(
                    table = part.table,
                    changed = state.changed,
                    "protected values are up to date"
                );
                return Ok(());
            }
        }
        Err(Error::fault("write protected values anew", format!("{} keeps changing", part.table)))
    }

    async fn step(&self, hand: &Hand<'_>, from: i64, next: &mut State) -> Result<u64> {
        let mut retry = Retry::default();
        let before = next.changed;
        loop {
            next.changed = before;
            let attempt = self
                .db
                .transaction(async |tx| {
                    let changed = if hand.part.columns.is_empty() {
                        hand.history(tx, from, next.page).await?
                    } else {
                        hand.columns(tx, from, next.page).await?
                    };
                    next.changed += changed as i64;
                    save(tx, &hand.part.table, next, self.clock.now()).await?;
                    Ok(changed)
                })
                .await;
            match attempt {
                Err(error) if retry.again(&error).await => {}
                out => return out,
            }
        }
    }
}

/// What a pass over one table works with.
struct Hand<'a> {
    opener: Opener,
    sealer: Sealer,
    blinder: Option<Blinder>,
    part: &'a Part,
    catalog: &'a Catalog,
}

impl Hand<'_> {
    /// The value as the key in force writes it; `None` where it is so already.
    fn fresh(&self, place: &str, value: &str) -> Result<Option<String>> {
        if value.is_empty() || sealed_with(value) == Some(self.sealer.key()) {
            return Ok(None);
        }
        Ok(Some(self.sealer.text(place, &self.opener.text(place, value)?)?))
    }

    async fn columns(&self, tx: &mut Tx<'_>, from: i64, to: i64) -> Result<u64> {
        let columns = &self.part.columns;
        let rows = sqlx::query(AssertSqlSafe(self.select()))
            .bind(format!("({from},0)"))
            .bind(format!("({to},0)"))
            .bind(format!("~{}.%", self.sealer.key()))
            .bind(format!("\"~{}.%", self.sealer.key()))
            .fetch_all(&mut **tx)
            .await
            .db("read protected values")?;
        let mut places: Vec<String> = Vec::new();
        let mut old: Vec<Vec<Option<String>>> = vec![Vec::new(); columns.len()];
        let mut new: Vec<Vec<Option<String>>> = vec![Vec::new(); columns.len()];
        let mut blinds: Vec<Vec<Option<Vec<u8>>>> = vec![Vec::new(); columns.len()];
        for row in rows {
            let read = || Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            let (place, values, blind_missing): (String, Vec<Option<String>>, Vec<bool>) =
                read().db("read protected values")?;
            let mut fresh = Vec::with_capacity(columns.len());
            let mut touched = false;
            for ((column, value), missing) in columns.iter().zip(&values).zip(&blind_missing) {
                let Some(value) = value else {
                    fresh.push((None, None));
                    continue;
                };
                let sealed = self.sealed(column, value)?;
                let blind = match (&column.blind, &self.blinder) {
                    (Some((_, kind)), Some(blinder)) if *missing => {
                        blinder.column(kind, &self.opener.text(&column.place, value)?)
                    }
                    _ => None,
                };
                touched |= sealed.is_some() || blind.is_some();
                fresh.push((Some(sealed.unwrap_or_else(|| value.clone())), blind));
            }
            if !touched {
                continue;
            }
            places.push(place);
            for (at, ((sealed, blind), value)) in fresh.into_iter().zip(values).enumerate() {
                new[at].push(sealed);
                blinds[at].push(blind);
                old[at].push(value);
            }
        }
        if places.is_empty() {
            return Ok(0);
        }
        let sql = self.update();
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(places);
        for ((old, new), blind) in old.into_iter().zip(new).zip(blinds) {
            query = query.bind(old).bind(new).bind(blind);
        }
        Ok(query.execute(&mut **tx).await.db("write protected values anew")?.rows_affected())
    }

    // A jsonb column holds a JSON text once it is sealed, or an object of sealed texts.
    fn sealed(&self, column: &PartColumn, value: &str) -> Result<Option<String>> {
        match column.form {
            Form::Text => return self.fresh(&column.place, value),
            Form::Fields => return self.sealed_fields(column, value),
            Form::Json => {}
        }
        let inner = match serde_json::from_str(value) {
            Ok(serde_json::Value::String(text)) if protect::is_sealed(&text) => text,
            _ => value.to_owned(),
        };
        Ok(self.fresh(&column.place, &inner)?.map(|text| serde_json::Value::String(text).to_string()))
    }

    fn sealed_fields(&self, column: &PartColumn, value: &str) -> Result<Option<String>> {
        let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(value) else { return Ok(None) };
        let mut touched = false;
        for (name, value) in &mut object {
            if let serde_json::Value::String(text) = value
                && let Some(fresh) = self.fresh(&format!("{}.{name}", column.place), text)?
            {
                *text = fresh;
                touched = true;
            }
        }
        Ok(touched.then(|| serde_json::Value::Object(object).to_string()))
    }

    fn select(&self) -> String {
        let columns = &self.part.columns;
        let list: Vec<String> = columns.iter().map(|c| format!("t.{}::text", c.name)).collect();
        let blind: Vec<String> = columns
            .iter()
            .map(|c| c.blind.map_or("false".to_owned(), |(b, _)| format!("t.{b} is null")))
            .collect();
        let mut wanted = Vec::new();
        for column in columns {
            let mut one = match column.form {
                Form::Text => format!("t.{0}::text <> '' and (t.{0}::text not like $3", column.name),
                Form::Json => format!("t.{0}::text <> '' and (t.{0}::text not like $4", column.name),
                Form::Fields => format!(
                    "(exists (select from jsonb_each_text(t.{}) as f (name, value)
                              where f.value <> '' and f.value not like $3)",
                    column.name
                ),
            };
            if let Some((blind, _)) = column.blind {
                let _ = write!(one, " or t.{blind} is null");
            }
            one.push(')');
            wanted.push(format!("({one})"));
        }
        format!(
            "select t.ctid::text, array[{}]::text[], array[{}]::boolean[] from {} t
             where t.ctid >= $1::text::tid and t.ctid < $2::text::tid and ({})
                and ($3::text is not null and $4::text is not null)",
            list.join(", "),
            blind.join(", "),
            self.part.table,
            wanted.join(" or "),
        )
    }

    fn update(&self) -> String {
        let (mut sets, mut arrays, mut names, mut same) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, column) in self.part.columns.iter().enumerate() {
            let first = 2 + n * 3;
            let cast = if column.form == Form::Text { "" } else { "::jsonb" };
            sets.push(format!("{} = u.n{n}{cast}", column.name));
            if let Some((blind, _)) = column.blind {
                sets.push(format!("{blind} = coalesce(u.b{n}, t.{blind})"));
            }
            arrays.push(format!("${first}::text[], ${}::text[], ${}::bytea[]", first + 1, first + 2));
            names.push(format!("o{n}, n{n}, b{n}"));
            same.push(format!("t.{}::text is not distinct from u.o{n}", column.name));
        }
        format!(
            "update {} t set {} from unnest($1::text[], {}) as u (place, {})
             where t.ctid = u.place::tid and {}",
            self.part.table,
            sets.join(", "),
            arrays.join(", "),
            names.join(", "),
            same.join(" and "),
        )
    }

    async fn history(&self, tx: &mut Tx<'_>, from: i64, to: i64) -> Result<u64> {
        let rows = sqlx::query(
            "select ctid::text, dataset, content from fact_history
             where ctid >= $1::text::tid and ctid < $2::text::tid",
        )
        .bind(format!("({from},0)"))
        .bind(format!("({to},0)"))
        .fetch_all(&mut **tx)
        .await
        .db("read kept versions")?;
        let (mut places, mut contents) = (Vec::new(), Vec::new());
        for row in rows {
            let read = || Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            let (place, number, mut content): (String, i16, serde_json::Value) =
                read().db("read a kept version")?;
            let Some(dataset) = self.catalog.dataset_by_number(number) else { continue };
            let mut touched = false;
            for position in dataset.protected() {
                if let Some(serde_json::Value::String(text)) = content.get_mut(&dataset.fields[position].name)
                    && let Some(fresh) = self.fresh(&dataset.place(position), text)?
                {
                    *text = fresh;
                    touched = true;
                }
            }
            if touched {
                places.push(place);
                contents.push(content);
            }
        }
        if places.is_empty() {
            return Ok(0);
        }
        // Kept versions are never changed by anybody else.
        let done = sqlx::query(
            "update fact_history t set content = u.content from unnest($1::text[], $2::jsonb[]) as u (place, content)
             where t.ctid = u.place::tid",
        )
        .bind(places)
        .bind(contents)
        .execute(&mut **tx)
        .await
        .db("write kept versions anew")?;
        Ok(done.rows_affected())
    }
}

#[derive(Debug, Clone, Default)]
struct State {
    target: String,
    page: i64,
    pages: i64,
    changed: i64,
    done: bool,
}

async fn state(db: &Db, table: &str) -> Result<Option<State>> {
    let row =
        sqlx::query("select target, page, pages, changed, done from protect_sweep where table_name = $1")
            .bind(table)
            .fetch_optional(db.pool())
            .await
            .db("read how far a table has come")?;
    row.map(|row| {
        Ok(State {
            target: row.try_get(0)?,
            page: row.try_get(1)?,
            pages: row.try_get(2)?,
            changed: row.try_get(3)?,
            done: row.try_get(4)?,
        })
    })
    .transpose()
    .map_err(|error: sqlx::Error| crate::db_error("read how far a table has come", error))
}

async fn save(tx: &mut Tx<'_>, table: &str, state: &State, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    sqlx::query(
        "insert into protect_sweep (table_name, target, page, pages, changed, done, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (table_name) do update set target = excluded.target, page = excluded.page,
             pages = excluded.pages, changed = excluded.changed, done = excluded.done,
             updated_at = excluded.updated_at",
    )
    .bind(table)
    .bind(&state.target)
    .bind(state.page)
    .bind(state.pages)
    .bind(state.changed)
    .bind(state.done)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("note how far a table has come")?;
    Ok(())
}

async fn note(db: &Db, table: &str, state: &State, clock: &dyn Clock) -> Result<()> {
    db.transaction(async |tx| save(tx, table, state, clock.now()).await).await
}

/// Pages of a table.
async fn size(db: &Db, table: &str) -> Result<i64> {
    sqlx::query_scalar("select pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint")
        .bind(table)
        .fetch_one(db.pool())
        .await
        .db("measure a table")
}
