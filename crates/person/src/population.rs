//! How many people live where, by county: what rates of the registers are computed with.

use std::collections::HashMap;

use contracts::Population;
use futures::future::BoxFuture;
use kernel::{RegionCode, Result};
use store::DbDoing;

use crate::MasterIndex;

impl Population for MasterIndex {
    fn by_county<'a>(&'a self) -> BoxFuture<'a, Result<HashMap<RegionCode, i64>>> {
        Box::pin(async move {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "select left(region, 6), count(*) from person where died_on is null group by 1",
            )
            .fetch_all(self.db.pool())
            .await
            .db("count people by county")?;
            Ok(rows
                .into_iter()
                .filter_map(|(county, n)| Some((RegionCode::parse(&county).ok()?, n)))
                .filter(|(county, _)| *county != RegionCode::NATION)
                .collect())
        })
    }
}
