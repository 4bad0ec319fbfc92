//! The table `client`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use kernel::access::InstitutionId;
use sqlx::PgPool;

use super::IssuedClient;
use crate::row::row;
use crate::secret;

/// A machine client as authentication needs it.
#[derive(Clone)]
pub struct LiveClient {
    /// Identifier.
    pub id: i64,
    /// SHA-256 of its secret.
    pub secret_digest: Vec<u8>,
    /// Whose it is.
    pub institution_id: i32,
    /// What it is for.
    pub name: String,
    /// Key for signed links.
    pub link_key: Vec<u8>,
    /// Last use that was written down.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(LiveClient { id, secret_digest, institution_id, name, link_key, last_used_at });

/// A machine client in the list.
#[derive(Debug, Clone)]
pub struct ClientRow {
    /// Identifier.
    pub id: i64,
    /// Name for HTTP Basic.
    pub client_id: String,
    /// Whose it is.
    pub institution_id: i32,
    /// What it is for.
    pub name: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last use that was written down.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(ClientRow { id, client_id, institution_id, name, state, created_by, created_at, last_used_at });

/// An open client by its name.
pub async fn load_open(pool: &PgPool, client_id: &str) -> Result<Option<LiveClient>> {
    sqlx::query_as(
        "select id, secret_digest, institution_id, name, link_key, last_used_at from client
         where client_id = $1 and state = 'open'",
    )
    .bind(client_id)
    .fetch_optional(pool)
    .await
    .db("look up a machine client")
}

/// Writes down the time of the last use.
pub async fn touch(pool: &PgPool, client: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update client set last_used_at = $2 where id = $1")
        .bind(client)
        .bind(now)
        .execute(pool)
        .await
        .db("write down the last use of a machine client")?;
    Ok(())
}

/// Creates a client; its identifier.
pub async fn insert(
    tx: &mut Tx<'_>,
    issued: &IssuedClient,
    institution: InstitutionId,
    name: &str,
    link_key: &[u8],
    by: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    sqlx::query_scalar(
        "insert into client (client_id, secret_digest, institution_id, name, link_key, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) returning id",
    )
    .bind(&issued.client_id)
    .bind(secret::digest(&issued.secret).as_slice())
    .bind(institution.get() as i32)
    .bind(name)
    .bind(link_key)
    .bind(by)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("create a machine client")
}

/// Closes a client and ends its embedded sessions; its name if it was open.
pub async fn close(tx: &mut Tx<'_>, client: i64) -> Result<Option<String>> {
    sqlx::query("delete from embed_session where client_id = $1")
        .bind(client)
        .execute(&mut **tx)
        .await
        .db("end the embedded sessions of a client")?;
    sqlx::query_scalar(
        "update client set state = 'closed' where id = $1 and state = 'open' returning client_id",
    )
    .bind(client)
    .fetch_optional(&mut **tx)
    .await
    .db("close a machine client")
}

/// The clients of institutions, newest first; `only` narrows to one client.
pub async fn list(pool: &PgPool, only: &[i64], institutions: &[i32]) -> Result<Vec<ClientRow>> {
    sqlx::query_as(
        "select id, client_id, institution_id, name, state, created_by, created_at, last_used_at from client
         where institution_id = any ($1) and (cardinality($2::bigint[]) = 0 or id = any ($2))
         order by id desc limit 2000",
    )
    .bind(institutions)
    .bind(only)
    .fetch_all(pool)
    .await
    .db("list machine clients")
}
