//! Restrictions and broken glass in the database.

use ::store::{DbDoing, Gated, Tx};
use chrono::{DateTime, Utc};
use kernel::{Caller, Result};

/// A seal or refusal.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Restriction {
    /// Identifier.
    pub id: i64,
    /// The identity record that it hangs on.
    pub identity_id: i64,
    /// `seal` or `refusal`.
    pub kind: String,
    /// `others` or `all`.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Where it was recorded.
    pub institution_id: Option<i32>,
    /// Who recorded it.
    pub recorded_by: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// When it ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// Who lifted it.
    pub lifted_by: Option<String>,
    /// When.
    pub lifted_at: Option<DateTime<Utc>>,
    /// Why.
    pub lift_reason: String,
}

/// One breaking of the glass.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Glass {
    /// Identifier.
    pub id: i64,
    /// Who: account or workstation, as purposes are kept.
    pub viewer: String,
    /// Real name.
    pub viewer_name: String,
    /// Role at that time.
    pub viewer_role: String,
    /// Unit.
    pub institution_name: String,
    /// Whose record.
    pub person_id: i64,
    /// Masked name.
    pub person_label: String,
    /// One of [`super::KINDS`].
    pub kind: String,
    /// In the viewer's words.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// When it closes.
    pub expires_at: DateTime<Utc>,
    /// By when it must be reviewed.
    pub due_at: DateTime<Utc>,
    /// `justified` or `unjustified`.
    pub verdict: Option<String>,
    /// By whom.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// What the reviewer wrote.
    pub review_note: String,
}

/// What holds against viewers of these identity records now: whether against others, whether against all.
pub async fn restrictions(
    tx: &mut Gated<'_>,
    identities: &[i64],
    now: DateTime<Utc>,
) -> Result<(bool, bool)> {
    let (others, all): (Option<bool>, Option<bool>) = sqlx::query_as(
        "select bool_or(scope = 'others'), bool_or(scope = 'all') from record_restriction
         where identity_id = any($1) and lifted_at is null and (until is null or until > $2)",
    )
    .bind(identities)
    .bind(now)
    .fetch_one(&mut ***tx)
    .await
    .db("look for restrictions of a record")?;
    Ok((others.unwrap_or(false), all.unwrap_or(false)))
}

/// What is needed to keep one breaking of the glass.
#[derive(Debug, Clone)]
pub struct NewGlass<'a> {
    /// Who, as purposes are kept.
    pub viewer: &'a str,
    /// Whose record.
    pub person: i64,
    /// Masked name.
    pub label: String,
    /// One of [`super::KINDS`].
    pub kind: &'a str,
    /// In the viewer's words.
    pub reason: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
    /// When it closes.
    pub expires_at: DateTime<Utc>,
    /// By when it must be reviewed.
    pub due_at: DateTime<Utc>,
}

/// Keeps it; its number.
pub async fn break_glass(tx: &mut Tx<'_>, caller: &Caller, glass: &NewGlass<'_>) -> Result<i64> {
    sqlx::query_scalar(
        "insert into record_glass (viewer, viewer_name, viewer_role, institution_id, institution_name, region,
            person_id, person_label, kind, reason, at, expires_at, due_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id",
    )
    .bind(glass.viewer)
    .bind(&caller.name)
    .bind(&caller.role)
    .bind(caller.institution.map(|i| i.get() as i32))
    .bind(&caller.institution_name)
    .bind(caller.region.as_str())
    .bind(glass.person)
    .bind(&glass.label)
    .bind(glass.kind)
    .bind(glass.reason)
    .bind(glass.at)
    .bind(glass.expires_at)
    .bind(glass.due_at)
    .fetch_one(&mut **tx)
    .await
    .db("keep that the glass was broken")
}

/// Which breakings a list shows.
#[derive(Debug, Clone, Default)]
pub struct GlassFilter {
    /// Patterns of the viewers' divisions in reach.
    pub regions: Vec<String>,
    /// `waiting`, `overdue`, `justified`, `unjustified`; empty for all.
    pub state: String,
    /// Part of the viewer's name or unit.
    pub who: String,
    /// From and until.
    pub from: Option<DateTime<Utc>>,
    /// Until, not included.
    pub until: Option<DateTime<Utc>>,
    /// Older than this.
    pub before: Option<i64>,
}

/// Breakings of the glass, newest first; those that wait for review first when asked for.
pub async fn glasses(
    tx: &mut Gated<'_>,
    filter: &GlassFilter,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Glass>> {
    sqlx::query_as(
        "select id, viewer, viewer_name, viewer_role, institution_name, person_id, person_label, kind, reason, at,
            expires_at, due_at, verdict, reviewed_by, reviewed_at, review_note
         from record_glass
         where region like any($1)
            and case $2 when 'waiting' then verdict is null when 'overdue' then verdict is null and due_at < $3
                when '' then true else verdict = $2 end
            and ($4 = '' or strpos(viewer_name, $4) > 0 or strpos(institution_name, $4) > 0)
            and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)
            and ($7::bigint is null or id < $7)
         order by id desc limit $8",
    )
    .bind(&filter.regions)
    .bind(&filter.state)
    .bind(now)
    .bind(&filter.who)
    .bind(filter.from)
    .bind(filter.until)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("list broken glass")
}

/// One breaking, if its viewer lies in these divisions.
pub async fn glass(tx: &mut Gated<'_>, id: i64, regions: &[String]) -> Result<Option<Glass>> {
    sqlx::query_as(
        "select id, viewer, viewer_name, viewer_role, institution_name, person_id, person_label, kind, reason, at,
            expires_at, due_at, verdict, reviewed_by, reviewed_at, review_note
         from record_glass where id = $1 and region like any($2)",
    )
    .bind(id)
    .bind(regions)
    .fetch_optional(&mut ***tx)
    .await
    .db("read broken glass")
}

/// How many wait for review, and how many of them too long.
pub async fn waiting(tx: &mut Tx<'_>, regions: &[String], now: DateTime<Utc>) -> Result<(i64, i64)> {
    sqlx::query_as(
        "select count(*), count(*) filter (where due_at < $2) from record_glass
         where verdict is null and region like any($1)",
    )
    .bind(regions)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("count broken glass")
}

/// Keeps what the reviewer found; `false` when it was reviewed before.
pub async fn review(
    tx: &mut Tx<'_>,
    id: i64,
    verdict: &str,
    by: &str,
    note: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "update record_glass set verdict = $2, reviewed_by = $3, reviewed_at = $4, review_note = $5
         where id = $1 and verdict is null",
    )
    .bind(id)
    .bind(verdict)
    .bind(by)
    .bind(now)
    .bind(note)
    .execute(&mut **tx)
    .await
    .db("keep a review of broken glass")?;
    Ok(done.rows_affected() == 1)
}

const RESTRICTION: &str =
    "id, identity_id, kind, scope, reason, institution_id, recorded_by, recorded_at, until,
    lifted_by, lifted_at, lift_reason";

/// Restrictions, newest first; `open`: only those that hold.
pub async fn list_restrictions(
    tx: &mut Gated<'_>,
    open: bool,
    identities: Option<&[i64]>,
    before: Option<i64>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Restriction>> {
    let sql = format!(
        "select {RESTRICTION} from record_restriction
         where (not $1 or lifted_at is null and (until is null or until > $2))
            and ($3::bigint[] is null or identity_id = any($3)) and ($4::bigint is null or id < $4)
         order by id desc limit $5"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(open)
        .bind(now)
        .bind(identities)
        .bind(before)
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("list restrictions")
}

/// One restriction.
pub async fn restriction(tx: &mut Gated<'_>, id: i64) -> Result<Option<Restriction>> {
    let sql = format!("select {RESTRICTION} from record_restriction where id = $1");
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(&mut ***tx)
        .await
        .db("read a restriction")
}

/// What is needed to record a restriction.
#[derive(Debug, Clone)]
pub struct NewRestriction<'a> {
    /// The identity record that it hangs on.
    pub identity: i64,
    /// `seal` or `refusal`.
    pub kind: &'a str,
    /// `others` or `all`.
    pub scope: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When it ends by itself.
    pub until: Option<DateTime<Utc>>,
}

/// Records a restriction; its number.
pub async fn restrict(
    tx: &mut Tx<'_>,
    caller: &Caller,
    new: &NewRestriction<'_>,
    now: DateTime<Utc>,
) -> Result<i64> {
    sqlx::query_scalar(
        "insert into record_restriction (identity_id, kind, scope, reason, institution_id, recorded_by, recorded_at, until)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
    )
    .bind(new.identity)
    .bind(new.kind)
    .bind(new.scope)
    .bind(new.reason)
    .bind(caller.institution.map(|i| i.get() as i32))
    .bind(&caller.name)
    .bind(now)
    .bind(new.until)
    .fetch_one(&mut **tx)
    .await
    .db("record a restriction")
}

/// Lifts a restriction; `false` when it was lifted before.
pub async fn lift(tx: &mut Tx<'_>, id: i64, by: &str, reason: &str, now: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query(
        "update record_restriction set lifted_by = $2, lifted_at = $3, lift_reason = $4
         where id = $1 and lifted_at is null",
    )
    .bind(id)
    .bind(by)
    .bind(now)
    .bind(reason)
    .execute(&mut **tx)
    .await
    .db("lift a restriction")?;
    Ok(done.rows_affected() == 1)
}
