//! Writing identity records and their time line, set by set.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::PersonLinked;
use kernel::Result;
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
    from unnest($3::identity_row[]) as t
    where i.institution_id = $1 and i.local_no = t.local_no";

/// An identity record as it is sent to be written.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "identity_row")]
pub(crate) struct Row {
    id: Option<i64>,
    local_no: String,
    person_id: i64,
    name: String,
    initials: String,
    sex: String,
    birth_date: Option<NaiveDate>,
    credential_kind: String,
    credential_no: String,
    citizen_id: Option<String>,
    card_no: String,
    phone: String,
    address: String,
    region: String,
    blood_abo: String,
    blood_rh: String,
    registered: bool,
    link_rule: String,
    citizen_blind: Option<Vec<u8>>,
    credential_blind: Option<Vec<u8>>,
    card_blind: Option<Vec<u8>>,
    phone_blind: Option<Vec<u8>>,
    ethnicity: String,
    contact_name: String,
    contact_relation: String,
    contact_phone: String,
    died_on: Option<NaiveDate>,
    own_blind: Option<Vec<u8>>,
    claim_blind: Option<Vec<u8>>,
    weight: Option<f32>,
}

impl Row {
    /// Of a record that is new (and gets this number) or there already.
    pub(crate) fn of(seal: &Seal, id: Option<i64>, item: &Item<'_>) -> Result<Self> {
        let known = &item.next;
        let citizen = known.citizen_id.as_deref();
        Ok(Self {
            id,
            local_no: item.local_no.to_owned(),
            person_id: item.person,
            name: known.name.clone(),
            initials: initials(&known.name),
            sex: known.sex.clone(),
            birth_date: known.birth_date,
            credential_kind: known.credential_kind.clone(),
            credential_no: seal.text(CREDENTIAL, &known.credential_no)?,
            citizen_id: citizen.map(|number| seal.text(CITIZEN, number)).transpose()?,
            card_no: seal.text(CARD, &known.card_no)?,
            phone: seal.text(PHONE, &known.phone)?,
            address: seal.text(ADDRESS, &known.address)?,
            region: known.region.clone(),
            blood_abo: known.blood_abo.clone(),
            blood_rh: known.blood_rh.clone(),
            registered: known.registered,
            link_rule: item.rule.clone(),
            citizen_blind: seal.blind(CITIZEN, citizen.unwrap_or_default()),
            credential_blind: seal.blind(CREDENTIAL, &known.credential_no),
            card_blind: seal.blind(CARD, &known.card_no),
            phone_blind: seal.blind(PHONE, &known.phone),
            ethnicity: known.ethnicity.clone(),
            contact_name: known.contact_name.clone(),
            contact_relation: known.contact_relation.clone(),
            contact_phone: seal.text(CONTACT_PHONE, &known.contact_phone)?,
            died_on: known.died_on,
            own_blind: item.own.as_deref().map(unhex),
            claim_blind: item.claim.as_deref().map(unhex),
            weight: item.weight,
        })
    }
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
    let rows: Vec<Row> = items.iter().map(|item| Row::of(&seal, None, item)).collect::<Result<_>>()?;
    sqlx::query(UPDATE)
        .bind(institution as i32)
        .bind(now)
        .bind(rows)
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
