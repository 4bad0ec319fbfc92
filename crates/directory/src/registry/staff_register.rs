//! The port through which other contexts know the register of staff (卫生人员). Accounts belong to registered staff.

use chrono::{DateTime, Utc};
use contracts::{Institutions, NewStaff, StaffCard, StaffRegister};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Refusal, Result, StaffId};
use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use standards::pinyin::initials;
use store::{DbDoing, Tx};

use super::LOCK;
use crate::Directory;

/// The code table of professional titles.
const TITLES: &str = "gbt8561_title";

/// A member of staff with the places of multi-site practice that hold today.
const BY_ID: &str = "
    select e.id, e.name, e.key, e.institution_id, e.state, e.content,
        array(select p.content ->> 'place' from registry_entry p
              where p.parent_id = e.id and p.kind = 'practice' and p.state = 'active') as places
    from registry_entry e where e.id = $1 and e.kind = 'staff' and e.state <> 'removed'";
const BY_NUMBER: &str = "
    select e.id, e.name, e.key, e.institution_id, e.state, e.content,
        array(select p.content ->> 'place' from registry_entry p
              where p.parent_id = e.id and p.kind = 'practice' and p.state = 'active') as places
    from registry_entry e
    where e.kind = 'staff' and e.institution_id = $1 and e.parent_id is null and e.key = $2 and e.state <> 'removed'";
const FIND: &str = "
    select e.id, e.name, e.key, e.institution_id, e.state, e.content,
        array(select p.content ->> 'place' from registry_entry p
              where p.parent_id = e.id and p.kind = 'practice' and p.state = 'active') as places
    from registry_entry e
    where e.kind = 'staff' and e.state <> 'removed' and ($1::int is null or e.institution_id = $1)
        and ($2 = '' or strpos(lower(e.name), $2) > 0 or starts_with(e.initials, $2) or starts_with(lower(e.key), $2))
    order by e.state = 'active' desc, e.name, e.id limit $3";

impl Directory {
    fn staff_card(&self, row: &PgRow) -> Result<StaffCard, sqlx::Error> {
        let content: Value = row.try_get("content")?;
        let text = |field: &str| content.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let places: Vec<Option<String>> = row.try_get("places")?;
        let title = text("title");
        let state: String = row.try_get("state")?;
        Ok(StaffCard {
            id: StaffId::new(row.try_get("id")?),
            name: row.try_get("name")?,
            staff_no: row.try_get("key")?,
            institution: InstitutionId::new(row.try_get::<i32, _>("institution_id")?.into()),
            department: text("department"),
            title: self.tables_now().display(TITLES, &title).to_owned(),
            practises_at: places
                .into_iter()
                .flatten()
                .filter_map(|code| self.by_code(&code).map(|card| card.id))
                .collect(),
            in_post: state == "active",
        })
    }

    async fn register_staff(&self, tx: &mut Tx<'_>, new: &NewStaff, now: DateTime<Utc>) -> Result<StaffId> {
        let (name, number) = (new.name.trim(), new.staff_no.trim());
        if name.is_empty() || number.is_empty() {
            return Err(Refusal::invalid("staff.incomplete", "姓名和工号都要填写，才能登记人员。").into());
        }
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut **tx)
            .await
            .db("wait for the registers")?;
        let institution = new.institution.get() as i32;
        let known: Option<i64> = sqlx::query_scalar(
            "select id from registry_entry where kind = 'staff' and institution_id = $1 and parent_id is null
                and key = $2 and state <> 'removed'",
        )
        .bind(institution)
        .bind(number)
        .fetch_optional(&mut **tx)
        .await
        .db("look for a member of staff")?;
        if let Some(id) = known {
            return Ok(StaffId::new(id));
        }
        let tables = self.tables_now();
        let title = new.title.trim();
        let title = tables.get(TITLES).and_then(|t| t.resolve(title)).unwrap_or(title);
        let mut content = Map::new();
        for (field, value) in
            [("staff_no", number), ("name", name), ("department", new.department.trim()), ("title", title)]
        {
            if !value.is_empty() {
                content.insert(field.to_owned(), json!(value));
            }
        }
        let day = (now + chrono::TimeDelta::seconds(CHINA_OFFSET_SECONDS.into())).date_naive();
        let id: i64 = sqlx::query_scalar(
            "with new as (
                insert into registry_entry (kind, institution_id, key, name, initials, content, updated_at)
                values ('staff', $1, $2, $3, $4, $5, $6) returning *),
            version as (
                insert into registry_version (entry_id, version, kind, institution_id, change, name, key, state, content,
                    valid_from, recorded_at, recorded_by, reason)
                select id, 1, kind, institution_id, 'registered', name, key, state, content, $7, $6, '系统', '开通账号时登记'
                from new)
            select id from new",
        )
        .bind(institution)
        .bind(number)
        .bind(name)
        .bind(initials(name))
        .bind(Value::Object(content))
        .bind(now)
        .bind(day)
        .fetch_one(&mut **tx)
        .await
        .db("register a member of staff")?;
        Ok(StaffId::new(id))
    }
}

impl StaffRegister for Directory {
    fn by_id<'a>(&'a self, id: StaffId) -> BoxFuture<'a, Result<Option<StaffCard>>> {
        Box::pin(async move {
            let row = sqlx::query(BY_ID)
                .bind(id.get())
                .fetch_optional(self.db.pool())
                .await
                .db("read a member of staff")?;
            row.map(|row| self.staff_card(&row)).transpose().db("read a member of staff")
        })
    }

    fn by_number<'a>(
        &'a self,
        institution: InstitutionId,
        staff_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<StaffCard>>> {
        Box::pin(async move {
            let row = sqlx::query(BY_NUMBER)
                .bind(institution.get() as i32)
                .bind(staff_no.trim())
                .fetch_optional(self.db.pool())
                .await
                .db("read a member of staff")?;
            row.map(|row| self.staff_card(&row)).transpose().db("read a member of staff")
        })
    }

    fn find<'a>(
        &'a self,
        institution: Option<InstitutionId>,
        text: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<StaffCard>>> {
        Box::pin(async move {
            let rows = sqlx::query(FIND)
                .bind(institution.map(|i| i.get() as i32))
                .bind(standards::width::fold(text).trim().to_lowercase())
                .bind(limit.clamp(1, 200))
                .fetch_all(self.db.pool())
                .await
                .db("find staff")?;
            rows.iter().map(|row| self.staff_card(row)).collect::<Result<_, _>>().db("find staff")
        })
    }

    fn register<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        staff: &'a NewStaff,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<StaffId>>
    where
        'c: 'a,
    {
        Box::pin(self.register_staff(tx, staff, now))
    }
}
