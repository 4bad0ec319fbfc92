//! Who may open whose record (D5): out of reach looks like not found; not in care needs a purpose; every look is
//! written to the audit trail in the same transaction.

use chrono::{DateTime, Duration, Utc};
use contracts::{Institutions, PersonCard};
use kernel::{Act, Caller, Line, Need, Purpose, Reach, Refusal, RegionCode, Result};
use store::{AuditEntry, DbDoing, Gated, Tx};
use web::{Allowed, Reply};

use crate::Ports;

/// What every page of the record needs.
pub const NEED: Need = Need::new(Line::Medical, Act::Read);

/// How long a chosen purpose holds.
pub const HOLDS: Duration = Duration::hours(2);

/// Purposes that somebody who does not care for the person may choose: code and name.
pub const PURPOSES: [(&str, &str); 5] = [
    ("care", "诊疗"),
    ("consultation", "会诊"),
    ("emergency", "急救"),
    ("public_health", "公共卫生服务"),
    ("quality", "质量核查"),
];

/// The Chinese name of a purpose.
pub fn purpose_name(code: &str) -> &'static str {
    PURPOSES.iter().find(|(c, _)| *c == code).map_or("诊疗", |(_, name)| name)
}

/// How a person stands to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Looks like not found.
    Hidden,
    /// The caller must first say why.
    Closed,
    /// In the care of the caller's own institution, or a purpose was given.
    Open,
}

/// Whether the caller's own institution has registered the person or recorded anything about them. Facts hang on the
/// institution's identity record, so one look at those is enough.
pub fn in_care(caller: &Caller, card: &PersonCard) -> bool {
    caller.institution.is_some_and(|own| card.identities.iter().any(|i| i.institution == own))
}

/// The decision. `related`: a care relation or an exception brings the caller to this very person. `purposeful`: a
/// purpose that still holds was given for this person.
pub fn door(
    reach: &Reach,
    card: &PersonCard,
    institutions: &dyn Institutions,
    related: bool,
    purposeful: bool,
) -> Door {
    // Being registered at one's own institution counts for whoever reaches that institution, not for whoever reaches
    // only their own patients there.
    let own = reach.caller().institution.and_then(|own| institutions.by_id(own));
    let care = related
        || (in_care(reach.caller(), card) && own.is_some_and(|own| reach.covers(own.id, &own.region)));
    let known = card.region != RegionCode::NATION;
    let within = if known {
        reach.covers_region(&card.region)
    } else {
        card.identities.iter().any(|identity| {
            institutions.by_id(identity.institution).is_some_and(|i| reach.covers(i.id, &i.region))
        })
    };
    match (care, within, purposeful) {
        (true, _, _) | (false, true, true) => Door::Open,
        (false, true, false) => Door::Closed,
        (false, false, _) => Door::Hidden,
    }
}

/// What came of an attempt to open a record.
#[derive(Debug)]
pub enum Opened<T> {
    /// It is open; this was read.
    Shown(T),
    /// The caller must first say why; all that may be shown is who it is, masked.
    Ask(Box<PersonCard>),
}

/// What is looked at, for the audit trail.
#[derive(Debug, Clone)]
pub struct Look {
    /// E.g. `record.view`.
    pub act: &'static str,
    /// Anything more, e.g. the tab or the event.
    pub detail: Option<serde_json::Value>,
}

/// There is no such person, or the caller does not reach them.
pub fn nobody() -> Refusal {
    Refusal::not_found(
        "record.not_found",
        "没有找到这份健康档案。居民可能不存在，或不在您的权限范围内。请回到居民查询重新查找。",
    )
}

impl Ports {
    /// Opens a person's record for a caller and reads with `work`; the audit entry is written in the same
    /// transaction. `given`: a purpose stated in the request itself, as programs do.
    pub async fn open<T>(
        &self,
        allowed: &Allowed,
        person: i64,
        given: Option<Purpose>,
        look: Look,
        work: impl AsyncFnOnce(&mut Gated<'_>, &PersonCard) -> Result<T>,
    ) -> Reply<Opened<T>> {
        let now = self.clock.now();
        let stored = match given {
            Some(given) => Some(given),
            None => self.purpose(&viewer(allowed.caller()), person, now).await?,
        };
        let purposeful = stored.is_some();
        let reach = allowed.reach(stored.unwrap_or_else(|| Purpose::of("care")))?;
        let opened = self
            .db
            .personal(&reach, now, async |tx, reach| {
                let card = self.persons.card(tx, person).await?.ok_or_else(nobody)?;
                let mut entry = AuditEntry {
                    act: look.act,
                    object_kind: "person",
                    object_id: Some(person),
                    object_label: card.name.clone(),
                    person_id: Some(person),
                    detail: look.detail,
                    ..AuditEntry::default()
                };
                let related = self.care.reaches(tx, person, self.clock.today()).await?;
                match door(reach, &card, &*self.institutions, related, purposeful) {
                    Door::Hidden => Err(nobody().into()),
                    Door::Closed => {
                        entry.outcome = "purpose_needed";
                        Ok((Opened::Ask(Box::new(card)), entry))
                    }
                    Door::Open => Ok((Opened::Shown(work(tx, &card).await?), entry)),
                }
            })
            .await?;
        Ok(opened)
    }

    /// The purpose that this viewer gave for this person, while it holds.
    async fn purpose(&self, viewer: &str, person: i64, now: DateTime<Utc>) -> Result<Option<Purpose>> {
        let found: Option<(String, String)> = sqlx::query_as(
            "select code, note from record_purpose where viewer = $1 and person_id = $2 and expires_at > $3",
        )
        .bind(viewer)
        .bind(person)
        .bind(now)
        .fetch_optional(self.db.pool())
        .await
        .db("look for the purpose of a viewer")?;
        Ok(found.map(|(code, note)| Purpose { code, note }))
    }

    /// Keeps the purpose that a viewer gave; the person must be in reach.
    pub async fn give_purpose(&self, allowed: &Allowed, person: i64, purpose: Purpose) -> Reply<()> {
        let now = self.clock.now();
        let reach = allowed.reach(purpose)?;
        self.db
            .personal(&reach, now, async |tx, reach| {
                let card = self.persons.card(tx, person).await?.ok_or_else(nobody)?;
                let related = self.care.reaches(tx, person, self.clock.today()).await?;
                if door(reach, &card, &*self.institutions, related, true) == Door::Hidden {
                    return Err(nobody().into());
                }
                keep(tx, &viewer(reach.caller()), person, reach.purpose(), now).await?;
                let entry = AuditEntry {
                    act: "record.purpose",
                    object_kind: "person",
                    object_id: Some(person),
                    object_label: card.name,
                    person_id: Some(person),
                    ..AuditEntry::default()
                };
                Ok(((), entry))
            })
            .await?;
        Ok(())
    }
}

/// Who is looking: the account, or the member of staff at an institution's workstation.
fn viewer(caller: &Caller) -> String {
    match caller.account {
        Some(account) => format!("account:{}", account.get()),
        None => {
            let institution = caller.institution.map(|i| i.get()).unwrap_or_default();
            format!("{:?}:{institution}:{}:{}", caller.kind, caller.role, caller.name)
        }
    }
}

async fn keep(
    tx: &mut Tx<'_>,
    viewer: &str,
    person: i64,
    purpose: &Purpose,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("delete from record_purpose where viewer = $1 and expires_at <= $2")
        .bind(viewer)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("forget purposes that no longer hold")?;
    sqlx::query(
        "insert into record_purpose (viewer, person_id, code, note, expires_at) values ($1, $2, $3, $4, $5)
         on conflict (viewer, person_id) do update set code = excluded.code, note = excluded.note,
            expires_at = excluded.expires_at",
    )
    .bind(viewer)
    .bind(person)
    .bind(&purpose.code)
    .bind(&purpose.note)
    .bind(now + HOLDS)
    .execute(&mut **tx)
    .await
    .db("keep the purpose of a viewer")?;
    Ok(())
}
