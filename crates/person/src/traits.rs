//! A few traits of many people at once, for alerts on the audit trail.

use contracts::{PersonTrait, PersonTraits};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{RegionCode, Result};
use sqlx::Row;
use store::DbDoing;

use crate::MasterIndex;

impl PersonTraits for MasterIndex {
    fn traits<'a>(&'a self, people: &'a [i64]) -> BoxFuture<'a, Result<Vec<PersonTrait>>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "select p.id, p.name, p.region, array_agg(i.institution_id order by i.id) as institutions,
                    array_agg(i.local_no order by i.id) as local_nos
                 from person p join identity_record i on i.person_id = p.id
                 where p.id = any($1) group by p.id",
            )
            .bind(people)
            .fetch_all(self.db.pool())
            .await
            .db("read traits of people")?;
            rows.iter()
                .map(|row| {
                    let region: String = row.try_get(2)?;
                    let institutions: Vec<i32> = row.try_get(3)?;
                    let local_nos: Vec<String> = row.try_get(4)?;
                    Ok(PersonTrait {
                        person_id: row.try_get(0)?,
                        name: row.try_get(1)?,
                        region: RegionCode::parse(&region).unwrap_or(RegionCode::NATION),
                        local_nos: institutions
                            .into_iter()
                            .map(|id| InstitutionId::new(i64::from(id)))
                            .zip(local_nos)
                            .collect(),
                    })
                })
                .collect::<Result<_, sqlx::Error>>()
                .db("read traits of people")
        })
    }
}
