//! Writing new records: their persons, themselves, their blocking keys and the first entry of their time line, in one
//! statement. A registration of its own is one record, and what it costs are the trips to the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kernel::Result;
use sqlx::Row;
use store::{DbDoing, Tx};

use super::Item;
use super::write::Place;
use crate::events::columns;
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

// The persons that are joined are locked and compared before anything is written: `still` is asked by every part.
const PUT: &str = "
    with locked as materialized (
        select p.id, p.version from person p where p.id = any((select $41::bigint[])::bigint[])
        order by p.id for no key update
    ), still as materialized (
        select not exists (select from unnest($41::bigint[], $42::int[]) as e (id, version)
            left join locked l on l.id = e.id where l.version is distinct from e.version) as so
    ), r as (
        select * from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
            $18::boolean[], $19::text[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[], $24::text[],
            $25::text[], $26::text[], $27::text[], $28::date[], $29::bytea[], $30::bytea[], $31::bigint[], $32::real[])
        as t (local_no, person_id, name, initials, sex, birth_date, credential_kind, credential_no, citizen_id,
            card_no, phone, address, region, blood_abo, blood_rh, registered, link_rule, citizen_blind,
            credential_blind, card_blind, phone_blind, ethnicity, contact_name, contact_relation, contact_phone,
            died_on, own_blind, claim_blind, id, weight)
        where (select so from still)
    ), made as (
        insert into person (id, citizen_id, citizen_blind, name, sex, birth_date, phone, address, region, blood_abo,
            blood_rh, died_on, created_at)
        overriding system value
        select m.id, m.citizen_id, m.citizen_blind, coalesce(r.name, ''), coalesce(r.sex, '0'), r.birth_date,
            coalesce(r.phone, ''), coalesce(r.address, ''), coalesce(r.region, '000000000000'),
            coalesce(r.blood_abo, ''), coalesce(r.blood_rh, ''), r.died_on, $2
        from unnest($33::bigint[], $34::bigint[], $35::text[], $36::bytea[]) as m (id, record, citizen_id, citizen_blind)
        left join r on r.id = m.record
        where (select so from still)
    ), best as (
        update person p
        set name = t.name, sex = t.sex, birth_date = t.birth_date, phone = t.phone, address = t.address,
            region = t.region, blood_abo = t.blood_abo, blood_rh = t.blood_rh, died_on = t.died_on,
            sources = t.sources, version = p.version + 1
        from unnest($43::bigint[], $44::text[], $45::text[], $46::date[], $47::text[], $48::text[], $49::text[],
            $50::text[], $51::text[], $52::date[], $53::jsonb[])
            as t (id, name, sex, birth_date, phone, address, region, blood_abo, blood_rh, died_on, sources)
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
        select k.key, k.id from unnest($37::bigint[], $38::bigint[]) as k (key, id) join put on put.id = k.id
    ), told as (
        insert into identity_event (identity_id, to_person, kind, rule, model_version, weight, at, batch_id)
        select r.id, r.person_id, 'registered', r.link_rule, $39, r.weight, $2, $40 from r join put on put.id = r.id
    )
    select still.so, put.id, put.local_no from still left join put on true";

/// Persons that exist, as they are after a new record has joined them.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// With the count of changes from which it was made.
    pub versions: BTreeMap<PersonId, i32>,
    pub best: Best,
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
    let of_items: Vec<&Item<'_>> = items.iter().map(|(_, item)| *item).collect();
    let keys: BTreeSet<(i64, RecordId)> =
        items.iter().flat_map(|(id, item)| item.keys.iter().map(|(key, _)| (*key, *id))).collect();
    let numbers = || made.iter().map(|m| m.number);
    let statement = columns(sqlx::query(PUT), &seal, place.institution, place.now, &of_items)?
        .bind(items.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(of_items.iter().map(|i| i.weight).collect::<Vec<_>>())
        .bind(made.iter().map(|m| m.person).collect::<Vec<_>>())
        .bind(made.iter().map(|m| m.of).collect::<Vec<_>>())
        .bind(seal.options(CITIZEN, numbers())?)
        .bind(seal.blinds(CITIZEN, numbers().map(Option::unwrap_or_default)))
        .bind(keys.iter().map(|(key, _)| *key).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(model.to_owned())
        .bind(place.batch)
        .bind(joined.versions.keys().copied().collect::<Vec<_>>())
        .bind(joined.versions.values().copied().collect::<Vec<_>>());
    let rows: Vec<(bool, Option<RecordId>, Option<String>)> = joined
        .best
        .bind(statement)
        .fetch_all(&mut **tx)
        .await
        .db("write new identity records")?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect::<Result<_, sqlx::Error>>()
        .db("read identifiers of identity records")?;
    if rows.iter().any(|(so, ..)| !so) {
        return Ok(None);
    }
    Ok(Some(rows.into_iter().filter_map(|(_, id, local_no)| Some((local_no?, id?))).collect()))
}
