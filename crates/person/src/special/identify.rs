//! Putting right who it was: the papers that turned up are written into the special registration, as the ward would have
//! sent them; the index then links it as it links every registration.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{Demographics, Linker};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, RegionCode, Result};
use standards::CitizenId;
use store::db::Retry;
use store::{AuditEntry, DbDoing, Gated};

use crate::MasterIndex;
use crate::events::{self, Entry};
use crate::gather;
use crate::known::Known;
use crate::operations::BY_HAND;

/// Code of the citizen's card (CV02.01.101).
const CITIZEN_CARD: &str = "01";

/// What the papers say. Empty text: they do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Papers {
    /// Name.
    pub name: String,
    /// Sex code; taken from a citizen number where empty.
    pub sex: String,
    /// Day of birth; taken from a citizen number where there is none.
    pub birth_date: Option<NaiveDate>,
    /// Kind of credential.
    pub credential_kind: String,
    /// Its number.
    pub credential_no: String,
    /// Telephone.
    pub phone: String,
    /// Address.
    pub address: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Whose the registration is now.
    pub person_id: i64,
    /// Whether that person has other registrations: the index knew them already.
    pub joined: bool,
    /// A review task that waits, where the index was not sure.
    pub task: Option<i64>,
}

impl Papers {
    fn invalid(message: &str) -> Refusal {
        Refusal::invalid("special.papers", message)
    }

    /// What is to be written over what is known.
    fn over(&self, known: &Known, local_no: &str, today: NaiveDate) -> Result<Demographics, Refusal> {
        let name = self.name.trim();
        if name.is_empty() {
            return Err(Self::invalid("请填写证件上的姓名。"));
        }
        let number = self.credential_no.trim();
        if number.is_empty() != self.credential_kind.is_empty() {
            return Err(Self::invalid("请同时填写证件类别和证件号码；没有证件的，两项都不填。"));
        }
        let (mut sex, mut birth_date) = (self.sex.clone(), self.birth_date);
        if self.credential_kind == CITIZEN_CARD {
            let Ok(id) = CitizenId::parse(number) else {
                return Err(Self::invalid("身份证号码不正确，请逐位核对（18 位，或旧的 15 位）。"));
            };
            if sex.is_empty() {
                id.gender().code().clone_into(&mut sex);
            }
            birth_date = birth_date.or(Some(id.birth()));
            if sex != id.gender().code() || birth_date != Some(id.birth()) {
                return Err(Self::invalid(
                    "性别或出生日期与身份证号码不符。请核对证件是不是本人的；性别和出生日期也可以不填，由号码得出。",
                ));
            }
        }
        if birth_date.is_some_and(|day| day > today) {
            return Err(Self::invalid("出生日期不能在今天之后。"));
        }
        let or =
            |said: &str, known: &str| if said.trim().is_empty() { known } else { said.trim() }.to_owned();
        Ok(Demographics {
            local_no: local_no.to_owned(),
            name: name.to_owned(),
            sex: or(&sex, &known.sex),
            birth_date: birth_date.or(known.birth_date),
            credential_kind: or(&self.credential_kind, &known.credential_kind),
            credential_no: or(number, &known.credential_no),
            card_no: known.card_no.clone(),
            phone: or(&self.phone, &known.phone),
            address: or(&self.address, &known.address),
            region: known.region.clone(),
            blood_abo: known.blood_abo.clone(),
            blood_rh: known.blood_rh.clone(),
            ethnicity: known.ethnicity.clone(),
            contact_name: known.contact_name.clone(),
            contact_relation: known.contact_relation.clone(),
            contact_phone: known.contact_phone.clone(),
            died_on: None,
            registration: true,
            withdrawn: false,
        })
    }
}

fn unknown() -> Refusal {
    Refusal::not_found("special.unknown", "没有找到这条特殊登记，或不是您所在机构的登记。")
}

/// Institution and local number of a special registration that is within reach.
async fn registration(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    record: i64,
) -> Result<(InstitutionId, String)> {
    let found: Option<(i32, String)> = sqlx::query_as(
        "select institution_id, local_no from identity_record where id = $1 and special <> '' for no key update",
    )
    .bind(record)
    .fetch_optional(&mut ***tx)
    .await
    .db("read a special registration")?;
    let (institution, local_no) = found.ok_or_else(unknown)?;
    let institution = InstitutionId::new(institution.into());
    let card = index.institutions.as_ref().and_then(|i| i.by_id(institution));
    let region = card.map_or(RegionCode::NATION, |card| card.region);
    if tx.reach().covers(institution, &region) { Ok((institution, local_no)) } else { Err(unknown().into()) }
}

impl MasterIndex {
    /// Writes papers into a special registration of an institution within the reach.
    pub fn identify<'a>(
        &'a self,
        reach: &'a Reach,
        record: i64,
        papers: &'a Papers,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Identified>> {
        Box::pin(async move {
            let today = kernel::clock::to_china(now).date();
            let mut retry = Retry::default();
            loop {
                let identified = self.db
                .personal(reach, now, async |tx, reach| {
                    let (institution, local_no) = registration(self, tx, record).await?;
                    let mut found = gather::records(tx, institution.get(), &[local_no.as_str()]).await?;
                    let before = found.remove(&local_no).ok_or_else(unknown)?;
                    let row = papers.over(&before.known, &local_no, today)?;
                    self.link(tx, institution, std::slice::from_ref(&row), 0, now).await?;
                    let (person_id, joined, task): (i64, bool, Option<i64>) = sqlx::query_as(
                        "select i.person_id,
                                exists (select from identity_record o where o.person_id = i.person_id and o.id <> i.id),
                                (select min(t.id) from review_task t
                                 where (t.a = i.id or t.b = i.id) and t.state in ('open', 'asked', 'second'))
                         from identity_record i where i.id = $1",
                    )
                    .bind(record)
                    .fetch_one(&mut ***tx)
                    .await
                    .db("read who it was")?;
                    let actor = &reach.caller().name;
                    let told = Entry { kind: "identified", actor, ..Entry::of(record, person_id, BY_HAND) };
                    events::trail(tx, &[told], None, now).await?;
                    let entry = AuditEntry {
                        act: "person.identify",
                        object_kind: "identity_record",
                        object_id: Some(record),
                        object_label: format!("{local_no} 查明为 {}", row.name),
                        person_id: Some(person_id),
                        outcome: "ok",
                        ..AuditEntry::default()
                    };
                    Ok((Identified { person_id, joined, task }, entry))
                })
                .await;
                match identified {
                    Err(error) if retry.again(&error).await => {}
                    identified => return identified,
                }
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn papers_go_over_what_is_known_and_must_agree_with_their_number() {
        let today = "2025-05-15".parse().unwrap();
        let number = CitizenId::compose("411503", "1980-03-14".parse().unwrap(), 1).unwrap();
        let known = Known {
            name: "无名氏".into(),
            sex: "1".into(),
            phone: "13800000000".into(),
            contact_name: "李四".into(),
            ..Known::default()
        };
        let papers = |name: &str, sex: &str, birth: Option<&str>, kind: &str, no: &str| Papers {
            name: name.into(),
            sex: sex.into(),
            birth_date: birth.map(|b| b.parse().unwrap()),
            credential_kind: kind.into(),
            credential_no: no.into(),
            ..Papers::default()
        };
        let row = papers("王建国", "", None, "01", number.as_str()).over(&known, "U1", today).unwrap();
        assert_eq!((row.name.as_str(), row.sex.as_str(), row.local_no.as_str()), ("王建国", "1", "U1"));
        assert_eq!(row.birth_date, Some("1980-03-14".parse().unwrap()));
        assert_eq!((row.phone.as_str(), row.contact_name.as_str()), ("13800000000", "李四"));
        assert!(row.registration);
        let passport = papers("Tom Lee", "", None, "03", "G1").over(&known, "U1", today).unwrap();
        assert_eq!((passport.credential_no.as_str(), passport.birth_date), ("G1", None));
        for wrong in [
            papers("", "", None, "01", number.as_str()),
            papers("王建国", "2", None, "01", number.as_str()),
            papers("王建国", "", Some("1981-03-14"), "01", number.as_str()),
            papers("王建国", "", None, "01", "411503198003140010"),
            papers("王建国", "", None, "", number.as_str()),
            papers("王建国", "", None, "01", ""),
            papers("王建国", "", Some("2030-01-01"), "", ""),
        ] {
            assert!(wrong.over(&known, "U1", today).is_err(), "{wrong:?}");
        }
    }
}
