//! A merge for which somebody says how the person shall be shown afterwards (`result-patient` of FHIR `$merge`). The
//! platform invents no values: what is wished must be what a registration of one of the two says, and is pinned there, in
//! the same operation, so that its undo brings back everything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use contracts::{Institutions, PersonCard};
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, RegionCode, Result};
use store::{DbDoing, Gated};

use super::carry::carry_out;
use super::preview::mark;
use super::rules::{Order, RecordId};
use crate::best::Field;
use crate::sealed::{ADDRESS, PHONE, open};
use crate::{MasterIndex, card};

/// How the person shall be shown after a merge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wished {
    /// Values by field: codes of sex, days as `YYYY-MM-DD`. What is not here is left to the platform.
    pub values: BTreeMap<Field, String>,
    /// Numbers that it shall bear: system and value; of the citizen number also its masked form.
    pub numbers: Vec<(String, String)>,
}

/// What a card shows of a field.
fn shown(card: &PersonCard, field: Field) -> String {
    let day = |d: Option<NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
    match field {
        Field::Name => card.name.clone(),
        Field::Sex => card.sex.clone(),
        Field::BirthDate => day(card.birth_date),
        Field::Phone => card.phone.clone(),
        Field::Address => card.address.clone(),
        Field::Region => card.region.to_string(),
        Field::BloodAbo => card.blood_abo.clone(),
        Field::BloodRh => card.blood_rh.clone(),
        Field::DiedOn => day(card.died_on),
    }
}

fn refuse(message: String) -> Refusal {
    Refusal::invalid("index.result", message)
}

/// Whether the person bears the numbers that are wished.
fn check(card: &PersonCard, institutions: &dyn Institutions, wished: &Wished) -> Result<(), Refusal> {
    for (system, value) in &wished.numbers {
        let citizen = card.citizen_id.as_deref().filter(|_| system == contracts::CITIZEN_SYSTEM);
        let local = card.identities.iter().any(|identity| {
            let code = institutions.by_id(identity.institution).map(|c| c.code.clone()).unwrap_or_default();
            identity.local_no == *value && contracts::local_no_system(&code) == *system
        });
        if !local && !citizen.is_some_and(|n| n == value || web::mask::credential(n) == *value) {
            return Err(refuse(format!(
                "合并后的居民没有 result-patient 中的这个编号（{system}）。编号随登记保留，不能在合并时增加或更改；请去掉它，或由机构更正登记后再合并。"
            )));
        }
    }
    Ok(())
}

/// A registration and what it says.
type Saying = (RecordId, BTreeMap<Field, String>);
type Row = (i64, i32, String, String, String, Option<NaiveDate>, String, String, Option<NaiveDate>);

/// The records of two persons within the reach with what they say, those of the first and newer ones first: what others
/// registered cannot be found out by asking for it.
async fn sayings(
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    into: i64,
    from: i64,
) -> Result<Vec<Saying>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, institution_id, region, name, sex, birth_date, phone, address, died_on from identity_record
         where person_id in ($1, $2)
         order by person_id = $1 desc, registered desc, updated_at desc, id desc limit 400",
    )
    .bind(into)
    .bind(from)
    .fetch_all(&mut ***tx)
    .await
    .db("read what the registrations of two persons say")?;
    let opener = tx.keyring().opener();
    let day = |d: Option<NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
    let here = |row: &Row| {
        let institution = institutions.by_id(InstitutionId::new(i64::from(row.1)));
        RegionCode::parse(&row.2).is_ok_and(|r| reach.covers_region(&r))
            || institution.is_some_and(|card| reach.covers(card.id, &card.region))
            || reach.covers_region(&RegionCode::NATION)
    };
    rows.into_iter()
        .filter(here)
        .map(|(id, _, _, name, sex, birth, phone, address, died)| {
            let values = BTreeMap::from([
                (Field::Name, name),
                (Field::Sex, sex),
                (Field::BirthDate, day(birth)),
                (Field::Phone, open(&opener, PHONE, phone)?),
                (Field::Address, open(&opener, ADDRESS, address)?),
                (Field::DiedOn, day(died)),
            ]);
            Ok((id, values))
        })
        .collect()
}

/// The order with what is wished: which registrations are to be shown for which fields, where the merge alone would show
/// something else.
#[allow(clippy::too_many_arguments)]
pub(super) async fn order<'o>(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    order: &'o Order,
    wished: Option<&Wished>,
    why: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Cow<'o, Order>> {
    let (Some(wished), Order::Merge { into, from }) = (wished, order) else {
        return Ok(Cow::Borrowed(order));
    };
    // Within the reach and by the rules, or refused here as the merge itself would be.
    mark(tx, "savepoint wished").await?;
    let done = carry_out(index, tx, reach, institutions, order, why, now).await?;
    let card = card::demographics(tx, done.person).await?;
    mark(tx, "rollback to savepoint wished").await?;
    let Some(card) = card else { return Ok(Cow::Borrowed(order)) };
    check(&card, institutions, wished)?;
    let other: Vec<(Field, &String)> = wished
        .values
        .iter()
        .map(|(field, value)| (*field, value))
        .filter(|(f, v)| shown(&card, *f) != **v)
        .collect();
    if other.is_empty() {
        return Ok(Cow::Borrowed(order));
    }
    let said = sayings(tx, reach, institutions, *into, *from).await?;
    let mut show: Vec<(RecordId, String)> = Vec::new();
    for (field, value) in other {
        let record = said.iter().find(|(_, says)| says.get(&field) == Some(value)).map(|(id, _)| *id);
        let record = record.ok_or_else(|| {
            refuse(format!(
                "您管辖范围内两人的登记都没有 result-patient 中的{}。平台只从登记中选取显示的值，不在合并时写入新值；请由机构更正登记后再合并，或去掉这一项。",
                field.title()
            ))
        })?;
        show.push((record, field.code().to_owned()));
    }
    Ok(Cow::Owned(Order::MergeShowing { into: *into, from: *from, show }))
}
