//! The table `client`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use super::NewClient;
use crate::row::row;
use crate::secret::SecretDigest;

/// A machine client as authentication needs it.
#[derive(Clone)]
pub struct LiveClient {
    /// Identifier.
    pub id: i64,
    /// Its name for protocols.
    pub client_id: String,
    /// How it proves itself: `secret`, `private_key_jwt`, `tls_client_auth`.
    pub auth_method: String,
    /// Whose it is.
    pub institution_id: i32,
    /// What it is for.
    pub name: String,
    /// Key for signed links.
    pub link_key: Vec<u8>,
    /// Codes of the data sets it is limited to; none: all.
    pub datasets: Option<Vec<String>>,
    /// Whether it may read the records of its institution's patients.
    pub reads_records: bool,
    /// Last use that was written down.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(LiveClient {
    id,
    client_id,
    auth_method,
    institution_id,
    name,
    link_key,
    datasets,
    reads_records,
    last_used_at,
});

// The key for signed links stays out of logs.
impl std::fmt::Debug for LiveClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveClient").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

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
    /// How it proves itself.
    pub auth_method: String,
    /// Codes of the data sets it is limited to; none: all.
    pub datasets: Option<Vec<String>>,
    /// Whether it may read the records of its institution's patients.
    pub reads_records: bool,
    /// `open` or `closed`.
    pub state: String,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last use that was written down.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(ClientRow {
    id,
    client_id,
    institution_id,
    name,
    auth_method,
    datasets,
    reads_records,
    state,
    created_by,
    created_at,
    last_used_at,
});

/// An open client by its name.
pub async fn load_open(pool: &PgPool, client_id: &str) -> Result<Option<LiveClient>> {
    sqlx::query_as(
        "select id, client_id, auth_method, institution_id, name, link_key, datasets, reads_records, last_used_at
         from client where client_id = $1 and state = 'open'",
    )
    .bind(client_id)
    .fetch_optional(pool)
    .await
    .db("look up a machine client")
}

/// An open client by its identifier.
pub async fn load_open_by_id(pool: &PgPool, id: i64) -> Result<Option<LiveClient>> {
    sqlx::query_as(
        "select id, client_id, auth_method, institution_id, name, link_key, datasets, reads_records, last_used_at
         from client where id = $1 and state = 'open'",
    )
    .bind(id)
    .fetch_optional(pool)
    .await
    .db("look up a machine client")
}

/// The open client that proves itself by this certificate.
pub async fn load_by_certificate(
    pool: &PgPool,
    digest: &SecretDigest,
    now: DateTime<Utc>,
) -> Result<Option<LiveClient>> {
    sqlx::query_as(
        "select c.id, c.client_id, c.auth_method, c.institution_id, c.name, c.link_key, c.datasets, c.reads_records,
                c.last_used_at
         from program_credential p join client c on c.id = p.client_id
         where p.kind = 'certificate' and p.digest = $1 and (p.expires_at is null or p.expires_at > $2)
           and c.state = 'open' and c.auth_method = 'tls_client_auth' limit 1",
    )
    .bind(digest.as_slice())
    .bind(now)
    .fetch_optional(pool)
    .await
    .db("look up a machine client by its certificate")
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

/// The same in a transaction.
pub async fn touch_in(tx: &mut Tx<'_>, client: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update client set last_used_at = $2 where id = $1")
        .bind(client)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("write down the last use of a machine client")?;
    Ok(())
}

/// Creates a client; its identifier.
pub async fn insert(
    tx: &mut Tx<'_>,
    client_id: &str,
    new: &NewClient,
    link_key: &[u8],
    by: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    sqlx::query_scalar(
        "insert into client (client_id, institution_id, name, link_key, auth_method, datasets, reads_records,
            created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(client_id)
    .bind(new.institution.get() as i32)
    .bind(&new.name)
    .bind(link_key)
    .bind(&new.auth_method)
    .bind(&new.datasets)
    .bind(new.reads_records)
    .bind(by)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("create a machine client")
}

/// Closes a client and ends its embedded sessions and tokens; its name if it was open.
pub async fn close(tx: &mut Tx<'_>, client: i64) -> Result<Option<String>> {
    sqlx::query("delete from sso_token where client_id = $1")
        .bind(client)
        .execute(&mut **tx)
        .await
        .db("end the tokens of a client")?;
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
        "select id, client_id, institution_id, name, auth_method, datasets, reads_records, state, created_by,
                created_at, last_used_at from client
         where institution_id = any ($1) and (cardinality($2::bigint[]) = 0 or id = any ($2))
         order by id desc limit 2000",
    )
    .bind(institutions)
    .bind(only)
    .fetch_all(pool)
    .await
    .db("list machine clients")
}
