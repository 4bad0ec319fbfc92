//! Special registrations (特殊人员登记): who has no number or name yet gets a temporary one, so that care and records can
//! begin at once, and is brought together with the proper registration later.
//!
//! - a newborn: tied to the mother's record and the order of birth; the child's own registration, when it comes, opens a
//!   review task beside it;
//! - an unknown patient: a temporary number, an estimate of age, where and when found; merged by hand once known;
//! - people from abroad and people without documents: an ordinary record without a citizen number, marked.
//!
//! Who it was is put right by merging, or by writing the papers that turned up into the registration ([`identify`]); then
//! the index links it by itself. A death that somebody records is in [`death`].

pub mod death;
pub mod identify;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use contracts::{Demographics, Linker};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, Result};
use store::db::Retry;
use store::{AuditEntry, DbDoing, Tx};

use crate::MasterIndex;
use crate::events::{self, Entry};
use crate::operations::BY_HAND;

/// Who is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Special {
    /// 新生儿
    Newborn {
        /// An identity record of the mother.
        mother: i64,
        /// 1 for the first or only child of the birth.
        order: i16,
        /// Sex code.
        sex: String,
        /// Day of birth.
        birth_date: NaiveDate,
        /// Hour of birth, where it is known.
        born_at: Option<NaiveTime>,
        /// Name, if there is one already.
        name: String,
    },
    /// 身份不明
    Unknown {
        /// Sex code; `0` where it cannot be told.
        sex: String,
        /// Estimated age in years.
        age: Option<u8>,
        /// Where, how and when the patient was found; kept beside the registration and in the audit trail.
        circumstances: String,
    },
    /// 境外人员: foreigners, and residents of Hong Kong, Macau and Taiwan
    Foreigner {
        /// What the passport says.
        said: Box<Demographics>,
        /// Nationality, in words.
        nationality: String,
    },
    /// 无证件
    Undocumented {
        /// What the patient says.
        said: Box<Demographics>,
        /// Why there are no documents.
        why: String,
    },
}

impl Special {
    /// The word in the database.
    pub const fn code(&self) -> &'static str {
        match self {
            Special::Newborn { .. } => "newborn",
            Special::Unknown { .. } => "unknown",
            Special::Foreigner { .. } => "foreigner",
            Special::Undocumented { .. } => "undocumented",
        }
    }

    /// The Chinese name of a code; empty for ordinary registrations.
    pub fn title(code: &str) -> &'static str {
        match code {
            "newborn" => "新生儿（暂用母亲信息）",
            "unknown" => "身份不明",
            "foreigner" => "境外人员",
            "undocumented" => "无有效证件",
            _ => "",
        }
    }

    /// What stands beside the registration.
    fn note(&self) -> String {
        match self {
            Special::Newborn { .. } => String::new(),
            Special::Unknown { circumstances, .. } => circumstances.clone(),
            Special::Foreigner { nationality, .. } if nationality.is_empty() => String::new(),
            Special::Foreigner { nationality, .. } => format!("国籍（地区）：{nationality}"),
            Special::Undocumented { why, .. } => why.clone(),
        }
    }

    /// The letter that temporary numbers begin with.
    const fn letter(&self) -> char {
        match self {
            Special::Newborn { .. } => 'N',
            Special::Unknown { .. } => 'U',
            Special::Foreigner { .. } => 'F',
            Special::Undocumented { .. } => 'W',
        }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The identity record.
    pub identity_id: i64,
    /// The person.
    pub person_id: i64,
    /// The temporary number, to be written on the wrist band: the institution's local number from now on.
    pub number: String,
}

impl MasterIndex {
    /// Registers somebody special at an institution, which must be within the reach.
    pub fn register_special<'a>(
        &'a self,
        reach: &'a Reach,
        institution: InstitutionId,
        special: &'a Special,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Issued>> {
        Box::pin(async move {
            let today = kernel::clock::to_china(now).date();
            let mut retry = Retry::default();
            loop {
                let issued = self.db
                .personal(reach, now, async |tx, reach| {
                    let region = self
                        .institutions
                        .as_ref()
                        .and_then(|i| i.by_id(institution))
                        .map_or(kernel::RegionCode::NATION, |card| card.region);
                    if !reach.covers(institution, &region) {
                        return Err(Refusal::not_found("special.institution", "没有找到这家机构，或不在您的管辖范围内。").into());
                    }
                    let number = temporary(tx, special.letter(), today).await?;
                    let mother = mother_of(tx, special).await?;
                    refuse_twice(tx, special).await?;
                    let row = row(special, &number, mother.as_ref(), today)?;
                    if let Some(mother) = &mother {
                        self.announce(tx, institution, &number, mother, &reach.caller().name, now).await?;
                    }
                    let ids = self.link(tx, institution, std::slice::from_ref(&row), 0, now).await?;
                    let identity_id = ids.first().copied().unwrap_or_default();
                    let (order, born_at) = match special {
                        Special::Newborn { order, birth_date, born_at, .. } => {
                            (Some(*order), born_at.map(|time| birth_date.and_time(time)))
                        }
                        _ => (None, None),
                    };
                    let actor = &reach.caller().name;
                    let person_id: i64 = sqlx::query_scalar(
                        "update identity_record set special = $2, mother_id = $3, birth_order = $4, born_at = $5,
                            special_note = $6, special_by = $7, special_at = $8
                         where id = $1 returning person_id",
                    )
                    .bind(identity_id)
                    .bind(special.code())
                    .bind(mother.as_ref().map(|m| m.id))
                    .bind(order)
                    .bind(born_at)
                    .bind(special.note())
                    .bind(actor)
                    .bind(now)
                    .fetch_one(&mut ***tx)
                    .await
                    .db("mark a special registration")?;
                    let told = Entry {
                        kind: "special",
                        actor,
                        reason: Special::title(special.code()),
                        ..Entry::of(identity_id, person_id, BY_HAND)
                    };
                    events::trail(tx, &[told], None, now).await?;
                    let entry = AuditEntry {
                        act: "person.special",
                        object_kind: "identity_record",
                        object_id: Some(identity_id),
                        object_label: label(special, &number),
                        person_id: Some(person_id),
                        outcome: "ok",
                        ..AuditEntry::default()
                    };
                    Ok((Issued { identity_id, person_id, number }, entry))
                })
                .await;
                match issued {
                    Err(error) if retry.again(&error).await => {}
                    issued => return issued,
                }
            }
        })
    }
}

/// Records of the mother, and of children of hers, that a newborn is told apart from.
const APART_FROM: i64 = 200;

impl MasterIndex {
    /// Registers the number of a newborn alone and tells it apart for good from the mother and from her other children,
    /// before anything of it can be compared: twins look like one child to every comparison, and nobody has to be asked.
    async fn announce(
        &self,
        tx: &mut Tx<'_>,
        institution: InstitutionId,
        number: &str,
        mother: &Mother,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let blank =
            Demographics { local_no: number.to_owned(), registration: true, ..Demographics::default() };
        let child = self.link(tx, institution, &[blank], 0, now).await?.first().copied().unwrap_or_default();
        sqlx::query("update identity_record set special = 'newborn', mother_id = $2 where id = $1")
            .bind(child)
            .bind(mother.id)
            .execute(&mut **tx)
            .await
            .db("announce a newborn")?;
        sqlx::query(
            "insert into identity_pair (a, b, verdict, actor, reason, at)
             select least(o.id, $1), greatest(o.id, $1), 'apart', $3, '新生儿登记：不是母亲，也不是母亲的其他孩子', $4
             from (select r.id, r.person_id from identity_record r
                   where r.person_id = (select m.person_id from identity_record m where m.id = $2)
                   union
                   select c.id, c.person_id from identity_record r join identity_record c on c.mother_id = r.id
                   where r.person_id = (select m.person_id from identity_record m where m.id = $2)) o
             where o.id <> $1 and o.person_id <> (select person_id from identity_record where id = $1)
             order by 1, 2 limit $5
             on conflict (a, b) do nothing",
        )
        .bind(child)
        .bind(mother.id)
        .bind(actor)
        .bind(now)
        .bind(APART_FROM)
        .execute(&mut **tx)
        .await
        .db("tell a newborn apart")?;
        Ok(())
    }
}

fn label(special: &Special, number: &str) -> String {
    format!("{} {number} {}", Special::title(special.code()), special.note()).trim_end().to_owned()
}

/// A number that nobody has: letter, day, and a running number of the whole platform.
async fn temporary(tx: &mut Tx<'_>, letter: char, today: NaiveDate) -> Result<String> {
    let n: i64 = sqlx::query_scalar("select nextval('temporary_number')")
        .fetch_one(&mut **tx)
        .await
        .db("draw a temporary number")?;
    Ok(format!("{letter}{}-{n:04}", today.format("%Y%m%d")))
}

/// What a newborn takes from the mother.
struct Mother {
    id: i64,
    name: String,
    region: String,
}

async fn mother_of(tx: &mut Tx<'_>, special: &Special) -> Result<Option<Mother>> {
    let Special::Newborn { mother, .. } = special else { return Ok(None) };
    let found: Option<(i64, String, String, String)> =
        sqlx::query_as("select id, name, region, sex from identity_record where id = $1 for key share")
            .bind(mother)
            .fetch_optional(&mut **tx)
            .await
            .db("read the mother of a newborn")?;
    match found {
        Some((.., sex)) if sex == "1" => {
            Err(Refusal::invalid("special.mother", "所选的母亲登记为男性，请核对后重新选择。").into())
        }
        Some((id, name, region, _)) => Ok(Some(Mother { id, name, region })),
        None => Err(Refusal::not_found("special.mother", "没有找到母亲的登记。请先登记母亲。").into()),
    }
}

/// A child of this mother and this order in the birth that is registered already: pressed twice, or by two wards.
async fn refuse_twice(tx: &mut Tx<'_>, special: &Special) -> Result<()> {
    let Special::Newborn { mother, order, birth_date, .. } = special else { return Ok(()) };
    let there: Option<String> = sqlx::query_scalar(
        "select c.local_no from identity_record c
         where c.mother_id in (select o.id from identity_record o
                 where o.person_id = (select m.person_id from identity_record m where m.id = $1))
           and c.birth_order = $2 and c.birth_date between $3::date - 2 and $3::date + 2 limit 1",
    )
    .bind(mother)
    .bind(order)
    .bind(birth_date)
    .fetch_optional(&mut **tx)
    .await
    .db("look for the same newborn")?;
    match there {
        Some(number) => Err(Refusal::conflict(
            "special.twice",
            format!(
                "这位母亲本次分娩的第 {order} 个孩子已经登记过了，临时编号 {number}。双胎、多胎请核对分娩顺序；请到“特殊登记”列表中打开已有的登记。"
            ),
        )
        .into()),
        None => Ok(()),
    }
}

fn row(special: &Special, number: &str, mother: Option<&Mother>, today: NaiveDate) -> Result<Demographics> {
    let blank = || Demographics { local_no: number.to_owned(), registration: true, ..Default::default() };
    Ok(match special {
        Special::Newborn { order, sex, birth_date, name, .. } => {
            if *birth_date > today || (today - *birth_date).num_days() > 366 {
                return Err(Refusal::invalid(
                    "special.birth",
                    "新生儿登记只用于一周岁以内的孩子，出生日期也不能在今天之后。请核对出生日期。",
                )
                .into());
            }
            if !(1..=9).contains(order) {
                return Err(Refusal::invalid("special.order", "本次分娩顺序应为 1 至 9，单胎填 1。").into());
            }
            let mother =
                mother.ok_or_else(|| Refusal::not_found("special.mother", "没有找到母亲的登记。"))?;
            // 张三之女, 张三之女2: how wards call a child without a name.
            let called = match sex.as_str() {
                "1" => "之子",
                "2" => "之女",
                _ => "之婴",
            };
            let more = if *order > 1 { order.to_string() } else { String::new() };
            Demographics {
                name: if name.is_empty() { format!("{}{called}{more}", mother.name) } else { name.clone() },
                sex: sex.clone(),
                birth_date: Some(*birth_date),
                region: mother.region.clone(),
                contact_name: mother.name.clone(),
                contact_relation: "52".to_owned(),
                ..blank()
            }
        }
        Special::Unknown { sex, age, .. } => Demographics {
            name: "无名氏".to_owned(),
            sex: sex.clone(),
            // The year is an estimate; the first of January says so to the comparison.
            birth_date: age.and_then(|a| NaiveDate::from_ymd_opt(today.year() - i32::from(a), 1, 1)),
            ..blank()
        },
        Special::Foreigner { said: row, .. } | Special::Undocumented { said: row, .. } => {
            if row.name.trim().is_empty() {
                return Err(
                    Refusal::invalid("special.name", "请填写姓名；姓名不明的请按“身份不明”登记。").into()
                );
            }
            Demographics {
                local_no: number.to_owned(),
                registration: true,
                withdrawn: false,
                ..(**row).clone()
            }
        }
    })
}
