//! Writing facts: one chunk of rows of one institution and data set, set-based, exactly once.
//!
//! A chunk costs one look-up of its business keys, one binary COPY, and — only when rows are replaced or
//! withdrawn — one statement each for history and deletion. A replaced fact keeps its identifier.

use std::collections::HashMap;
use std::sync::Mutex;

use catalog::{Catalog, Checked, Dataset, FieldKind, Value};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Error, Result};
use protect::{Domain, Opener, Sealer};
use rust_decimal::Decimal;
use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, Row};

use crate::copy::CopyRows;
use crate::db::{Db, Tx};
use crate::failure::DbDoing;

mod correct;

pub use correct::{Correction, Held, Looking, Page};

/// How many identifiers one `nextval` reserves; the sequence is created with this increment.
const ID_BLOCK: i64 = 10_000;

/// A checked row with its identity record.
#[derive(Debug)]
pub struct FactRow<'a> {
    /// The row.
    pub checked: &'a Checked,
    /// Whose it is; `None` only in data sets without a person.
    pub identity_id: Option<i64>,
    /// When it happened.
    pub occurred_at: NaiveDateTime,
}

/// Where a chunk's rows go.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// The institution that sends.
    pub institution: InstitutionId,
    /// The batch the rows came in.
    pub batch: i64,
    /// Time of writing.
    pub now: DateTime<Utc>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was new.
    Stored {
        /// Its identifier.
        fact_id: i64,
    },
    /// The same content is there already.
    Unchanged,
    /// It replaced an earlier version, which history keeps.
    Replaced {
        /// Its identifier, unchanged.
        fact_id: i64,
        /// Whose the earlier version was.
        old_identity: Option<i64>,
        /// When the earlier version said it happened.
        old_occurred: NaiveDateTime,
    },
    /// It withdrew a fact, which history keeps.
    Withdrawn {
        /// The identifier it had.
        fact_id: i64,
        /// Whose it was.
        old_identity: Option<i64>,
        /// When it happened.
        old_occurred: NaiveDateTime,
    },
    /// It withdrew what is not there (never sent, or withdrawn before): nothing changed.
    Absent,
}

/// The statements of one data set's fact table, generated once.
#[derive(Debug)]
struct Statements {
    find: String,
    copy: String,
    history: String,
    /// The same for versions that a reason ends, not a batch.
    corrected: String,
    delete: String,
    /// For each field: the place its ciphertext is bound to, if it is protected.
    places: Vec<Option<String>>,
}

/// Writes facts of every data set of a catalogue.
#[derive(Debug)]
pub struct Facts {
    db: Db,
    statements: HashMap<i16, Statements>,
    ids: Mutex<std::ops::Range<i64>>,
}

struct Found {
    fact_id: i64,
    version: i32,
    digest: u128,
    identity: Option<i64>,
    occurred: NaiveDateTime,
}

impl Facts {
    /// Generates the statements.
    pub fn new(db: Db, catalog: &Catalog) -> Self {
        let statements = catalog.datasets.iter().map(|d| (d.number, statements(d))).collect();
        Self { db, statements, ids: Mutex::new(0..0) }
    }

    /// Takes the lock that makes writers of one institution and data set wait for each other until the
    /// transaction ends, and keeps the planner on the index paths (a chunk's look-up against a table whose
    /// statistics lag behind a bulk load would otherwise scan it).
    pub async fn begin_chunk(&self, tx: &mut Tx<'_>, target: Target<'_>) -> Result<()> {
        sqlx::query(
            "select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
                set_config('enable_mergejoin', 'off', true), pg_advisory_xact_lock($1, $2)",
        )
        .bind(target.institution.get() as i32)
        .bind(i32::from(target.dataset.number))
        .execute(&mut **tx)
        .await
        .db("lock the data set for writing")?;
        Ok(())
    }

    /// Writes the rows; one outcome each, in order. [`Facts::begin_chunk`] must have been called in `tx`.
    /// A business key that comes twice is applied in order, as if the rows had come one by one.
    pub async fn write(
        &self,
        tx: &mut Tx<'_>,
        target: Target<'_>,
        rows: &[FactRow<'_>],
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![Outcome::Absent; rows.len()];
        let mut pending: Vec<usize> = (0..rows.len()).collect();
        while !pending.is_empty() {
            let mut seen: HashMap<Vec<KeyPart<'_>>, ()> = HashMap::with_capacity(pending.len());
            let (round, later): (Vec<usize>, Vec<usize>) = pending
                .into_iter()
                .partition(|i| seen.insert(key_of(target.dataset, &rows[*i].checked.values), ()).is_none());
            self.write_round(tx, target, rows, &round, &mut outcomes).await?;
            pending = later;
        }
        Ok(outcomes)
    }

    async fn write_round(
        &self,
        tx: &mut Tx<'_>,
        target: Target<'_>,
        rows: &[FactRow<'_>],
        round: &[usize],
        outcomes: &mut [Outcome],
    ) -> Result<()> {
        let Target { dataset, institution, batch, .. } = target;
        let sql = self.statements.get(&dataset.number).ok_or_else(|| {
            Error::fault("find the statements of a data set", format!("no data set {}", dataset.number))
        })?;
        let mut found = find(tx, sql, target, rows, round).await?;
        let mut copy = CopyRows::new(8 + dataset.fields.len(), round.len());
        let (mut replaced, mut withdrawn) = (Vec::new(), Vec::new());
        let fresh = round
            .iter()
            .enumerate()
            .filter(|(at, i)| found[*at].is_none() && !rows[**i].checked.withdrawn)
            .count();
        let mut ids = self.reserve(fresh).await?.into_iter();
        // One key for the whole chunk, looked up once.
        let sealer = match sql.places.iter().any(Option::is_some) {
            true => Some(tx.keyring().sealer(Domain::Facts)?),
            false => None,
        };
        for (at, i) in round.iter().enumerate() {
            let row = &rows[*i];
            let (fact_id, version, outcome) = match found[at].take() {
                Some(old) if row.checked.withdrawn => {
                    withdrawn.push(old.fact_id);
                    outcomes[*i] = Outcome::Withdrawn {
                        fact_id: old.fact_id,
                        old_identity: old.identity,
                        old_occurred: old.occurred,
                    };
                    continue;
                }
                None if row.checked.withdrawn => continue,
                Some(old) if old.digest == row.checked.digest => {
                    outcomes[*i] = Outcome::Unchanged;
                    continue;
                }
                Some(old) => {
                    replaced.push(old.fact_id);
                    let outcome = Outcome::Replaced {
                        fact_id: old.fact_id,
                        old_identity: old.identity,
                        old_occurred: old.occurred,
                    };
                    (old.fact_id, old.version + 1, outcome)
                }
                None => {
                    let fact_id = ids
                        .next()
                        .ok_or_else(|| Error::fault("number a fact", "too few identifiers were reserved"))?;
                    (fact_id, 1, Outcome::Stored { fact_id })
                }
            };
            outcomes[*i] = outcome;
            let fixed = Fixed {
                fact_id,
                identity_id: row.identity_id,
                batch,
                occurred_at: row.occurred_at,
                digest: row.checked.digest,
                institution,
                version,
                row_no: i32::try_from(row.checked.number).unwrap_or(i32::MAX),
            };
            put(&mut copy, &fixed, &row.checked.values, &sql.places, sealer.as_ref())?;
        }
        for (ended, is_withdrawal) in [(replaced, false), (withdrawn, true)] {
            end(tx, sql, target, ended, is_withdrawal).await?;
        }
        copy.send(tx, &sql.copy).await
    }

    // Identifiers come from blocks, so that a chunk rarely asks the database for any. They are taken outside the
    // chunk's transaction: a rolled-back chunk leaves a gap, never a number used twice.
    async fn reserve(&self, count: usize) -> Result<Vec<i64>> {
        let mut taken = Vec::with_capacity(count);
        loop {
            {
                let mut block = self.ids.lock().map_err(|_| Error::fault("number facts", "poisoned"))?;
                while taken.len() < count {
                    match block.next() {
                        Some(id) => taken.push(id),
                        None => break,
                    }
                }
            }
            if taken.len() == count {
                return Ok(taken);
            }
            let start: i64 = sqlx::query_scalar("select nextval('fact_id_seq')")
                .fetch_one(self.db.pool())
                .await
                .db("reserve fact identifiers")?;
            let mut block = self.ids.lock().map_err(|_| Error::fault("number facts", "poisoned"))?;
            // Another chunk may have brought a block meanwhile; the rest of the smaller one is given up.
            if block.is_empty() {
                *block = start..start + ID_BLOCK;
            } else {
                taken.extend((start..start + ID_BLOCK).take(count - taken.len()));
            }
        }
    }
}

/// The columns that every fact has before its fields.
struct Fixed {
    fact_id: i64,
    identity_id: Option<i64>,
    batch: i64,
    occurred_at: NaiveDateTime,
    digest: u128,
    institution: InstitutionId,
    version: i32,
    row_no: i32,
}

/// Adds a fact to a COPY, sealing what is protected.
#[inline]
fn put(
    copy: &mut CopyRows,
    fixed: &Fixed,
    values: &[Value],
    places: &[Option<String>],
    sealer: Option<&Sealer>,
) -> Result<()> {
    copy.row();
    copy.int8(fixed.fact_id);
    match fixed.identity_id {
        Some(id) => copy.int8(id),
        None => copy.null(),
    }
    copy.int8(fixed.batch);
    copy.timestamp(fixed.occurred_at);
    copy.digest(fixed.digest);
    copy.int4(fixed.institution.get() as i32);
    copy.int4(fixed.version);
    copy.int4(fixed.row_no);
    for (value, place) in values.iter().zip(places) {
        match (value, place, sealer) {
            (Value::Text(text), Some(place), Some(sealer)) => copy.text(&sealer.text(place, text)?),
            _ => copy.value(value),
        }
    }
    Ok(())
}

/// Opens the protected ones among values read from a fact table. `values` follow the fields of the data set; those not
/// read are null.
///
/// # Errors
/// A fault when a value was altered or its key is missing.
pub fn open(opener: &Opener, dataset: &Dataset, values: &mut [Value]) -> Result<()> {
    for position in dataset.protected() {
        if let Some(Value::Text(text)) = values.get_mut(position)
            && protect::is_sealed(text)
        {
            *text = opener.text(&dataset.place(position), text)?.into_owned().into();
        }
    }
    Ok(())
}

/// Opens the protected fields of a row of a fact table as JSON, as `fact_history` keeps it.
///
/// # Errors
/// A fault when a value was altered or its key is missing.
pub fn open_json(opener: &Opener, dataset: &Dataset, row: &mut serde_json::Value) -> Result<()> {
    for position in dataset.protected() {
        if let Some(serde_json::Value::String(text)) = row.get_mut(&dataset.fields[position].name)
            && protect::is_sealed(text)
        {
            *text = opener.text(&dataset.place(position), text)?.into_owned();
        }
    }
    Ok(())
}

fn statements(dataset: &Dataset) -> Statements {
    let table = dataset.table();
    let keys: Vec<&catalog::Field> = dataset.key.iter().map(|k| &dataset.fields[*k]).collect();
    let arrays: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(n, f)| format!("${}::{}[]", n + 2, crate::fact_schema::column_type(&f.kind)))
        .collect();
    let names: Vec<String> = (0..keys.len()).map(|n| format!("k{n}")).collect();
    let equal: Vec<String> = keys.iter().enumerate().map(|(n, f)| format!("f.{} = k.k{n}", f.name)).collect();
    let find = format!(
        "select k.ord, f.id, f.version, f.digest, f.identity_id, f.occurred_at
         from unnest({}) with ordinality as k({}, ord)
         cross join lateral (select * from {table} f where f.institution_id = $1 and {} limit 1) f",
        arrays.join(", "),
        names.join(", "),
        equal.join(" and "),
    );
    let mut columns: Vec<&str> = crate::fact_schema::FIXED_COLUMNS.iter().map(|(name, _)| *name).collect();
    columns.extend(dataset.fields.iter().map(|f| f.name.as_str()));
    let copy = format!("copy {table} ({}) from stdin (format binary)", columns.join(", "));
    let key_texts: Vec<String> = keys.iter().map(|f| format!("f.{}::text", f.name)).collect();
    let history = format!(
        "insert into fact_history (dataset, fact_id, institution_id, business_key, version, content, ended_at,
             ended_by_batch, withdrawn)
         select $1, f.id, f.institution_id, array[{}], f.version, to_jsonb(f), $2, $3, $4
         from {table} f where f.id = any($5)",
        key_texts.join(", "),
    );
    let corrected = format!(
        "insert into fact_history (dataset, fact_id, institution_id, business_key, version, content, ended_at,
             withdrawn, reason)
         select $1, f.id, f.institution_id, array[{}], f.version, to_jsonb(f), $2, false, e.reason
         from unnest($3::bigint[], $4::text[]) as e (id, reason) join {table} f on f.id = e.id",
        key_texts.join(", "),
    );
    let delete = format!("delete from {table} where id = any($1)");
    let places =
        dataset.fields.iter().enumerate().map(|(i, f)| f.protect.then(|| dataset.place(i))).collect();
    Statements { find, copy, history, corrected, delete, places }
}

async fn end(
    tx: &mut Tx<'_>,
    sql: &Statements,
    target: Target<'_>,
    ids: Vec<i64>,
    withdrawn: bool,
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(sql.history.as_str()))
        .bind(target.dataset.number)
        .bind(target.now)
        .bind(target.batch)
        .bind(withdrawn)
        .bind(&ids)
        .execute(&mut **tx)
        .await
        .db("keep the earlier version of a fact")?;
    sqlx::query(AssertSqlSafe(sql.delete.as_str())).bind(&ids).execute(&mut **tx).await.db("end a fact")?;
    Ok(())
}

async fn find(
    tx: &mut Tx<'_>,
    sql: &Statements,
    target: Target<'_>,
    rows: &[FactRow<'_>],
    round: &[usize],
) -> Result<Vec<Option<Found>>> {
    let Target { dataset, institution, .. } = target;
    let mut query = sqlx::query(AssertSqlSafe(sql.find.as_str())).bind(institution.get() as i32);
    for key in &dataset.key {
        let cells = round.iter().map(|i| &rows[*i].checked.values[*key]);
        query = bind_array(query, &dataset.fields[*key].kind, cells);
    }
    let mut found: Vec<Option<Found>> = (0..round.len()).map(|_| None).collect();
    for row in query.fetch_all(&mut **tx).await.db("look for earlier versions of facts")? {
        let order: i64 = row.try_get(0).db("read a fact")?;
        let digest: sqlx::types::Uuid = row.try_get(3).db("read a fact")?;
        found[order as usize - 1] = Some(Found {
            fact_id: row.try_get(1).db("read a fact")?,
            version: row.try_get(2).db("read a fact")?,
            digest: digest.as_u128(),
            identity: row.try_get(4).db("read a fact")?,
            occurred: row.try_get(5).db("read a fact")?,
        });
    }
    Ok(found)
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

fn bind_array<'q, 'v>(
    query: PgQuery<'q>,
    kind: &FieldKind,
    cells: impl Iterator<Item = &'v Value>,
) -> PgQuery<'q> {
    match kind {
        FieldKind::Text { .. } | FieldKind::Code { .. } => {
            query.bind(cells.map(|c| c.text().map(str::to_owned)).collect::<Vec<Option<String>>>())
        }
        FieldKind::Integer => query.bind(
            cells
                .map(|c| if let Value::Integer(i) = c { Some(*i) } else { None })
                .collect::<Vec<Option<i64>>>(),
        ),
        FieldKind::Decimal { .. } => query.bind(cells.map(Value::decimal).collect::<Vec<Option<Decimal>>>()),
        FieldKind::Date => query.bind(cells.map(Value::date).collect::<Vec<Option<NaiveDate>>>()),
        FieldKind::DateTime => query.bind(cells.map(Value::datetime).collect::<Vec<Option<NaiveDateTime>>>()),
        FieldKind::Boolean => query.bind(
            cells
                .map(|c| if let Value::Boolean(b) = c { Some(*b) } else { None })
                .collect::<Vec<Option<bool>>>(),
        ),
    }
}

#[derive(PartialEq, Eq, Hash)]
enum KeyPart<'a> {
    Text(&'a str),
    Integer(i64),
    Decimal(Decimal),
    Time(NaiveDateTime),
    Boolean(bool),
    Null,
}

fn key_of<'a>(dataset: &Dataset, values: &'a [Value]) -> Vec<KeyPart<'a>> {
    let part = |value: &'a Value| match value {
        Value::Null => KeyPart::Null,
        Value::Text(t) => KeyPart::Text(t),
        Value::Integer(i) => KeyPart::Integer(*i),
        Value::Decimal(d) => KeyPart::Decimal(d.normalize()),
        Value::Date(d) => KeyPart::Time(d.and_time(chrono::NaiveTime::MIN)),
        Value::DateTime(t) => KeyPart::Time(*t),
        Value::Boolean(b) => KeyPart::Boolean(*b),
    };
    dataset.key.iter().map(|k| part(&values[*k])).collect()
}
