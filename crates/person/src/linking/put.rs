//! Writing new records: their persons, themselves, their blocking keys and the first entry of their time line, in one
//! statement. A registration of its own is one record, and what it costs are the trips to the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kernel::Result;
use store::{DbDoing, Tx};

use super::Item;
use super::write::Place;
use crate::events::Row;
use crate::operations::rules::{PersonId, RecordId};
use crate::recompute::Best;
use crate::sealed::{CITIZEN, Seal};

/// Identifiers drawn at once.
const DRAWN: usize = 64;

/// Identifiers of persons and records that this process has drawn and not used: those of a transaction that is rolled
/// back are lost, which harms nobody.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<(Vec<PersonId>, Vec<RecordId>)>);

impl Numbers {
    fn take(&self, persons: usize, records: usize) -> Option<(Vec<PersonId>, Vec<RecordId>)> {
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if here.0.len() < persons || here.1.len() < records {
            return None;
        }
        Some((here.0.drain(..persons).collect(), here.1.drain(..records).collect()))
    }

    /// So many identifiers of persons and of records, each ascending.
    pub(super) async fn draw(
        &self,
        tx: &mut Tx<'_>,
        persons: usize,
        records: usize,
    ) -> Result<(Vec<PersonId>, Vec<RecordId>)> {
        if let Some(taken) = self.take(persons, records) {
            return Ok(taken);
        }
        let (mut new_persons, mut new_records) = (Vec::new(), Vec::new());
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "select nextval(pg_get_serial_sequence('person', 'id')),
                    nextval(pg_get_serial_sequence('identity_record', 'id')) from generate_series(1, $1)",
        )
        .bind(persons.max(records).max(DRAWN) as i32)
        .fetch_all(&mut **tx)
        .await
        .db("draw identifiers")?;
        for (person, record) in rows {
            new_persons.push(person);
            new_records.push(record);
        }
        let taken = (new_persons.drain(..persons).collect(), new_records.drain(..records).collect());
        // Of a large chunk little is kept: what is kept for long makes identifiers say less of when.
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        here.0.extend(new_persons.into_iter().take(DRAWN));
        here.1.extend(new_records.into_iter().take(DRAWN));
        Ok(taken)
    }
}

/// A person to be made: with the values of a new record, or empty where it is made for records that exist.
pub(super) struct Made<'a> {
    pub person: PersonId,
    pub of: Option<RecordId>,
    /// The citizen number that it holds.
    pub number: Option<&'a str>,
}

/// The same as it is sent.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "person_made")]
struct MadeRow {
    id: PersonId,
    record: Option<RecordId>,
    citizen_id: Option<String>,
    citizen_blind: Option<Vec<u8>>,
}

// The persons that are joined are locked and compared before anything is written: `still` is asked by every part.
const PUT: &str = "
    with locked as materialized (
        select p.id, p.version from person p where p.id = any((select $9::bigint[])::bigint[])
        order by p.id for no key update
    ), still as materialized (
        select not exists (select from unnest($9::bigint[], $10::int[]) as e (id, version)
            left join locked l on l.id = e.id where l.version is distinct from e.version) as so
    ), r as (
        select * from unnest($3::identity_row[]) as t
        where (select so from still)
    ), made as (
        insert into person (id, citizen_id, citizen_blind, name, sex, birth_date, phone, address, region, blood_abo,
            blood_rh, died_on, created_at)
        overriding system value
        select m.id, m.citizen_id, m.citizen_blind, coalesce(r.name, ''), coalesce(r.sex, '0'), r.birth_date,
            coalesce(r.phone, ''), coalesce(r.address, ''), coalesce(r.region, '000000000000'),
            coalesce(r.blood_abo, ''), coalesce(r.blood_rh, ''), r.died_on, $2
        from unnest($4::person_made[]) as m left join r on r.id = m.record
        where (select so from still)
    ), best as (
        update person p
        set name = t.name, sex = t.sex, birth_date = t.birth_date, phone = t.phone, address = t.address,
            region = t.region, blood_abo = t.blood_abo, blood_rh = t.blood_rh, died_on = t.died_on,
            sources = t.sources, version = p.version + 1
        from unnest($11::person_best[]) as t
        where p.id = t.id and (select so from still)
    ), put as (
        insert into identity_record (id, institution_id, local_no, person_id, name, initials, sex, birth_date,
            credential_kind, credential_no, citizen_id, card_no, phone, address, region, blood_abo, blood_rh,
            registered, link_rule, citizen_blind, credential_blind, card_blind, phone_blind, ethnicity, contact_name,
            contact_relation, contact_phone, died_on, own_blind, claim_blind, updated_at)
        overriding system value
        select id, $1, local_no, person_id, name, initials, sex, birth_date, credential_kind, credential_no,
            citizen_id, card_no, phone, address, region, blood_abo, blood_rh, registered, link_rule, citizen_blind,
            credential_blind, card_blind, phone_blind, ethnicity, contact_name, contact_relation, contact_phone,
            died_on, own_blind, claim_blind, $2
        from r
        on conflict (institution_id, local_no) do nothing
        returning id, local_no
    ), keyed as (
        insert into link_key (key, identity_id)
        select k.key, k.id from unnest($5::bigint[], $6::bigint[]) as k (key, id) join put on put.id = k.id
    ), told as (
        insert into identity_event (identity_id, to_person, kind, rule, model_version, weight, at, batch_id)
        select r.id, r.person_id, 'registered', r.link_rule, $7, r.weight, $2, $8 from r join put on put.id = r.id
    ), noted as (
        insert into search_pending (identity_id) select id from put
    )
    select still.so, put.id, put.local_no from still left join put on true";

/// Persons that exist, as they are after a new record has joined them.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// With the count of changes from which it was made.
    pub versions: BTreeMap<PersonId, i32>,
    pub best: Vec<Best>,
}

/// Writes new records, the persons that are made, and those that they join; from local number to the record. One that
/// another transaction inserted meanwhile is left out. `None`, and nothing is written, when a person that is joined is not
/// as it was read.
pub(super) async fn put(
    tx: &mut Tx<'_>,
    items: &[(RecordId, &Item<'_>)],
    made: &[Made<'_>],
    joined: Joined,
    model: &str,
    place: Place,
) -> Result<Option<HashMap<String, RecordId>>> {
    if items.is_empty() && made.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let seal = Seal::of(tx)?;
    let new: Vec<Row> =
        items.iter().map(|(id, item)| Row::of(&seal, Some(*id), item)).collect::<Result<_>>()?;
    let made: Vec<MadeRow> = made
        .iter()
        .map(|m| {
            Ok(MadeRow {
                id: m.person,
                record: m.of,
                citizen_id: m.number.map(|n| seal.text(CITIZEN, n)).transpose()?,
                citizen_blind: m.number.and_then(|n| seal.blind(CITIZEN, n)),
            })
        })
        .collect::<Result<_>>()?;
    let keys: BTreeSet<(i64, RecordId)> =
        items.iter().flat_map(|(id, item)| item.keys.iter().map(|(key, _)| (*key, *id))).collect();
    let rows: Vec<(bool, Option<RecordId>, Option<String>)> = sqlx::query_as(PUT)
        .bind(place.institution as i32)
        .bind(place.now)
        .bind(new)
        .bind(made)
        .bind(keys.iter().map(|(key, _)| *key).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(model)
        .bind(place.batch)
        .bind(joined.versions.keys().copied().collect::<Vec<_>>())
        .bind(joined.versions.values().copied().collect::<Vec<_>>())
        .bind(joined.best)
        .fetch_all(&mut **tx)
        .await
        .db("write new identity records")?;
    if rows.iter().any(|(so, ..)| !so) {
        return Ok(None);
    }
    Ok(Some(rows.into_iter().filter_map(|(_, id, local_no)| Some((local_no?, id?))).collect()))
}
