//! The tables `used_link`, `embed_session`, `workstation` and `embed_refusal`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Duration, Utc};
use kernel::Result;
use kernel::access::InstitutionId;
use sqlx::PgPool;

use crate::row::row;
use crate::secret::SecretDigest;

/// An embedded session of an open client, at a workstation that has not been revoked.
#[derive(Debug, Clone)]
pub struct EmbedSession {
    /// The client that signed.
    pub client_id: i64,
    /// Its institution.
    pub institution_id: i32,
    /// Staff number.
    pub staff_no: String,
    /// Real name.
    pub staff_name: String,
    /// The one person of the link.
    pub person_id: i64,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}
row!(EmbedSession { client_id, institution_id, staff_no, staff_name, person_id, expires_at });

/// A workstation as administrators see it.
#[derive(Debug, Clone)]
pub struct Workstation {
    /// Names it.
    pub id: i64,
    /// Whose it is.
    pub institution_id: i32,
    /// Where it stands; empty until somebody says.
    pub name: String,
    /// `new`, `registered` or `revoked`.
    pub state: String,
    /// First link.
    pub first_seen_at: DateTime<Utc>,
    /// Last link.
    pub last_seen_at: DateTime<Utc>,
    /// Who opened it.
    pub last_staff: String,
    /// Where from.
    pub address: String,
    /// Browser.
    pub agent: String,
}
row!(Workstation {
    id,
    institution_id,
    name,
    state,
    first_seen_at,
    last_seen_at,
    last_staff,
    address,
    agent
});

/// The embedded session of a token, if it is alive.
pub async fn load_session(
    pool: &PgPool,
    token: &SecretDigest,
    now: DateTime<Utc>,
) -> Result<Option<EmbedSession>> {
    sqlx::query_as(
        "select s.client_id, c.institution_id, s.staff_no, s.staff_name, s.person_id, s.expires_at
         from embed_session s join client c on c.id = s.client_id
         left join workstation w on w.id = s.workstation_id
         where s.token_digest = $1 and s.expires_at > $2 and c.state = 'open' and s.person_id is not null
           and w.state is distinct from 'revoked'",
    )
    .bind(token.as_slice())
    .bind(now)
    .fetch_optional(pool)
    .await
    .db("look up an embedded session")
}

/// Uses up a link; `false` when it was used before.
pub async fn use_up(
    tx: &mut Tx<'_>,
    client: i64,
    nonce: &str,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    sqlx::query("delete from used_link where expires_at < $1")
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("forget expired links")?;
    let done = sqlx::query(
        "insert into used_link (client_id, nonce, expires_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(client)
    .bind(nonce)
    .bind(until)
    .execute(&mut **tx)
    .await
    .db("use up a link")?;
    Ok(done.rows_affected() == 1)
}

/// Who is at a workstation, and where that is.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// The client that signed.
    pub client: i64,
    /// Its institution.
    pub institution: InstitutionId,
    /// Staff number.
    pub staff_no: &'a str,
    /// Real name.
    pub staff_name: &'a str,
    /// Where from.
    pub address: &'a str,
    /// Browser.
    pub agent: &'a str,
}

/// Notes that a workstation was used; its number and state. One that is not known yet is new.
pub async fn note_workstation(
    tx: &mut Tx<'_>,
    key: &SecretDigest,
    seat: &Seat<'_>,
    now: DateTime<Utc>,
) -> Result<(i64, String)> {
    sqlx::query_as(
        "insert into workstation (institution_id, key_digest, first_seen_at, last_seen_at, last_staff, address, agent)
         values ($1, $2, $3, $3, $4, $5, $6)
         on conflict (institution_id, key_digest) do update set last_seen_at = excluded.last_seen_at,
            last_staff = excluded.last_staff, address = excluded.address, agent = excluded.agent
         returning id, state",
    )
    .bind(seat.institution.get() as i32)
    .bind(key.as_slice())
    .bind(now)
    .bind(format!("{}（{}）", seat.staff_name, seat.staff_no))
    .bind(seat.address)
    .bind(seat.agent.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    .fetch_one(&mut **tx)
    .await
    .db("note a workstation")
}

/// Opens an embedded session for one person.
pub async fn open_session(
    tx: &mut Tx<'_>,
    token: &SecretDigest,
    seat: &Seat<'_>,
    person: i64,
    workstation: i64,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("delete from embed_session where expires_at < $1")
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("forget ended embedded sessions")?;
    sqlx::query(
        "insert into embed_session (token_digest, client_id, staff_no, staff_name, created_at, expires_at, person_id,
            workstation_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(token.as_slice())
    .bind(seat.client)
    .bind(seat.staff_no)
    .bind(seat.staff_name)
    .bind(now)
    .bind(until)
    .bind(person)
    .bind(workstation)
    .execute(&mut **tx)
    .await
    .db("open an embedded session")?;
    Ok(())
}

/// The window in which refused links of an address are counted.
pub const WINDOW: Duration = Duration::minutes(15);

/// Counts a refused link of an address in the present window: how many there are, this one included, and how many there
/// were in the window before when this one is the first of a new window.
pub async fn count_refusal(tx: &mut Tx<'_>, address: &str, now: DateTime<Utc>) -> Result<(i32, i32)> {
    sqlx::query("delete from embed_refusal where since < $1")
        .bind(now - Duration::days(1))
        .execute(&mut **tx)
        .await
        .db("forget old refusals of links")?;
    let before: i32 = sqlx::query_scalar(
        "select coalesce((select refused from embed_refusal where address = $1 and since < $2), 0)",
    )
    .bind(address)
    .bind(now - WINDOW)
    .fetch_one(&mut **tx)
    .await
    .db("read the refusals of an address")?;
    let refused: i32 = sqlx::query_scalar(
        "insert into embed_refusal (address, since, refused) values ($1, $2, 1)
         on conflict (address) do update set
            refused = case when embed_refusal.since < $3 then 1 else embed_refusal.refused + 1 end,
            since = case when embed_refusal.since < $3 then $2 else embed_refusal.since end
         returning refused",
    )
    .bind(address)
    .bind(now)
    .bind(now - WINDOW)
    .fetch_one(&mut **tx)
    .await
    .db("count a refused link")?;
    Ok((refused, if refused == 1 { before } else { 0 }))
}

/// How many links of an address were refused in the present window.
pub async fn refusals(pool: &PgPool, address: &str, now: DateTime<Utc>) -> Result<i32> {
    sqlx::query_scalar(
        "select coalesce((select refused from embed_refusal where address = $1 and since >= $2), 0)",
    )
    .bind(address)
    .bind(now - WINDOW)
    .fetch_one(pool)
    .await
    .db("read the refusals of an address")
}

/// Workstations of some institutions, the last used first.
pub async fn workstations(
    pool: &PgPool,
    institutions: &[i32],
    text: &str,
    state: &str,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Workstation>> {
    sqlx::query_as(
        "select * from workstation where institution_id = any ($1)
           and ($2 = '' or name like $2 or last_staff like $2 or address like $2)
           and ($3 = '' or state = $3) and ($4::bigint is null or id < $4)
         order by id desc limit $5",
    )
    .bind(institutions)
    .bind(text)
    .bind(state)
    .bind(before)
    .bind(limit)
    .fetch_all(pool)
    .await
    .db("list workstations")
}

/// One workstation.
pub async fn workstation(pool: &PgPool, id: i64) -> Result<Option<Workstation>> {
    sqlx::query_as("select * from workstation where id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await
        .db("read a workstation")
}

/// Names, registers or revokes a workstation; one that is revoked loses its sessions.
pub async fn set_workstation(
    tx: &mut Tx<'_>,
    id: i64,
    state: &str,
    name: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "update workstation set state = $2, name = $3, changed_by = $4, changed_at = $5 where id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(name)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("change a workstation")?;
    if state == "revoked" {
        sqlx::query("delete from embed_session where workstation_id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await
            .db("end the sessions of a workstation")?;
    }
    Ok(())
}
