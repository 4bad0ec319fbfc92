//! Who may open whose record (D5): out of reach looks like not found; not in care needs a purpose; every look is
//! written to the audit trail in the same transaction.

use chrono::{DateTime, Duration, Utc};
use contracts::PersonCard;
use kernel::{Act, Caller, Factor, Line, Need, Purpose, Reach, Refusal, Result};
use store::{AuditEntry, DbDoing, Gated, Tx};
use web::{Allowed, Reply};

use crate::Ports;
use crate::guard::rules::{Barrier, Door, Standing, door, in_care, within};

/// What every page of the record needs.
pub const NEED: Need = Need::new(Line::Medical, Act::Read);

/// Seeing in full what is masked.
pub const REVEAL: Need = Need::new(Line::Medical, Act::Reveal);

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

/// What came of an attempt to open a record.
#[derive(Debug)]
pub enum Opened<T> {
    /// It is open; this was read.
    Shown(T),
    /// Something must be said or done first; all that may be shown is who it is, masked.
    Barred(Box<PersonCard>, Barrier),
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

/// What a viewer said before about a person.
#[derive(Debug, Default)]
struct Kept {
    purpose: Option<Purpose>,
    glass: Option<Purpose>,
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
        self.open_shown(allowed, person, given, look, work, |opened| opened).await
    }

    /// As [`Ports::open`]; `show` makes the page while the audit entry is written ([`store::Db::personal_shown`]).
    pub async fn open_shown<T, U>(
        &self,
        allowed: &Allowed,
        person: i64,
        given: Option<Purpose>,
        look: Look,
        work: impl AsyncFnOnce(&mut Gated<'_>, &PersonCard) -> Result<T>,
        show: impl FnOnce(Opened<T>) -> U,
    ) -> Reply<U> {
        let now = self.clock.now();
        let kept = self.kept(&viewer(allowed.caller()), person, now).await?;
        // Broken glass is why, whatever else was said before.
        let purpose = kept.glass.clone().or(given).or(kept.purpose);
        let purposeful = purpose.is_some();
        let broken = kept.glass.is_some();
        let reach =
            self.opening(allowed.reach(purpose.unwrap_or_else(|| Purpose::of("care")))?, purposeful, broken);
        let read = async |tx: &mut Gated<'_>, reach: &Reach| {
            let card = self.persons.card(tx, person).await?.ok_or_else(nobody)?;
            let mut entry = AuditEntry {
                act: look.act,
                object_kind: "person",
                object_id: Some(card.person_id),
                object_label: card.name.clone(),
                person_id: Some(card.person_id),
                detail: look.detail,
                ..AuditEntry::default()
            };
            let standing = self.standing(tx, reach, &card, (purposeful, broken), now).await?;
            // Alerts on the trail ask whether there was a reason to look.
            let detail = entry.detail.get_or_insert_with(|| serde_json::json!({}));
            if let Some(fields) = detail.as_object_mut() {
                fields.insert("care".to_owned(), standing.care.into());
            }
            match door(standing) {
                Door::Hidden => Err(nobody().into()),
                Door::Barred(barrier) => {
                    entry.outcome = match barrier {
                        Barrier::Purpose => "purpose_needed",
                        Barrier::Restricted => "restricted",
                    };
                    Ok((Opened::Barred(Box::new(card), barrier), entry))
                }
                Door::Open | Door::Broken => Ok((Opened::Shown(work(tx, &card).await?), entry)),
            }
        };
        Ok(self.db.personal_shown(&reach, now, read, show).await?)
    }

    /// The reach with the protected content that this viewer may see now: what the roles open, as far as the levels'
    /// conditions are met; behind broken glass, all that an emergency opens.
    fn opening(&self, reach: Reach, purposeful: bool, broken: bool) -> Reach {
        let caller = reach.caller();
        let (mut anywhere, mut at_home) = (Vec::new(), Vec::new());
        for category in &self.catalog.protection.categories {
            let Some(level) = self.catalog.protection.level(category.level) else { continue };
            let proved = !level.needs_second_factor || caller.assurance.factor >= Factor::Second;
            let said = !level.needs_purpose || purposeful;
            let role = !level.needs_category || caller.categories.contains(&category.code);
            if (role && proved && said) || (broken && level.break_glass) {
                anywhere.push(category.code.clone());
            } else if said && !level.needs_second_factor {
                // Of a lesser level, one's own institution may read again what it wrote.
                at_home.push(category.code.clone());
            }
        }
        reach.opening(anywhere, at_home)
    }

    /// How a viewer stands to a person.
    pub(crate) async fn standing(
        &self,
        tx: &mut Gated<'_>,
        reach: &Reach,
        card: &PersonCard,
        (purposeful, glass): (bool, bool),
        now: DateTime<Utc>,
    ) -> Result<Standing> {
        let identities: Vec<i64> = card.identities.iter().map(|i| i.identity_id).collect();
        let (closed_to_others, closed_to_all) =
            crate::guard::store::restrictions(tx, &identities, now).await?;
        let place = self.place_of(tx, reach, card).await?;
        Ok(Standing { purposeful, glass, closed_to_others, closed_to_all, ..place })
    }

    /// Whether a person is in the viewer's care or within the reach; the rest of the standing is left open.
    pub(crate) async fn place_of(
        &self,
        tx: &mut Gated<'_>,
        reach: &Reach,
        card: &PersonCard,
    ) -> Result<Standing> {
        let within = within(reach, card, &*self.institutions);
        let care = in_care(reach, card, &*self.institutions)
            || self.care.reaches(tx, card.person_id, self.clock.today()).await?;
        Ok(Standing { care, within, ..Standing::default() })
    }

    /// What this viewer said before about this person, while it holds: a purpose, broken glass.
    async fn kept(&self, viewer: &str, person: i64, now: DateTime<Utc>) -> Result<Kept> {
        let rows: Vec<(bool, String, String)> = sqlx::query_as(
            "select false, code, note from record_purpose where viewer = $1 and person_id = $2 and expires_at > $3
             union all
             select true, 'emergency', reason from record_glass
             where viewer = $1 and person_id = $2 and expires_at > $3",
        )
        .bind(viewer)
        .bind(person)
        .bind(now)
        .fetch_all(self.db.pool())
        .await
        .db("look for what a viewer said before")?;
        let mut kept = Kept::default();
        for (glass, code, note) in rows {
            let purpose = Some(Purpose { code, note });
            if glass { kept.glass = purpose } else { kept.purpose = purpose }
        }
        Ok(kept)
    }

    /// Keeps the purpose that a viewer gave; the person must be in reach.
    pub async fn give_purpose(&self, allowed: &Allowed, person: i64, purpose: Purpose) -> Reply<()> {
        let now = self.clock.now();
        let reach = allowed.reach(purpose)?;
        self.db
            .personal(&reach, now, async |tx, reach| {
                let card = self.persons.card(tx, person).await?.ok_or_else(nobody)?;
                if door(self.standing(tx, reach, &card, (true, false), now).await?) == Door::Hidden {
                    return Err(nobody().into());
                }
                let until = now + Duration::hours(self.options.whole("record.purpose_hours"));
                keep(tx, &viewer(reach.caller()), person, reach.purpose(), until, now).await?;
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
pub(crate) fn viewer(caller: &Caller) -> String {
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
    until: DateTime<Utc>,
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
    .bind(until)
    .execute(&mut **tx)
    .await
    .db("keep the purpose of a viewer")?;
    Ok(())
}
