//! Corrections that the platform makes itself: going through the stored rows of an institution page by page in the order
//! of their business keys, and replacing some of their values. No batch brings these: the history says the reason.

use catalog::{Dataset, Digester, FieldKind, Value};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Error, Result};
use protect::Domain;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Facts, Fixed, open, put};
use crate::copy::CopyRows;
use crate::db::{Gated, Tx};
use crate::failure::DbDoing;

/// Columns that [`Facts::page`] reads before those of the fields.
const HEAD: usize = 6;

/// A stored row as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Identifier; stays the same when it is corrected.
    pub fact_id: i64,
    /// Whose it is.
    pub identity_id: Option<i64>,
    /// The batch it came in; a correction does not change it.
    pub batch: i64,
    /// When it happened.
    pub occurred_at: NaiveDateTime,
    /// 1 for the first; one more with each correction.
    pub version: i32,
    /// Its number in the batch.
    pub row_no: i32,
    /// Values in the order of the data set's fields, opened.
    pub values: Vec<Value>,
}

/// Which rows are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Looking<'a> {
    /// Fields by position with texts: rows that have one of them in one of the fields.
    pub having: &'a [(usize, Vec<&'a str>)],
    /// The business key after which to go on; none: from the first row.
    pub after: Option<&'a [String]>,
    /// How many rows are looked at, those that have none of the texts included.
    pub rows: i64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Rows that have one of the texts.
    pub found: Vec<Held>,
    /// Rows that were looked at.
    pub seen: i64,
    /// The business key of the last of them; none: no row was left.
    pub last: Option<Vec<String>>,
}

/// A row with other values.
#[derive(Debug)]
pub struct Correction<'a> {
    /// The row as [`Facts::page`] read it in this transaction.
    pub held: &'a Held,
    /// Whose it is from now on.
    pub identity_id: Option<i64>,
    /// All its values.
    pub values: &'a [Value],
    /// Why, in words for who reads the history.
    pub reason: &'a str,
}

impl Facts {
    /// How many rows of a data set an institution has.
    pub async fn count(
        &self,
        tx: &mut Gated<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
    ) -> Result<i64> {
        let sql = format!("select count(*) from {} where institution_id = $1", dataset.table());
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(institution.get() as i32)
            .fetch_one(&mut ***tx)
            .await
            .db("count the rows of a data set")
    }

    /// The next rows of an institution in the order of their business keys, those given out that have one of the texts.
    /// [`Facts::begin_chunk`] must have been called in `tx`, so that nobody writes them meanwhile. Two statements, each
    /// following the index of the key.
    pub async fn page(
        &self,
        tx: &mut Gated<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
        looking: Looking<'_>,
    ) -> Result<Page> {
        let Some((last, seen)) = end_of_page(tx, dataset, institution, looking).await? else {
            return Ok(Page::default());
        };
        let keys = key_list(dataset);
        let any: Vec<String> = looking
            .having
            .iter()
            .enumerate()
            .map(|(number, (field, _))| {
                format!("f.{} = any(${}::text[])", dataset.fields[*field].name, number + 2)
            })
            .collect();
        let mut bound = 1 + looking.having.len();
        let until = format!("({keys}) <= ({})", key_parameters(dataset, &mut bound));
        let from = match looking.after {
            Some(_) => format!("and ({keys}) > ({})", key_parameters(dataset, &mut bound)),
            None => String::new(),
        };
        let sql = format!(
            "select f.id, f.identity_id, f.batch_id, f.occurred_at, f.version, f.row_no, {}
             from {} f where f.institution_id = $1 and {until} {from} and ({}) order by {keys}",
            field_list(dataset),
            dataset.table(),
            if any.is_empty() { "false".to_owned() } else { any.join(" or ") },
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(institution.get() as i32);
        for (_, texts) in looking.having {
            query = query.bind(texts);
        }
        for part in last.iter().chain(looking.after.unwrap_or_default()) {
            query = query.bind(part);
        }
        let rows = query.fetch_all(&mut ***tx).await.db("read rows to be corrected")?;
        let opener = tx.keyring().opener();
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut held = read(dataset, row).db("read rows to be corrected")?;
            open(&opener, dataset, &mut held.values)?;
            found.push(held);
        }
        Ok(Page { found, seen, last: Some(last) })
    }

    /// Replaces values of rows; each keeps its identifier and its batch, and its earlier version goes to the history with
    /// the reason. The business key and the time of occurrence must stay as they are. Three statements.
    pub async fn correct(
        &self,
        tx: &mut Tx<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
        corrections: &[Correction<'_>],
        now: DateTime<Utc>,
    ) -> Result<()> {
        if corrections.is_empty() {
            return Ok(());
        }
        let sql = self.statements.get(&dataset.number).ok_or_else(|| {
            Error::fault("find the statements of a data set", format!("no data set {}", dataset.number))
        })?;
        let ids: Vec<i64> = corrections.iter().map(|c| c.held.fact_id).collect();
        sqlx::query(AssertSqlSafe(sql.corrected.as_str()))
            .bind(dataset.number)
            .bind(now)
            .bind(&ids)
            .bind(corrections.iter().map(|c| c.reason).collect::<Vec<_>>())
            .execute(&mut **tx)
            .await
            .db("keep the earlier version of a corrected fact")?;
        sqlx::query(AssertSqlSafe(sql.delete.as_str()))
            .bind(&ids)
            .execute(&mut **tx)
            .await
            .db("end the earlier version of a corrected fact")?;
        let sealer = match sql.places.iter().any(Option::is_some) {
            true => Some(tx.keyring().sealer(Domain::Facts)?),
            false => None,
        };
        let digester = Digester::new(dataset);
        let mut copy = CopyRows::new(8 + dataset.fields.len(), corrections.len());
        for correction in corrections {
            let fixed = Fixed {
                fact_id: correction.held.fact_id,
                identity_id: correction.identity_id,
                batch: correction.held.batch,
                occurred_at: correction.held.occurred_at,
                digest: digester.digest(correction.values),
                institution,
                version: correction.held.version + 1,
                row_no: correction.held.row_no,
            };
            put(&mut copy, &fixed, correction.values, &sql.places, sealer.as_ref())?;
        }
        copy.send(tx, &sql.copy).await
    }
}

/// The last business key of the next page and how many rows it has; none when no row is left.
async fn end_of_page(
    tx: &mut Gated<'_>,
    dataset: &Dataset,
    institution: InstitutionId,
    looking: Looking<'_>,
) -> Result<Option<(Vec<String>, i64)>> {
    let keys = key_list(dataset);
    let mut bound = 2;
    let from = match looking.after {
        Some(_) => format!("and ({keys}) > ({})", key_parameters(dataset, &mut bound)),
        None => String::new(),
    };
    let texts: Vec<String> =
        dataset.key.iter().map(|k| format!("p.{}::text", dataset.fields[*k].name)).collect();
    let sql = format!(
        "select array[{}], p.n from (
            select {keys}, row_number() over (order by {keys}) as n from {} f
            where f.institution_id = $1 {from} order by {keys} limit $2
         ) p order by p.n desc limit 1",
        texts.join(", "),
        dataset.table(),
    );
    let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(institution.get() as i32).bind(looking.rows);
    for part in looking.after.unwrap_or_default() {
        query = query.bind(part);
    }
    query.fetch_optional(&mut ***tx).await.db("find the end of a page of facts")
}

fn key_list(dataset: &Dataset) -> String {
    let names: Vec<String> = dataset.key.iter().map(|k| format!("f.{}", dataset.fields[*k].name)).collect();
    names.join(", ")
}

fn field_list(dataset: &Dataset) -> String {
    let names: Vec<String> = dataset.fields.iter().map(|f| format!("f.{}", f.name)).collect();
    names.join(", ")
}

/// The parts of a key as parameters that are given as text; `bound` is the last number taken.
fn key_parameters(dataset: &Dataset, bound: &mut usize) -> String {
    let part = |k: &usize| {
        *bound += 1;
        format!("${bound}::text::{}", crate::fact_schema::column_type(&dataset.fields[*k].kind))
    };
    dataset.key.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn read(dataset: &Dataset, row: &PgRow) -> Result<Held, sqlx::Error> {
    let mut values = Vec::with_capacity(dataset.fields.len());
    for (position, field) in dataset.fields.iter().enumerate() {
        values.push(value(&field.kind, row, HEAD + position)?);
    }
    Ok(Held {
        fact_id: row.try_get(0)?,
        identity_id: row.try_get(1)?,
        batch: row.try_get(2)?,
        occurred_at: row.try_get(3)?,
        version: row.try_get(4)?,
        row_no: row.try_get(5)?,
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
