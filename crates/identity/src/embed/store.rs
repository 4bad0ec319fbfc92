//! The tables `used_link` and `embed_session`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use crate::row::row;
use crate::secret::SecretDigest;

/// An embedded session of an open client.
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
    /// Its end.
    pub expires_at: DateTime<Utc>,
}
row!(EmbedSession { client_id, institution_id, staff_no, staff_name, expires_at });

/// The embedded session of a token, if it is alive.
pub async fn load_session(
    pool: &PgPool,
    token: &SecretDigest,
    now: DateTime<Utc>,
) -> Result<Option<EmbedSession>> {
    sqlx::query_as(
        "select s.client_id, c.institution_id, s.staff_no, s.staff_name, s.expires_at
         from embed_session s join client c on c.id = s.client_id
         where s.token_digest = $1 and s.expires_at > $2 and c.state = 'open'",
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

/// Opens an embedded session.
pub async fn open_session(
    tx: &mut Tx<'_>,
    token: &SecretDigest,
    client: i64,
    staff_no: &str,
    staff_name: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("delete from embed_session where expires_at < $1")
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("forget ended embedded sessions")?;
    sqlx::query(
        "insert into embed_session (token_digest, client_id, staff_no, staff_name, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token.as_slice())
    .bind(client)
    .bind(staff_no)
    .bind(staff_name)
    .bind(now)
    .bind(until)
    .execute(&mut **tx)
    .await
    .db("open an embedded session")?;
    Ok(())
}
