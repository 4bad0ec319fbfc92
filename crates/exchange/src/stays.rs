//! In-patient stays for the master index, read from the stored facts: whose were stored since a place, and all stays of
//! some identity records. Nothing of it is shown to anybody.

use std::sync::Arc;

use catalog::{Catalog, Dataset};
use chrono::NaiveDateTime;
use contracts::{Stay, Stays};
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use sqlx::AssertSqlSafe;
use store::{DbDoing, Gated};

/// The data set of in-patient stays and its two fields.
const STAYS: &str = "inpatient_stay";
const ADMITTED: &str = "admitted_at";
const DISCHARGED: &str = "discharged_at";

/// Reads stays by the catalogue in force.
#[derive(Debug, Clone)]
pub struct StoredStays {
    /// `None` where the catalogue has no such data set, or it lacks a field: then there are no stays.
    dataset: Option<Arc<Dataset>>,
}

impl StoredStays {
    /// Over the data set of this catalogue.
    pub fn new(catalog: &Catalog) -> Self {
        let whole = |d: &&Arc<Dataset>| {
            d.person.is_some() && [ADMITTED, DISCHARGED].iter().all(|field| d.field(field).is_some())
        };
        Self { dataset: catalog.dataset(STAYS).filter(whole).cloned() }
    }

    async fn read(&self, tx: &mut Gated<'_>, identities: &[i64]) -> Result<Vec<Stay>> {
        let Some(dataset) = &self.dataset else { return Ok(Vec::new()) };
        // By the index on whose and when, however many stays there are in all.
        let sql = format!(
            "select identity_id, institution_id, {ADMITTED}, {DISCHARGED} from {}
             where identity_id = any($1) and {ADMITTED} is not null",
            dataset.table()
        );
        let rows: Vec<(i64, i32, NaiveDateTime, Option<NaiveDateTime>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(identities)
            .fetch_all(&mut ***tx)
            .await
            .db("read in-patient stays")?;
        let stay = |(identity_id, institution, admitted_at, discharged_at): (i64, i32, _, _)| Stay {
            identity_id,
            institution: InstitutionId::new(institution.into()),
            admitted_at,
            discharged_at,
        };
        Ok(rows.into_iter().map(stay).collect())
    }

    async fn after(&self, tx: &mut Gated<'_>, place: Option<i64>) -> Result<(Vec<i64>, i64)> {
        let Some(dataset) = &self.dataset else { return Ok((Vec::new(), 0)) };
        // A batch is committed in chunks and may end after a later one: what is still under way is read again.
        let next: i64 = sqlx::query_scalar(
            "select coalesce((select min(id) - 1 from batch where state in ('accepted', 'processing')),
                             (select max(id) from batch), 0)",
        )
        .fetch_one(&mut ***tx)
        .await
        .db("find the batches that are whole")?;
        let Some(place) = place else { return Ok((Vec::new(), next)) };
        // The block-range index on the batch leads to what came last; corrections of old rows are found with it too,
        // for a corrected row bears the number of the batch that corrected it.
        let sql = format!(
            "select distinct identity_id from {} where batch_id > $1 and identity_id is not null",
            dataset.table()
        );
        let found: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(place)
            .fetch_all(&mut ***tx)
            .await
            .db("find who has new in-patient stays")?;
        Ok((found, next))
    }
}

impl Stays for StoredStays {
    fn of<'a, 'c>(&'a self, tx: &'a mut Gated<'c>, identities: &'a [i64]) -> BoxFuture<'a, Result<Vec<Stay>>>
    where
        'c: 'a,
    {
        Box::pin(self.read(tx, identities))
    }

    fn stored_after<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        place: Option<i64>,
    ) -> BoxFuture<'a, Result<(Vec<i64>, i64)>>
    where
        'c: 'a,
    {
        Box::pin(self.after(tx, place))
    }
}
