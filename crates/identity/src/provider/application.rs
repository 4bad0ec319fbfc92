//! Applications (应用) that rely on the single sign-on: registered by the platform's administrators, never by themselves.

use ::store::{AuditEntry, DbDoing, Tx, audit};
use chrono::{DateTime, Duration, Utc};
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Refusal, Result};
use serde_json::json;
use sqlx::PgPool;

use super::credential::{self, NewCredential, Owner};
use super::scope;
use crate::jose;
use crate::row::row;
use crate::{Identity, secret};

/// An application.
#[derive(Debug, Clone)]
pub struct Application {
    /// Identifier.
    pub id: i64,
    /// Its name for protocols, e.g. `app-3f9a0c1d27`.
    pub client_id: String,
    /// Its name for people.
    pub name: String,
    /// Whose it is; none: the city's own.
    pub institution_id: Option<i32>,
    /// `public` (in a browser or telephone, keeps no secret) or `confidential`.
    pub kind: String,
    /// `none`, `secret`, `private_key_jwt` or `tls_client_auth`.
    pub auth_method: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after signing out.
    pub logout_uris: Vec<String>,
    /// Where it is told that a session ended; empty: it is not told.
    pub backchannel_uri: String,
    /// Where it is launched from the record; empty: it is not.
    pub launch_uri: String,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// How surely its users must have been recognised: `single`, `second`, `certificate`.
    pub factor: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who registered it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last sign-in through it.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(Application {
    id,
    client_id,
    name,
    institution_id,
    kind,
    auth_method,
    redirect_uris,
    logout_uris,
    backchannel_uri,
    launch_uri,
    scopes,
    factor,
    state,
    created_by,
    created_at,
    last_used_at,
});

/// What an administrator says of an application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewApplication {
    /// Its name for people.
    pub name: String,
    /// Whose it is.
    pub institution: Option<InstitutionId>,
    /// `none`, `secret`, `private_key_jwt` or `tls_client_auth`; `none` makes it public.
    pub auth_method: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after signing out.
    pub logout_uris: Vec<String>,
    /// Where it is told that a session ended.
    pub backchannel_uri: String,
    /// Where it is launched from the record.
    pub launch_uri: String,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// How surely its users must have been recognised.
    pub factor: String,
}

/// An application just registered. The secret is told once.
#[derive(Clone)]
pub struct Registered {
    /// Identifier.
    pub id: i64,
    /// Its name for protocols.
    pub client_id: String,
    /// Its secret, where it has one.
    pub secret: Option<String>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Whether an address may receive codes or messages: https, or loopback for programs on the same machine and trials;
/// absolute, without fragment, user or wildcard.
pub fn good_address(address: &str) -> bool {
    let Ok(uri) = address.parse::<axum::http::Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let loopback = matches!(authority.host(), "127.0.0.1" | "[::1]" | "localhost");
    address.len() <= 500
        && address.bytes().all(|b| b.is_ascii_graphic())
        && !address.contains(['#', '*', '\\', '<', '>', '"', '\''])
        && !authority.as_str().contains('@')
        && (scheme == "https" || (scheme == "http" && loopback))
}

fn check(new: &NewApplication) -> Result<(), Refusal> {
    let name = new.name.trim();
    if !(2..=50).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("application.name", "应用名称须为 2 至 50 个字。"));
    }
    if !["none", "secret", "private_key_jwt", "tls_client_auth"].contains(&new.auth_method.as_str()) {
        return Err(Refusal::invalid("application.auth_method", "请选择应用的类型和认证方式。"));
    }
    if !["single", "second", "certificate"].contains(&new.factor.as_str()) {
        return Err(Refusal::invalid("application.factor", "请选择登录强度要求。"));
    }
    if new.redirect_uris.is_empty() || new.redirect_uris.len() > 20 || new.logout_uris.len() > 20 {
        return Err(Refusal::invalid("application.redirect", "请填写 1 至 20 个回调地址，每行一个。"));
    }
    let others = [&new.backchannel_uri, &new.launch_uri].into_iter().filter(|a| !a.is_empty());
    for address in new.redirect_uris.iter().chain(&new.logout_uris).chain(others) {
        if !good_address(address) {
            return Err(Refusal::invalid(
                "application.address",
                format!(
                    "地址“{}”不能使用：须是完整的 https 地址（本机测试可用 http://127.0.0.1），不含 #、* 和用户名。",
                    address.chars().take(80).collect::<String>()
                ),
            ));
        }
    }
    if new.scopes.is_empty() || new.scopes.iter().any(|s| scope::offered(s).is_none_or(|o| o.program)) {
        return Err(Refusal::invalid("application.scopes", "请至少选择一项授权范围。"));
    }
    if scope::wants_person(&new.scopes)
        && new.launch_uri.is_empty()
        && !scope::has(&new.scopes, "launch/patient")
    {
        return Err(Refusal::invalid(
            "application.launch",
            "读取选定居民的档案，须填写从档案页打开的地址，或选择“由用户选定一位居民”。",
        ));
    }
    Ok(())
}

impl Identity {
    /// Registers an application.
    pub async fn register_application(&self, new: &NewApplication, by: &Caller) -> Result<Registered> {
        check(new)?;
        if new.institution.is_some_and(|id| self.institutions.by_id(id).is_none()) {
            return Err(Refusal::invalid("application.institution", "没有这个机构，请从列表中选择。").into());
        }
        let client_id = format!("app-{}", secret::random_suffix(12)?);
        let told = if new.auth_method == "secret" { Some(secret::random_token()?) } else { None };
        let now = self.clock.now();
        let id = self
            .db
            .transaction(async |tx| {
                let id = insert(tx, &client_id, new, &by.name, now).await?;
                if let Some(told) = &told {
                    let new = NewCredential::Secret(secret::digest(told));
                    credential::add(tx, Owner::Application(id), &[new], &by.name, now, now).await?;
                }
                self.audit_application(tx, by, "application.register", id, &client_id, Some(described(new)))
                    .await?;
                Ok(id)
            })
            .await?;
        Ok(Registered { id, client_id, secret: told })
    }

    /// Changes what is said of an application; the way it proves itself stays.
    pub(crate) async fn change_application(
        &self,
        before: &Application,
        new: &NewApplication,
        by: &Caller,
    ) -> Result<()> {
        check(new)?;
        self.db
            .transaction(async |tx| {
                update(tx, before.id, new).await?;
                let detail = json!({ "before": {
                    "name": before.name, "redirect_uris": before.redirect_uris, "scopes": before.scopes,
                    "factor": before.factor, "logout_uris": before.logout_uris,
                    "backchannel_uri": before.backchannel_uri, "launch_uri": before.launch_uri,
                }, "after": described(new) });
                self.audit_application(
                    tx,
                    by,
                    "application.change",
                    before.id,
                    &before.client_id,
                    Some(detail),
                )
                .await
            })
            .await
    }

    /// Closes an application at once: its users' sign-ins there end, its tokens serve no more.
    pub async fn close_application(&self, application: i64, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let Some(client_id) = close(tx, application, now).await? else { return Ok(()) };
                self.audit_application(tx, by, "application.close", application, &client_id, None).await
            })
            .await?;
        self.gatekeeper.forget_tokens();
        Ok(())
    }

    /// Gives an application another secret; the present one serves a while longer.
    pub async fn renew_application_secret(&self, application: &Application, by: &Caller) -> Result<String> {
        if application.auth_method != "secret" {
            return Err(Refusal::conflict("application.no_secret", "这个应用不用密钥认证。").into());
        }
        let told = secret::random_token()?;
        let now = self.clock.now();
        let until = now + self.secret_overlap();
        self.db
            .transaction(async |tx| {
                let new = NewCredential::Secret(secret::digest(&told));
                credential::add(tx, Owner::Application(application.id), &[new], &by.name, now, until).await?;
                let detail = json!({ "earlier_until": until });
                let (id, name) = (application.id, &application.client_id);
                self.audit_application(tx, by, "application.secret", id, name, Some(detail)).await
            })
            .await?;
        Ok(told)
    }

    /// Enters public keys or certificates of an application, as pasted.
    pub async fn enter_application_credential(
        &self,
        application: &Application,
        pasted: &str,
        by: &Caller,
    ) -> Result<()> {
        let now = self.clock.now();
        let new = pasted_credentials(&application.auth_method, pasted, now)?;
        let until = now + self.secret_overlap();
        self.db
            .transaction(async |tx| {
                credential::add(tx, Owner::Application(application.id), &new, &by.name, now, until).await?;
                let detail = json!({ "credentials": new.len() });
                let (id, name) = (application.id, &application.client_id);
                self.audit_application(tx, by, "application.credential", id, name, Some(detail)).await
            })
            .await
    }

    /// How long a replaced secret serves.
    pub(crate) fn secret_overlap(&self) -> Duration {
        Duration::hours(self.options.whole("sso.secret_overlap_hours"))
    }

    pub(crate) async fn audit_application(
        &self,
        tx: &mut Tx<'_>,
        by: &Caller,
        act: &'static str,
        id: i64,
        label: &str,
        detail: Option<serde_json::Value>,
    ) -> Result<()> {
        let entry = AuditEntry {
            act,
            object_kind: "application",
            object_id: Some(id),
            object_label: label.to_owned(),
            detail,
            ..AuditEntry::default()
        };
        audit::record(tx, by, &Purpose::of(""), self.clock.now(), &entry).await
    }
}

/// The credentials in what an administrator pasted, of the kind that the method wants.
pub(crate) fn pasted_credentials(
    method: &str,
    pasted: &str,
    now: DateTime<Utc>,
) -> Result<Vec<NewCredential>, Refusal> {
    match method {
        "private_key_jwt" => {
            Ok(jose::public_keys(pasted)?.into_iter().map(|k| NewCredential::Key(Box::new(k))).collect())
        }
        "tls_client_auth" => {
            let found = crate::certificate::of_pem(pasted)?;
            if found.not_after <= now {
                return Err(Refusal::invalid(
                    "certificate.expired",
                    "这张证书已经过期，请换一张有效的证书。",
                ));
            }
            Ok(vec![NewCredential::Certificate(found.digest, found.subject, found.not_after)])
        }
        _ => Err(Refusal::conflict("credential.method", "它不用公钥或证书认证。")),
    }
}

fn described(new: &NewApplication) -> serde_json::Value {
    json!({
        "name": new.name, "institution": new.institution, "auth_method": new.auth_method,
        "redirect_uris": new.redirect_uris, "logout_uris": new.logout_uris, "scopes": new.scopes,
        "backchannel_uri": new.backchannel_uri, "launch_uri": new.launch_uri, "factor": new.factor,
    })
}

/// An open application by its name for protocols.
pub async fn load_open(pool: &PgPool, client_id: &str) -> Result<Option<Application>> {
    sqlx::query_as(
        "select id, client_id, name, institution_id, kind, auth_method, redirect_uris, logout_uris, backchannel_uri,
                launch_uri, scopes, factor, state, created_by, created_at, last_used_at
         from application where client_id = $1 and state = 'open'",
    )
    .bind(client_id)
    .fetch_optional(pool)
    .await
    .db("look up an application")
}

/// An application by identifier, open or closed.
pub async fn by_id(pool: &PgPool, id: i64) -> Result<Option<Application>> {
    sqlx::query_as(
        "select id, client_id, name, institution_id, kind, auth_method, redirect_uris, logout_uris, backchannel_uri,
                launch_uri, scopes, factor, state, created_by, created_at, last_used_at
         from application where id = $1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await
    .db("look up an application")
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of the name or identifier.
    pub text: String,
    /// `open`, `closed`, or empty.
    pub state: String,
    /// An institution, if any.
    pub institution: Option<i32>,
}

/// The applications that a filter finds, newest first, with their number in all.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<Application>, i64)> {
    let text = format!("%{}%", filter.text.trim().replace(['%', '_', '\\'], ""));
    let rows = sqlx::query_as(
        "select id, client_id, name, institution_id, kind, auth_method, redirect_uris, logout_uris, backchannel_uri,
                launch_uri, scopes, factor, state, created_by, created_at, last_used_at
         from application
         where (name ilike $1 or client_id ilike $1) and ($2 = '' or state = $2)
           and ($3::int is null or institution_id = $3)
         order by id desc offset $4 limit $5",
    )
    .bind(&text)
    .bind(&filter.state)
    .bind(filter.institution)
    .bind(offset)
    .bind(limit)
    .fetch_all(pool)
    .await
    .db("list applications")?;
    let total = sqlx::query_scalar(
        "select count(*) from application
         where (name ilike $1 or client_id ilike $1) and ($2 = '' or state = $2)
           and ($3::int is null or institution_id = $3)",
    )
    .bind(&text)
    .bind(&filter.state)
    .bind(filter.institution)
    .fetch_one(pool)
    .await
    .db("count applications")?;
    Ok((rows, total))
}

/// Open applications that can be launched from the record.
pub async fn launchable(pool: &PgPool) -> Result<Vec<Application>> {
    sqlx::query_as(
        "select id, client_id, name, institution_id, kind, auth_method, redirect_uris, logout_uris, backchannel_uri,
                launch_uri, scopes, factor, state, created_by, created_at, last_used_at
         from application where state = 'open' and launch_uri <> '' order by name limit 200",
    )
    .fetch_all(pool)
    .await
    .db("list applications that can be launched")
}

async fn insert(
    tx: &mut Tx<'_>,
    client_id: &str,
    new: &NewApplication,
    by: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    sqlx::query_scalar(
        "insert into application (client_id, name, institution_id, kind, auth_method, redirect_uris, logout_uris,
            backchannel_uri, launch_uri, scopes, factor, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id",
    )
    .bind(client_id)
    .bind(new.name.trim())
    .bind(new.institution.and_then(|i| i32::try_from(i.get()).ok()))
    .bind(if new.auth_method == "none" { "public" } else { "confidential" })
    .bind(&new.auth_method)
    .bind(&new.redirect_uris)
    .bind(&new.logout_uris)
    .bind(&new.backchannel_uri)
    .bind(&new.launch_uri)
    .bind(&new.scopes)
    .bind(&new.factor)
    .bind(by)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("register an application")
}

async fn update(tx: &mut Tx<'_>, id: i64, new: &NewApplication) -> Result<()> {
    sqlx::query(
        "update application set name = $2, redirect_uris = $3, logout_uris = $4, backchannel_uri = $5,
            launch_uri = $6, scopes = $7, factor = $8 where id = $1 and state = 'open'",
    )
    .bind(id)
    .bind(new.name.trim())
    .bind(&new.redirect_uris)
    .bind(&new.logout_uris)
    .bind(&new.backchannel_uri)
    .bind(&new.launch_uri)
    .bind(&new.scopes)
    .bind(&new.factor)
    .execute(&mut **tx)
    .await
    .db("change an application")?;
    Ok(())
}

async fn close(tx: &mut Tx<'_>, id: i64, now: DateTime<Utc>) -> Result<Option<String>> {
    let client_id = sqlx::query_scalar(
        "update application set state = 'closed' where id = $1 and state = 'open' returning client_id",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
    .db("close an application")?;
    sqlx::query(
        "update sso_grant set ended_at = $2, end_reason = 'application_closed', told_at = $2
         where application_id = $1 and ended_at is null",
    )
    .bind(id)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("end the sign-ins at an application")?;
    Ok(client_id)
}

/// Writes down that somebody signed in through an application.
pub async fn touch(tx: &mut Tx<'_>, id: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update application set last_used_at = $2 where id = $1")
        .bind(id)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("write down the last use of an application")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_may_receive_codes() {
        for (address, good) in [
            ("https://his.example.cn/cb", true),
            ("https://his.example.cn:8443/cb?a=1", true),
            ("http://127.0.0.1:9000/cb", true),
            ("http://localhost/cb", true),
            ("http://[::1]:9/cb", true),
            ("http://his.example.cn/cb", false),
            ("http://127.0.0.1.evil.cn/cb", false),
            ("https://a@evil.cn/cb", false),
            ("https://*.example.cn/cb", false),
            ("https://his.example.cn/cb#x", false),
            ("javascript:alert(1)", false),
            ("/cb", false),
            ("https://", false),
            ("https://his.example.cn/中", false),
            ("", false),
        ] {
            assert_eq!(good_address(address), good, "{address}");
        }
    }
}
