//! Reading facts of any data set: the SQL is generated from the catalogue, the rows come back as typed values in the
//! order of the data set's fields. Every read is bounded by the identity records of one person.

use std::fmt::Write;

use catalog::{Dataset, FieldKind, Value};
use chrono::{NaiveDate, NaiveDateTime};
use kernel::Result;
use kernel::access::InstitutionId;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use store::{DbDoing, Gated};

/// A fact as it is stored now.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Identifier; stays the same when the row is corrected.
    pub id: i64,
    /// Whose it is.
    pub identity_id: Option<i64>,
    /// The batch it came in.
    pub batch_id: i64,
    /// When it happened.
    pub occurred_at: NaiveDateTime,
    /// Who sent it.
    pub institution: InstitutionId,
    /// 1 for the first; one more with each correction.
    pub version: i32,
    /// Values by field position; those not asked for are null.
    pub values: Vec<Value>,
}

impl Fact {
    /// The text of a field by name; empty where there is none.
    pub fn text(&self, dataset: &Dataset, field: &str) -> &str {
        self.value(dataset, field).and_then(Value::text).unwrap_or_default()
    }
    /// The number of a field by name.
    pub fn number(&self, dataset: &Dataset, field: &str) -> Option<Decimal> {
        self.value(dataset, field).and_then(Value::decimal)
    }
    /// A field's value by name; `None` where the data set has no such field.
    pub fn value(&self, dataset: &Dataset, field: &str) -> Option<&Value> {
        dataset.field(field).and_then(|position| self.values.get(position))
    }
}

// The columns before those of the fields.
const HEAD: &str = "f.id, f.identity_id, f.batch_id, f.occurred_at, f.institution_id, f.version";
const HEAD_COLUMNS: usize = 6;

/// The fields that a data set has of those named, for reads that need a few columns only.
pub fn positions(dataset: &Dataset, names: &[&str]) -> Vec<usize> {
    names.iter().filter_map(|name| dataset.field(name)).collect()
}

/// Every field.
pub fn all(dataset: &Dataset) -> Vec<usize> {
    (0..dataset.fields.len()).collect()
}

// Those asked for and those that tell whether the row is protected: a row is never shown on half of what it says.
fn telling(dataset: &Dataset, fields: &[usize]) -> Vec<usize> {
    let mut all = fields.to_vec();
    all.extend(dataset.probe.fields().filter(|field| !fields.contains(field)));
    all.sort_unstable();
    all.dedup();
    all
}

fn select_list(dataset: &Dataset, fields: &[usize]) -> String {
    let mut list = HEAD.to_owned();
    for field in fields {
        let _ = write!(list, ", f.{}", dataset.fields[*field].name);
    }
    list
}

// The column as text, for comparing with a text parameter.
fn as_text(dataset: &Dataset, field: usize) -> String {
    let cast = match dataset.fields[field].kind {
        FieldKind::Text { .. } | FieldKind::Code { .. } => "",
        _ => "::text",
    };
    format!("f.{}{cast}", dataset.fields[field].name)
}

// Rows of a data set without a person belong to whoever their parent belongs to.
fn mine(dataset: &Dataset, parameter: usize) -> String {
    match dataset.person {
        Some(_) => format!("f.identity_id = any(${parameter})"),
        None => format!("${parameter}::bigint[] is not null"),
    }
}

fn read(dataset: &Dataset, fields: &[usize], row: &PgRow) -> Result<Fact, sqlx::Error> {
    let mut values = vec![Value::Null; dataset.fields.len()];
    for (offset, field) in fields.iter().enumerate() {
        values[*field] = value(&dataset.fields[*field].kind, row, HEAD_COLUMNS + offset)?;
    }
    Ok(Fact {
        id: row.try_get(0)?,
        identity_id: row.try_get(1)?,
        batch_id: row.try_get(2)?,
        occurred_at: row.try_get(3)?,
        institution: InstitutionId::new(row.try_get::<i32, _>(4)?.into()),
        version: row.try_get(5)?,
        values,
    })
}

fn value(kind: &FieldKind, row: &PgRow, column: usize) -> Result<Value, sqlx::Error> {
    Ok(match kind {
        FieldKind::Text { .. } | FieldKind::Code { .. } => {
            row.try_get::<Option<String>, _>(column)?.map(|v| Value::Text(v.into()))
        }
        FieldKind::Integer => row.try_get::<Option<i64>, _>(column)?.map(Value::Integer),
        FieldKind::Decimal { .. } => row.try_get::<Option<Decimal>, _>(column)?.map(Value::Decimal),
        FieldKind::Date => row.try_get::<Option<NaiveDate>, _>(column)?.map(Value::Date),
        FieldKind::DateTime => row.try_get::<Option<NaiveDateTime>, _>(column)?.map(Value::DateTime),
        FieldKind::Boolean => row.try_get::<Option<bool>, _>(column)?.map(Value::Boolean),
    }
    .unwrap_or_default())
}

// What the reach does not see is left out, as if it were not there.
fn read_all(tx: &Gated<'_>, dataset: &Dataset, fields: &[usize], rows: &[PgRow]) -> Result<Vec<Fact>> {
    let mut facts: Vec<Fact> =
        rows.iter().map(|row| read(dataset, fields, row)).collect::<Result<_, _>>().db("read facts")?;
    let opener = tx.keyring().opener();
    for fact in &mut facts {
        store::facts::open(&opener, dataset, &mut fact.values)?;
    }
    facts.retain(|fact| tx.reach().sees(dataset.probe.category(&fact.values), fact.institution));
    Ok(facts)
}

/// Facts by identifier, of these identity records only.
pub async fn by_ids(
    tx: &mut Gated<'_>,
    dataset: &Dataset,
    fields: &[usize],
    ids: &[i64],
    identities: &[i64],
) -> Result<Vec<Fact>> {
    let fields = &telling(dataset, fields);
    let sql = format!(
        "select {} from {} f where f.id = any($1) and {}",
        select_list(dataset, fields),
        dataset.table(),
        mine(dataset, 2)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(ids)
        .bind(identities)
        .fetch_all(&mut ***tx)
        .await
        .db("read facts by identifier")?;
    read_all(tx, dataset, fields, &rows)
}

/// Facts of a data set in the order of their identifiers, of everybody, with the fields that tell whether they are
/// protected: for background work that classifies them. Nothing is left out.
pub(crate) async fn scan(tx: &mut Gated<'_>, dataset: &Dataset, after: i64, limit: i64) -> Result<Vec<Fact>> {
    let fields = &telling(dataset, &[]);
    let sql = format!(
        "select {} from {} f where f.id > $1 order by f.id limit $2",
        select_list(dataset, fields),
        dataset.table()
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("go through the facts")?;
    let mut facts: Vec<Fact> =
        rows.iter().map(|row| read(dataset, fields, row)).collect::<Result<_, _>>().db("read facts")?;
    let opener = tx.keyring().opener();
    for fact in &mut facts {
        store::facts::open(&opener, dataset, &mut fact.values)?;
    }
    Ok(facts)
}

/// The statement of [`latest`]; follows one index per identity record, whatever the planner believes.
pub fn latest_statement(dataset: &Dataset, fields: &[usize]) -> String {
    let fields = &telling(dataset, fields);
    let mut columns = String::new();
    for field in fields {
        let _ = write!(columns, ", {}", dataset.fields[*field].name);
    }
    format!(
        "select {} from unnest($1::bigint[]) as whose (identity)
         cross join lateral (
            select id, identity_id, batch_id, occurred_at, institution_id, version{columns} from {}
            where identity_id = whose.identity order by occurred_at desc limit $2
         ) f order by f.occurred_at desc, f.id desc limit $2",
        select_list(dataset, fields),
        dataset.table()
    )
}

/// The newest facts of these identity records, newest first.
pub async fn latest(
    tx: &mut Gated<'_>,
    dataset: &Dataset,
    fields: &[usize],
    identities: &[i64],
    limit: i64,
) -> Result<Vec<Fact>> {
    latest_by(tx, latest_statement(dataset, fields), dataset, fields, identities, limit).await
}

/// [`latest`] with a statement made beforehand.
pub async fn latest_by(
    tx: &mut Gated<'_>,
    statement: String,
    dataset: &Dataset,
    fields: &[usize],
    identities: &[i64],
    limit: i64,
) -> Result<Vec<Fact>> {
    let fields = &telling(dataset, fields);
    if dataset.person.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(identities)
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("read the latest facts")?;
    read_all(tx, dataset, fields, &rows)
}

/// Facts in which one of the given fields has this text, newest first.
pub async fn matching(
    tx: &mut Gated<'_>,
    dataset: &Dataset,
    fields: &[usize],
    identities: &[i64],
    any_of: &[usize],
    text: &str,
    limit: i64,
) -> Result<Vec<Fact>> {
    let fields = &telling(dataset, fields);
    if any_of.is_empty() || dataset.person.is_none() {
        return Ok(Vec::new());
    }
    let conditions: Vec<String> = any_of.iter().map(|f| format!("{} = $2", as_text(dataset, *f))).collect();
    let sql = format!(
        "select {} from {} f where f.identity_id = any($1) and ({}) order by f.occurred_at desc, f.id desc limit $3",
        select_list(dataset, fields),
        dataset.table(),
        conditions.join(" or ")
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(identities)
        .bind(text)
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("read facts by value")?;
    read_all(tx, dataset, fields, &rows)
}

/// Facts of one institution by the values of some fields: children by their parents' keys, a parent by its key.
/// `keys` holds one row of texts for each thing looked for, in the order of `columns`.
pub async fn by_fields(
    tx: &mut Gated<'_>,
    dataset: &Dataset,
    fields: &[usize],
    institution: InstitutionId,
    columns: &[usize],
    keys: &[Vec<String>],
    identities: &[i64],
) -> Result<Vec<Fact>> {
    let fields = &telling(dataset, fields);
    if keys.is_empty() || columns.is_empty() {
        return Ok(Vec::new());
    }
    let condition = columns
        .iter()
        .enumerate()
        .map(|(i, column)| format!("{} = k.k{i}", as_text(dataset, *column)))
        .collect::<Vec<_>>()
        .join(" and ");
    let arrays: Vec<String> = (0..columns.len()).map(|i| format!("${}::text[]", i + 3)).collect();
    let names: Vec<String> = (0..columns.len()).map(|i| format!("k{i}")).collect();
    let sql = format!(
        "select {} from unnest({}) as k ({}) join {} f on f.institution_id = $1 and {condition}
         where {} order by f.occurred_at, f.id limit 2000",
        select_list(dataset, fields),
        arrays.join(", "),
        names.join(", "),
        dataset.table(),
        mine(dataset, 2)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(institution.get() as i32).bind(identities);
    for index in 0..columns.len() {
        query = query.bind(keys.iter().map(|key| key[index].as_str()).collect::<Vec<_>>());
    }
    let rows = query.fetch_all(&mut ***tx).await.db("read facts by their fields")?;
    read_all(tx, dataset, fields, &rows)
}

/// Values of some fields as texts, as [`by_fields`] takes them.
pub fn key_of(fact: &Fact, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|column| plain(&fact.values[*column])).collect()
}

/// A value as PostgreSQL writes it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::DateTime(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        Value::Boolean(yes) => yes.to_string(),
    }
}
