//! Answers about one person: the card of the banner, and finding a person by a number.

use std::collections::HashMap;

use contracts::{IdentityRef, Institutions, PersonCard, PersonCards, PersonLookup, Whereabouts};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Reach, RegionCode, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

use crate::MasterIndex;
use crate::sealed::{ADDRESS, CITIZEN, PHONE, open, open_option};
use crate::search::{Query, search};

const CARD: &str = "
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.address, p.region, p.blood_abo, p.blood_rh,
           p.died_on, i.ids, i.institutions, i.local_nos
    from person p cross join lateral (
        select array_agg(id order by id) as ids, array_agg(institution_id order by id) as institutions,
               array_agg(local_no order by id) as local_nos
        from identity_record where person_id = p.id
    ) i
    where p.id = $1 and i.ids is not null";

const CARDS: &str = "
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.address, p.region, p.blood_abo, p.blood_rh,
           p.died_on, i.ids, i.institutions, i.local_nos
    from person p cross join lateral (
        select array_agg(id order by id) as ids, array_agg(institution_id order by id) as institutions,
               array_agg(local_no order by id) as local_nos
        from identity_record where person_id = p.id
    ) i
    where (p.id = any($1) or p.id in (select person_id from identity_record where id = any($2))) and i.ids is not null";

/// The cards of these people, and of the people to whom these identity records belong now.
async fn cards(tx: &mut Gated<'_>, persons: &[i64], identities: &[i64]) -> Result<Vec<PersonCard>> {
    let rows =
        sqlx::query(CARDS).bind(persons).bind(identities).fetch_all(&mut ***tx).await.db("read persons")?;
    rows.iter().map(card).collect::<Result<_, _>>().db("read persons")
}

/// The best known demographics of a person and the identity records linked to it. Who was merged into somebody else is
/// shown as that person, so that addresses and numbers that others kept lead to the right place.
pub async fn demographics(tx: &mut Gated<'_>, person_id: i64) -> Result<Option<PersonCard>> {
    let mut row = read(tx, person_id).await?;
    if row.is_none()
        && let Some(person) = moved_to(tx, person_id).await?
    {
        row = read(tx, person).await?;
    }
    let Some(mut card) = row.as_ref().map(card).transpose().db("read a person")? else { return Ok(None) };
    let opener = tx.keyring().opener();
    card.citizen_id = open_option(&opener, CITIZEN, card.citizen_id)?;
    card.phone = open(&opener, PHONE, card.phone)?;
    card.address = open(&opener, ADDRESS, card.address)?;
    Ok(Some(card))
}

async fn read(tx: &mut Gated<'_>, person_id: i64) -> Result<Option<PgRow>> {
    sqlx::query(CARD).bind(person_id).fetch_optional(&mut ***tx).await.db("read a person")
}

fn card(row: &PgRow) -> Result<PersonCard, sqlx::Error> {
    let ids: Vec<i64> = row.try_get(11)?;
    let institutions: Vec<i32> = row.try_get(12)?;
    let local_nos: Vec<String> = row.try_get(13)?;
    let identities = ids
        .into_iter()
        .zip(institutions)
        .zip(local_nos)
        .map(|((identity_id, institution), local_no)| IdentityRef {
            identity_id,
            institution: InstitutionId::new(institution.into()),
            local_no,
        })
        .collect();
    Ok(PersonCard {
        person_id: row.try_get(0)?,
        name: row.try_get(1)?,
        sex: row.try_get(2)?,
        birth_date: row.try_get(3)?,
        citizen_id: row.try_get(4)?,
        phone: row.try_get(5)?,
        address: row.try_get(6)?,
        region: RegionCode::parse(row.try_get(7)?).unwrap_or(RegionCode::NATION),
        blood_abo: row.try_get(8)?,
        blood_rh: row.try_get(9)?,
        died_on: row.try_get(10)?,
        identities,
    })
}

/// Where the records of a person without records went: whom one finds today; `None` if nowhere.
pub async fn moved_to(tx: &mut Gated<'_>, person_id: i64) -> Result<Option<i64>> {
    // Who was merged before persons kept where they went is found on the time line.
    sqlx::query_scalar(
        "with recursive way as (
             select id, merged_into, 1 as steps from person where id = $1 and merged_into is not null
             union all
             select p.id, p.merged_into, w.steps + 1 from way w join person p on p.id = w.merged_into
             where w.steps < 50
         )
         select coalesce(
             (select w.id from way w where w.merged_into is null limit 1),
             (select i.person_id from identity_event e join identity_record i on i.id = e.identity_id
              where e.from_person = $1 order by e.id desc limit 1))",
    )
    .bind(person_id)
    .fetch_one(&mut ***tx)
    .await
    .db("find where a person's records went")
}

impl PersonCards for MasterIndex {
    fn card<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
    ) -> BoxFuture<'a, Result<Option<PersonCard>>>
    where
        'c: 'a,
    {
        Box::pin(demographics(tx, person_id))
    }

    fn cards<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        persons: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a,
    {
        Box::pin(cards(tx, persons, &[]))
    }

    fn cards_of<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        identities: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a,
    {
        Box::pin(cards(tx, &[], identities))
    }

    fn find<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        text: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a,
    {
        Box::pin(async move {
            let Ok(query) = Query::parse(text) else { return Ok(Vec::new()) };
            let found = search(tx, reach, institutions, &query, limit, 0).await?;
            Ok(found.people.into_iter().map(|person| person.person_id).collect())
        })
    }
}

impl PersonLookup for MasterIndex {
    fn by_local_no<'a>(
        &'a self,
        institution: InstitutionId,
        local_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async move {
            sqlx::query_scalar(
                "select person_id from identity_record where institution_id = $1 and local_no = $2",
            )
            .bind(institution.get() as i32)
            .bind(local_no)
            .fetch_optional(self.db.pool())
            .await
            .db("find a person by local number")
        })
    }

    fn by_citizen_id<'a>(&'a self, citizen_id: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async move {
            let Some(number) = crate::known::citizen_id("01", citizen_id) else { return Ok(None) };
            let blind = self.db.keyring().blind(protect::Domain::Identity, CITIZEN.kind, &number)?;
            sqlx::query_scalar(
                "select id from person where citizen_blind = $1
                 union all
                 select id from person
                 where citizen_id is not null and citizen_blind is null and citizen_id = $2 limit 1",
            )
            .bind(blind.as_slice())
            .bind(number)
            .fetch_optional(self.db.pool())
            .await
            .db("find a person by citizen number")
        })
    }

    fn whereabouts<'a>(&'a self, people: &'a [i64]) -> BoxFuture<'a, Result<HashMap<i64, Whereabouts>>> {
        Box::pin(async move {
            if people.is_empty() {
                return Ok(HashMap::new());
            }
            let found: Vec<(i64, String, String, Vec<i32>)> = sqlx::query_as(
                "select p.id, p.name, p.region,
                    array(select distinct institution_id from identity_record i where i.person_id = p.id)
                 from person p where p.id = any($1)",
            )
            .bind(people)
            .fetch_all(self.db.pool())
            .await
            .db("find where people live")?;
            let whereabouts = |name, region: String, institutions: Vec<i32>| Whereabouts {
                name,
                region: RegionCode::parse(&region).unwrap_or(RegionCode::NATION),
                institutions: institutions.into_iter().map(|id| InstitutionId::new(id.into())).collect(),
            };
            Ok(found.into_iter().map(|(id, name, region, at)| (id, whereabouts(name, region, at))).collect())
        })
    }
}
