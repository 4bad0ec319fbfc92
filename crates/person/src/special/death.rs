//! A death that somebody records (死亡登记): the day and the source, written into one identity record of the person as a
//! death certificate that comes as data would be, so that everything that knows the dead follows at once. Taken back the
//! same way.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{Demographics, Institutions, Linker};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, RegionCode, Result};
use store::db::Retry;
use store::{AuditEntry, DbDoing, Gated};

use crate::events::{self, Entry};
use crate::operations::{BY_HAND, reason};
use crate::{MasterIndex, care};

/// Where it is known from: code and Chinese name.
pub const SOURCES: [(&str, &str); 5] = [
    ("certificate", "死亡医学证明（推断）书"),
    ("hospital", "本机构抢救、住院记录"),
    ("police", "公安部门"),
    ("civil", "民政、殡葬部门"),
    ("family", "家属告知"),
];

/// The Chinese name of a source.
pub fn source_name(code: &str) -> &'static str {
    SOURCES.iter().find(|s| s.0 == code).map_or("", |s| s.1)
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The day.
    pub died_on: NaiveDate,
    /// Code of [`SOURCES`].
    pub source: String,
    /// Number of the certificate, where there is one.
    pub certificate_no: String,
    /// Anything else.
    pub note: String,
}

/// A death that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Recorded {
    /// Its number.
    pub id: i64,
    /// The identity record that it was written into.
    pub identity_id: i64,
    /// The day.
    pub died_on: NaiveDate,
    /// Code of [`SOURCES`].
    pub source: String,
    /// Number of the certificate.
    pub certificate_no: String,
    /// Anything else.
    pub note: String,
    /// Who recorded it.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who took it back.
    pub withdrawn_by: Option<String>,
    /// When.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// Why.
    pub withdrawn_why: String,
}

/// Somebody whose death may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mortal {
    /// The person.
    pub person_id: i64,
    /// Name as the best record shows it. Unmasked.
    pub name: String,
    /// Sex code.
    pub sex: String,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// The day of death that is known.
    pub died_on: Option<NaiveDate>,
    /// What people recorded, the newest first.
    pub recorded: Vec<Recorded>,
    /// The identity record that a death is written into: one of the caller's own institution where there is one.
    record: (i64, InstitutionId, String),
}

impl Mortal {
    /// The record by hand that holds now.
    pub fn in_force(&self) -> Option<&Recorded> {
        self.recorded.iter().find(|d| d.withdrawn_at.is_none())
    }
}

fn unknown() -> Refusal {
    Refusal::not_found("death.unknown", "没有找到这位居民，或不在您的管辖范围内。请从居民查询进入。")
}

/// Deaths that people recorded in the registrations of a person, the newest first.
pub async fn recorded(tx: &mut Gated<'_>, person: i64) -> Result<Vec<Recorded>> {
    sqlx::query_as(
        "select d.id, d.identity_id, d.died_on, d.source, d.certificate_no, d.note, d.actor, d.at, d.withdrawn_by,
                d.withdrawn_at, d.withdrawn_why
         from identity_record i join person_death d on d.identity_id = i.id
         where i.person_id = $1 order by d.id desc limit 20",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read recorded deaths")
}

/// A person within the reach of the transaction: by an institution that registered them, by residence, by care.
pub async fn mortal(
    tx: &mut Gated<'_>,
    institutions: &dyn Institutions,
    person: i64,
    today: NaiveDate,
) -> Result<Mortal> {
    type Row = (String, String, Option<NaiveDate>, Option<NaiveDate>, String);
    let row: Option<Row> =
        sqlx::query_as("select name, sex, birth_date, died_on, region from person where id = $1")
            .bind(person)
            .fetch_optional(&mut ***tx)
            .await
            .db("read a person")?;
    let (name, sex, birth_date, died_on, region) = row.ok_or_else(unknown)?;
    let own = tx.reach().caller().institution.map_or(0, |id| id.get() as i32);
    let records: Vec<(i64, i32, String)> = sqlx::query_as(
        "select id, institution_id, local_no from identity_record where person_id = $1
         order by institution_id = $2 desc, registered desc, id limit 64",
    )
    .bind(person)
    .bind(own)
    .fetch_all(&mut ***tx)
    .await
    .db("read the registrations of a person")?;
    let within = |institution: i32| {
        let id = InstitutionId::new(institution.into());
        institutions.by_id(id).is_some_and(|card| tx.reach().covers(id, &card.region))
    };
    let reached = records.iter().position(|(_, at, _)| within(*at));
    let lives =
        RegionCode::parse(&region).is_ok_and(|r| r != RegionCode::NATION && tx.reach().covers_region(&r));
    if reached.is_none() && !lives && !care::reaches(tx, person, today).await? {
        return Err(unknown().into());
    }
    let (id, institution, local_no) = records.into_iter().nth(reached.unwrap_or(0)).ok_or_else(unknown)?;
    let recorded = recorded(tx, person).await?;
    let record = (id, InstitutionId::new(institution.into()), local_no);
    Ok(Mortal { person_id: person, name, sex, birth_date, died_on, recorded, record })
}

fn check(mortal: &Mortal, death: &Death, today: NaiveDate) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::invalid("death.invalid", message));
    if death.died_on > today {
        return invalid("死亡日期不能在今天之后。".to_owned());
    }
    if let Some(birth) = mortal.birth_date.filter(|birth| *birth > death.died_on) {
        return invalid(format!("死亡日期早于出生日期（{birth}）。请核对日期，或核对是不是同一个人。"));
    }
    if source_name(&death.source).is_empty() {
        return invalid("请选择死亡信息的来源。".to_owned());
    }
    if death.source == "certificate" && death.certificate_no.trim().is_empty() {
        return invalid("来源为死亡医学证明的，请填写证明编号。".to_owned());
    }
    match mortal.died_on {
        Some(day) => Err(Refusal::conflict(
            "death.known",
            match mortal.in_force() {
                Some(_) => format!("已登记死亡，日期 {day}。日期有误的，请先撤销原登记再重新登记。"),
                None => format!("已由机构上传的死亡登记标明死亡，日期 {day}。有误的，请由上传机构更正。"),
            },
        )),
        None => Ok(()),
    }
}

fn none() -> Refusal {
    Refusal::conflict("death.none", "没有可撤销的死亡登记。由机构上传的死亡登记，请由上传机构更正。")
}

/// Refuses where somebody else recorded the death after this transaction looked: whoever writes a death holds the
/// person of its record until the end, so that the second sees here what the first did.
async fn not_meanwhile(tx: &mut Gated<'_>, record: i64) -> Result<()> {
    sqlx::query(
        "select id from person where id = (select person_id from identity_record where id = $1) for no key update",
    )
    .bind(record)
    .execute(&mut ***tx)
    .await
    .db("lock the person of a death")?;
    let earlier: Option<(NaiveDate, String)> = sqlx::query_as(
        "select d.died_on, d.actor from identity_record r join identity_record i on i.person_id = r.person_id
         join person_death d on d.identity_id = i.id
         where r.id = $1 and d.withdrawn_at is null order by d.id desc limit 1",
    )
    .bind(record)
    .fetch_optional(&mut ***tx)
    .await
    .db("look who recorded the death meanwhile")?;
    match earlier {
        Some((day, actor)) => Err(Refusal::conflict(
            "death.known",
            format!("{actor}刚刚已登记死亡，日期 {day}，不需要再登记。日期有误的，请刷新页面，先撤销原登记再重新登记。"),
        )
        .into()),
        None => Ok(()),
    }
}

impl MasterIndex {
    /// Records a death. The number of what was recorded.
    pub fn record_death<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        person: i64,
        death: &'a Death,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let today = kernel::clock::to_china(now).date();
            let mut retry = Retry::default();
            loop {
                let done = self.db.personal(reach, now, async |tx, reach| {
                    let mortal = mortal(tx, institutions, person, today).await?;
                    check(&mortal, death, today)?;
                    let (record, institution, local_no) = mortal.record.clone();
                    let row =
                        Demographics { local_no, died_on: Some(death.died_on), ..Demographics::default() };
                    self.link(tx, institution, &[row], 0, now).await?;
                    not_meanwhile(tx, record).await?;
                    let actor = &reach.caller().name;
                    let id: i64 = sqlx::query_scalar(
                        "insert into person_death (identity_id, died_on, source, certificate_no, note, institution_id,
                            actor, at)
                         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
                    )
                    .bind(record)
                    .bind(death.died_on)
                    .bind(&death.source)
                    .bind(death.certificate_no.trim())
                    .bind(death.note.trim())
                    .bind(reach.caller().institution.map(|id| id.get() as i32))
                    .bind(actor)
                    .bind(now)
                    .fetch_one(&mut ***tx)
                    .await
                    .db("record a death")?;
                    let why = format!("{}，{}", death.died_on, source_name(&death.source));
                    let told =
                        Entry { kind: "died", actor, reason: &why, ..Entry::of(record, person, BY_HAND) };
                    events::trail(tx, &[told], None, now).await?;
                    Ok((id, audit("person.death", &mortal, &why)))
                }).await;
                match done {
                    Err(error) if retry.again(&error).await => {}
                    done => return done,
                }
            }
        })
    }

    /// Takes back the death that was recorded last and holds. Refused where none was recorded by hand.
    pub fn withdraw_death<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        person: i64,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let why = reason(why)?;
            let today = kernel::clock::to_china(now).date();
            let mut retry = Retry::default();
            loop {
                let done = self
                    .db
                    .personal(reach, now, async |tx, reach| {
                        let mortal = mortal(tx, institutions, person, today).await?;
                        let death = mortal.in_force().ok_or_else(none)?;
                        let actor = &reach.caller().name;
                        // A certificate that came later with another day outlives what was recorded by hand.
                        let place: Option<(i32, String)> = sqlx::query_as(
                        "select institution_id, local_no from identity_record where id = $1 and died_on = $2",
                    )
                    .bind(death.identity_id)
                    .bind(death.died_on)
                    .fetch_optional(&mut ***tx)
                    .await
                    .db("find where a death was written")?;
                        if let Some((institution, local_no)) = place {
                            let row = Demographics {
                                local_no,
                                died_on: Some(death.died_on),
                                withdrawn: true,
                                ..Demographics::default()
                            };
                            self.link(tx, InstitutionId::new(institution.into()), &[row], 0, now).await?;
                        }
                        let taken = sqlx::query(
                            "update person_death set withdrawn_by = $2, withdrawn_at = $3, withdrawn_why = $4
                         where id = $1 and withdrawn_at is null",
                        )
                        .bind(death.id)
                        .bind(actor)
                        .bind(now)
                        .bind(why)
                        .execute(&mut ***tx)
                        .await
                        .db("take a recorded death back")?;
                        if taken.rows_affected() == 0 {
                            return Err(none().into());
                        }
                        let told = Entry {
                            kind: "revived",
                            actor,
                            reason: why,
                            ..Entry::of(death.identity_id, person, BY_HAND)
                        };
                        events::trail(tx, &[told], None, now).await?;
                        Ok(((), audit("person.death_withdraw", &mortal, why)))
                    })
                    .await;
                match done {
                    Err(error) if retry.again(&error).await => {}
                    done => return done,
                }
            }
        })
    }
}

fn audit(act: &'static str, mortal: &Mortal, label: &str) -> AuditEntry {
    AuditEntry {
        act,
        object_kind: "person",
        object_id: Some(mortal.person_id),
        object_label: label.to_owned(),
        person_id: Some(mortal.person_id),
        outcome: "ok",
        ..AuditEntry::default()
    }
}
