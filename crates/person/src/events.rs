//! Writing identity records and their time line, set by set.

use chrono::{DateTime, Utc};
use contracts::PersonLinked;
use kernel::Result;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use standards::pinyin::initials;
use store::{DbDoing, Tx};

use crate::linking::Item;
use crate::sealed::{ADDRESS, CARD, CITIZEN, CONTACT_PHONE, CREDENTIAL, PHONE, Seal, unhex};

const UPDATE: &str = "
    update identity_record i
    set person_id = t.person_id, name = t.name, initials = t.initials, sex = t.sex, birth_date = t.birth_date,
        credential_kind = t.credential_kind, credential_no = t.credential_no, citizen_id = t.citizen_id,
        card_no = t.card_no, phone = t.phone, address = t.address, region = t.region, blood_abo = t.blood_abo,
        blood_rh = t.blood_rh, registered = t.registered, link_rule = t.link_rule, updated_at = $2,
        citizen_blind = t.citizen_blind, credential_blind = t.credential_blind, card_blind = t.card_blind,
        phone_blind = t.phone_blind, ethnicity = t.ethnicity, contact_name = t.contact_name,
        contact_relation = t.contact_relation, contact_phone = t.contact_phone, died_on = t.died_on,
        own_blind = t.own_blind, claim_blind = t.claim_blind
    from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::boolean[],
        $19::text[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[], $24::text[], $25::text[], $26::text[],
        $27::text[], $28::date[], $29::bytea[], $30::bytea[])
        as t (local_no, person_id, name, initials, sex, birth_date, credential_kind, credential_no, citizen_id,
              card_no, phone, address, region, blood_abo, blood_rh, registered, link_rule, citizen_blind,
              credential_blind, card_blind, phone_blind, ethnicity, contact_name, contact_relation, contact_phone,
              died_on, own_blind, claim_blind)
    where i.institution_id = $1 and i.local_no = t.local_no";

/// A statement that is being given its parameters.
pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// Binds what identity records will hold: institution, moment, and 28 columns from the local number on.
pub(crate) fn columns(
    statement: Statement,
    seal: &Seal,
    institution: i64,
    now: DateTime<Utc>,
    items: &[&Item<'_>],
) -> Result<Statement> {
    let text = |get: fn(&Item<'_>) -> String| items.iter().map(|i| get(i)).collect::<Vec<String>>();
    let citizens = || items.iter().map(|i| i.next.citizen_id.as_deref());
    let credentials = || items.iter().map(|i| i.next.credential_no.as_str());
    let cards = || items.iter().map(|i| i.next.card_no.as_str());
    let phones = || items.iter().map(|i| i.next.phone.as_str());
    let addresses = items.iter().map(|i| i.next.address.as_str());
    Ok(statement
        .bind(institution as i32)
        .bind(now)
        .bind(text(|i| i.local_no.to_owned()))
        .bind(items.iter().map(|i| i.person).collect::<Vec<_>>())
        .bind(text(|i| i.next.name.clone()))
        .bind(text(|i| initials(&i.next.name)))
        .bind(text(|i| i.next.sex.clone()))
        .bind(items.iter().map(|i| i.next.birth_date).collect::<Vec<_>>())
        .bind(text(|i| i.next.credential_kind.clone()))
        .bind(seal.texts(CREDENTIAL, credentials())?)
        .bind(seal.options(CITIZEN, citizens())?)
        .bind(seal.texts(CARD, cards())?)
        .bind(seal.texts(PHONE, phones())?)
        .bind(seal.texts(ADDRESS, addresses)?)
        .bind(text(|i| i.next.region.clone()))
        .bind(text(|i| i.next.blood_abo.clone()))
        .bind(text(|i| i.next.blood_rh.clone()))
        .bind(items.iter().map(|i| i.next.registered).collect::<Vec<_>>())
        .bind(text(|i| i.rule.clone()))
        .bind(seal.blinds(CITIZEN, citizens().map(Option::unwrap_or_default)))
        .bind(seal.blinds(CREDENTIAL, credentials()))
        .bind(seal.blinds(CARD, cards()))
        .bind(seal.blinds(PHONE, phones()))
        .bind(text(|i| i.next.ethnicity.clone()))
        .bind(text(|i| i.next.contact_name.clone()))
        .bind(text(|i| i.next.contact_relation.clone()))
        .bind(seal.texts(CONTACT_PHONE, items.iter().map(|i| i.next.contact_phone.as_str()))?)
        .bind(items.iter().map(|i| i.next.died_on).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.own.as_deref().map(unhex)).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.claim.as_deref().map(unhex)).collect::<Vec<_>>()))
}

/// Updates identity records that exist and are locked.
pub(crate) async fn update(
    tx: &mut Tx<'_>,
    institution: i64,
    now: DateTime<Utc>,
    items: &[&Item<'_>],
) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let seal = Seal::of(tx)?;
    columns(sqlx::query(UPDATE), &seal, institution, now, items)?
        .execute(&mut **tx)
        .await
        .db("update identity records")?;
    Ok(())
}

/// An entry of the identity time line.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub identity_id: i64,
    pub from_person: Option<i64>,
    pub to_person: i64,
    pub kind: &'static str,
    pub rule: &'a str,
    pub operation_id: Option<i64>,
    pub actor: &'a str,
    pub reason: &'a str,
    pub model_version: &'a str,
    /// Bits of the evidence that linked it.
    pub weight: Option<f32>,
}

impl<'a> Entry<'a> {
    /// A change of its values, by nobody in particular.
    pub(crate) const fn of(identity_id: i64, to_person: i64, rule: &'a str) -> Self {
        Self {
            identity_id,
            from_person: None,
            to_person,
            kind: "updated",
            rule,
            operation_id: None,
            actor: "",
            reason: "",
            model_version: "",
            weight: None,
        }
    }
}

/// Writes the time line.
pub(crate) async fn trail(
    tx: &mut Tx<'_>,
    entries: &[Entry<'_>],
    batch: Option<i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into identity_event (identity_id, from_person, to_person, kind, rule, operation_id, actor, reason,
            model_version, weight, at, batch_id)
         select t.*, $11, $12 from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
            $6::bigint[], $7::text[], $8::text[], $9::text[], $10::real[]) as t",
    )
    .bind(entries.iter().map(|e| e.identity_id).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.from_person).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.to_person).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.kind).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.rule).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.operation_id).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.actor).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.reason).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.model_version).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.weight).collect::<Vec<_>>())
    .bind(now)
    .bind(batch)
    .execute(&mut **tx)
    .await
    .db("write the identity time line")?;
    Ok(())
}

/// Tells the other contexts which records changed their person.
pub(crate) async fn tell(tx: &mut Tx<'_>, entries: &[Entry<'_>]) -> Result<()> {
    let moves: Vec<(String, PersonLinked)> = entries
        .iter()
        .filter_map(|e| {
            let from_person = e.from_person?;
            let event = PersonLinked { identity_id: e.identity_id, from_person, to_person: e.to_person };
            Some((e.identity_id.to_string(), event))
        })
        .collect();
    let events: Vec<(&str, &PersonLinked)> = moves.iter().map(|(id, event)| (id.as_str(), event)).collect();
    store::outbox::emit_all(tx, PersonLinked::TOPIC, &events).await
}
