//! Reading identity records for the linker, a whole chunk with one query.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel::Result;
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Tx};

use crate::known::Known;
use crate::sealed::{ADDRESS, CARD, CITIZEN, CONTACT_PHONE, CREDENTIAL, PHONE, Seal, open, open_option};

/// As much of an identity record as most facts need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brief {
    pub id: i64,
    pub registered: bool,
    pub settled: bool,
}

/// An identity record and where it is linked.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub id: i64,
    pub person_id: i64,
    pub rule: String,
    /// Whose registration it is.
    pub institution: i64,
    /// Whether somebody decided that the citizen number is not the patient's.
    pub disowned: bool,
    /// Registered for the time being, under the mother's name.
    pub newborn: bool,
    /// Written by a transaction that has ended: it cannot vanish by a roll-back.
    pub settled: bool,
    /// The transaction that wrote what was read, where it may be changed: what tells that nobody has written it since.
    pub written: i64,
    pub known: Known,
}

// Parameters stand in sub-selects here and below so that the planner does not look at them: it would plan each call anew
// (which takes longer than the call), and for an institution that is new read all its records.
//
// A row version older than every transaction still running is there for good; the present transaction's own rows
// (even those of its savepoints) are younger.
const BRIEFS: &str = "
    select id, local_no, registered,
           age(xmin) > age((select pg_snapshot_xmin(pg_current_snapshot())::xid)) as settled
    from identity_record
    where institution_id = (select $1::int) and local_no = any((select $2::text[])::text[])";

const RECORDS: &str = "
    select i.id, i.local_no, i.person_id, i.institution_id, i.number_disowned, i.special, i.link_rule,
           age(i.xmin) > age((select pg_snapshot_xmin(pg_current_snapshot())::xid)) as settled,
           i.xmin::text::bigint as written, i.name, i.sex, i.birth_date, i.credential_kind, i.credential_no, i.citizen_id, i.card_no, i.phone,
           i.address, i.region, i.blood_abo, i.blood_rh, i.ethnicity, i.contact_name, i.contact_relation,
           i.contact_phone, i.died_on, i.registered
    from identity_record i
    where i.institution_id = (select $1::int) and i.local_no = any((select $2::text[])::text[])";

// Records and their persons in one statement, so that both are of one moment. Numbers that were written before they
// were encrypted are found by the last part; its index is empty afterwards.
const NEIGHBOURS: &str = "
    with near as (
        select person_id as id from identity_record where id = any((select $1::bigint[])::bigint[])
        union select unnest((select $2::bigint[]))
        union select id from person where citizen_blind = any((select $3::bytea[])::bytea[])
        union select id from person
              where citizen_id is not null and citizen_blind is null and citizen_id = any((select $4::text[])::text[])
    )
    select p.version, p.citizen_blind, p.citizen_id as plain, p.merged_into,
           exists (select from identity_pair d where d.a = i.id) as decided,
           i.id, i.local_no, i.person_id, i.institution_id, i.number_disowned, i.special, i.link_rule, false as settled,
           0::bigint as written, i.name, i.sex, i.birth_date, i.credential_kind, i.credential_no, i.citizen_id, i.card_no, i.phone,
           i.address, i.region, i.blood_abo, i.blood_rh, i.ethnicity, i.contact_name, i.contact_relation,
           i.contact_phone, i.died_on, i.registered, i.updated_at, i.claim_blind is not null as claims,
           coalesce(encode(i.phone_blind, 'hex'), i.phone) as phone_key,
           coalesce((select array_agg(f.field) from person_pin f where f.identity_id = i.id), '{}') as pins
    from near n join person p on p.id = n.id cross join lateral (
        select * from identity_record r where r.person_id = n.id
        order by r.registered desc, r.updated_at desc, r.id desc limit $5) i";

/// A person nearby.
#[derive(Debug, Clone, Default)]
pub(crate) struct PersonRow {
    pub version: i32,
    pub citizen_blind: Option<Vec<u8>>,
    /// The number where it is not encrypted yet.
    pub plain: Option<String>,
    pub merged_into: Option<i64>,
}

/// Records and their persons.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    pub records: Vec<Record>,
    /// The rows of the records, from which the best record of a person is chosen without reading them again.
    pub rows: Vec<PgRow>,
    pub persons: BTreeMap<i64, PersonRow>,
    /// Whether somebody decided about one of the records.
    pub decided: bool,
}

/// All records of the persons of these records, of these persons, and of those who hold these numbers; each person
/// with so many of its records at most.
pub(crate) async fn neighbours(
    tx: &mut Tx<'_>,
    records: &BTreeSet<i64>,
    persons: &BTreeSet<i64>,
    numbers: &[String],
    of_person: i32,
) -> Result<Neighbours> {
    let mut neighbours = Neighbours::default();
    if records.is_empty() && persons.is_empty() && numbers.is_empty() {
        return Ok(neighbours);
    }
    let seal = Seal::of(tx)?;
    let rows = sqlx::query(NEIGHBOURS)
        .bind(records.iter().copied().collect::<Vec<_>>())
        .bind(persons.iter().copied().collect::<Vec<_>>())
        .bind(numbers.iter().filter_map(|n| seal.blind(CITIZEN, n)).collect::<Vec<_>>())
        .bind(numbers)
        .bind(of_person)
        .fetch_all(&mut **tx)
        .await
        .db("read the neighbourhood of a chunk")?;
    let opener = tx.keyring().opener();
    for row in &rows {
        let (read, holder, decided) = (|| {
            let plain: Option<String> = row.try_get("plain")?;
            let holder = PersonRow {
                version: row.try_get("version")?,
                citizen_blind: row.try_get("citizen_blind")?,
                plain: plain.filter(|p| !protect::is_sealed(p)),
                merged_into: row.try_get("merged_into")?,
            };
            Ok::<_, sqlx::Error>((record(row)?, holder, row.try_get::<bool, _>("decided")?))
        })()
        .db("read the neighbourhood of a chunk")?;
        neighbours.decided |= decided;
        neighbours.persons.insert(read.person_id, holder);
        neighbours.records.push(opened(&opener, read)?);
    }
    neighbours.rows = rows;
    Ok(neighbours)
}

/// The persons of records that people decided to be of one person with these: evidence need not lead there.
pub(crate) async fn decided_with(tx: &mut Tx<'_>, records: &[i64]) -> Result<Vec<i64>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "select i.person_id from unnest((select $1::bigint[])) as w (id) cross join lateral (
             select b as other from identity_pair where a = w.id and verdict = 'together'
             union all select a from identity_pair where b = w.id and verdict = 'together') d
         join identity_record i on i.id = d.other",
    )
    .bind(records)
    .fetch_all(&mut **tx)
    .await
    .db("read with whom records were decided to be one person")
}

/// Records in the order of their numbers, after one of them.
pub(crate) async fn range(tx: &mut Tx<'_>, after: i64, limit: i64) -> Result<Vec<Record>> {
    let rows = sqlx::query(
        "select i.id, i.local_no, i.person_id, i.institution_id, i.number_disowned, i.special, i.link_rule, false as settled,
            0::bigint as written, i.name, i.sex, i.birth_date, i.credential_kind, i.credential_no, i.citizen_id, i.card_no, i.phone,
            i.address, i.region, i.blood_abo, i.blood_rh, i.ethnicity, i.contact_name, i.contact_relation,
            i.contact_phone, i.died_on, i.registered
         from identity_record i where i.id > $1 order by i.id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await
    .db("read identity records in order")?;
    let opener = tx.keyring().opener();
    rows.iter().map(|row| opened(&opener, record(row).db("read an identity record")?)).collect()
}

/// Finds which of these local numbers are known.
pub(crate) async fn briefs(
    tx: &mut Tx<'_>,
    institution: i64,
    local_nos: &[&str],
) -> Result<HashMap<String, Brief>> {
    if local_nos.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(BRIEFS)
        .bind(institution as i32)
        .bind(local_nos)
        .fetch_all(&mut **tx)
        .await
        .db("find identity records")?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let brief = (|| {
            Ok((
                row.try_get(1)?,
                Brief { id: row.try_get(0)?, registered: row.try_get(2)?, settled: row.try_get(3)? },
            ))
        })()
        .db("read an identity record")?;
        found.insert(brief.0, brief.1);
    }
    Ok(found)
}

/// Reads the records of these local numbers.
pub(crate) async fn records(
    tx: &mut Tx<'_>,
    institution: i64,
    local_nos: &[&str],
) -> Result<HashMap<String, Record>> {
    if local_nos.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(RECORDS)
        .bind(institution as i32)
        .bind(local_nos)
        .fetch_all(&mut **tx)
        .await
        .db("read identity records")?;
    let records: HashMap<String, Record> = rows
        .iter()
        .map(|row| Ok((row.try_get("local_no")?, record(row)?)))
        .collect::<Result<_, _>>()
        .db("read an identity record")?;
    let opener = tx.keyring().opener();
    records.into_iter().map(|(no, record)| Ok((no, opened(&opener, record)?))).collect()
}

pub(crate) fn opened(opener: &protect::Opener, mut record: Record) -> Result<Record> {
    let known = &mut record.known;
    known.citizen_id = open_option(opener, CITIZEN, known.citizen_id.take())?;
    for (what, value) in [
        (CREDENTIAL, &mut known.credential_no),
        (CARD, &mut known.card_no),
        (PHONE, &mut known.phone),
        (ADDRESS, &mut known.address),
        (CONTACT_PHONE, &mut known.contact_phone),
    ] {
        *value = open(opener, what, std::mem::take(value))?;
    }
    Ok(record)
}

pub(crate) fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        id: row.try_get("id")?,
        person_id: row.try_get("person_id")?,
        rule: row.try_get("link_rule")?,
        institution: i64::from(row.try_get::<i32, _>("institution_id")?),
        disowned: row.try_get("number_disowned")?,
        newborn: row.try_get::<&str, _>("special")? == "newborn",
        settled: row.try_get("settled")?,
        written: row.try_get("written")?,
        known: Known {
            name: row.try_get("name")?,
            sex: row.try_get("sex")?,
            birth_date: row.try_get("birth_date")?,
            credential_kind: row.try_get("credential_kind")?,
            credential_no: row.try_get("credential_no")?,
            citizen_id: row.try_get("citizen_id")?,
            card_no: row.try_get("card_no")?,
            phone: row.try_get("phone")?,
            address: row.try_get("address")?,
            region: row.try_get("region")?,
            blood_abo: row.try_get("blood_abo")?,
            blood_rh: row.try_get("blood_rh")?,
            ethnicity: row.try_get("ethnicity")?,
            contact_name: row.try_get("contact_name")?,
            contact_relation: row.try_get("contact_relation")?,
            contact_phone: row.try_get("contact_phone")?,
            died_on: row.try_get("died_on")?,
            registered: row.try_get("registered")?,
        },
    })
}

/// Locks identity records against other writers, in the order of their identifiers.
pub(crate) async fn lock(tx: &mut Tx<'_>, ids: &[i64]) -> Result<()> {
    sqlx::query("select id from identity_record where id = any($1) order by id for no key update")
        .bind(ids)
        .execute(&mut **tx)
        .await
        .db("lock identity records")?;
    Ok(())
}
