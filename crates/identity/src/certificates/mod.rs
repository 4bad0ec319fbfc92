//! Sign-in by certificate (数字证书): a standard one that the TLS layer has verified, or an SM2 one of a UKey that signs a
//! challenge of ours (the browser's middleware does the signing).
//!
//! ```text
//! authority entered, its revocation lists uploaded → certificate bound to an account by its administrator
//! sign-in: bound, in its time, not revoked, key proven (TLS or signed challenge, which serves once) → session
//! ```

mod pages;
mod store;
mod x509;

use ::store::{AuditEntry, Tx, audit};
use kernel::{AccountId, Act, Caller, Factor, Line, Need, Purpose, Refusal, RefusalKind, Result};
use web::{Access, Routes};

pub(crate) use pages::certificates_card;
pub(crate) use store::{BoundRow, of_account};

use crate::account::MANAGE;
use crate::sign_in::{self, Attempt, Opened, Way};
use crate::{Identity, certificate, secret};

/// Challenges of certificates serve in no other ceremony.
const SM2: &str = "certificate.sm2";

/// Which authorities are believed is for the security administrator.
const AUTHORITIES: Need = Need::new(Line::Security, Act::Manage);

/// The routes of certificates.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let everybody = Access::Open("signing in comes before any right");
    Routes::new()
        .get("/sign-in/certificate", everybody, pages::form)
        .post("/sign-in/certificate", everybody, pages::by_connection)
        .post("/sign-in/certificate/sm2", everybody, pages::by_signature)
        .post("/accounts/{account}/certificates", Access::Fresh(MANAGE), pages::bind)
        .post("/accounts/{account}/certificates/{certificate}/remove", Access::Fresh(MANAGE), pages::unbind)
        .get("/certificate-authorities", Access::Needs(AUTHORITIES), pages::authorities)
        .post("/certificate-authorities", Access::Fresh(AUTHORITIES), pages::add_authority)
        .post("/certificate-authorities/{authority}/crl", Access::Fresh(AUTHORITIES), pages::add_list)
        .post(
            "/certificate-authorities/{authority}/remove",
            Access::Fresh(AUTHORITIES),
            pages::remove_authority,
        )
        .with_state(identity.clone())
}

/// One sentence for everything that was not believed; the log says more.
fn not_believed(why: &'static str) -> Refusal {
    tracing::info!(why, "a certificate was not believed");
    Refusal::new(
        RefusalKind::Unauthenticated,
        "certificate.wrong",
        "没有通过数字证书的验证：证书未绑定账号、已过期、已吊销，或签名不正确。请重试，或联系本单位管理员。",
    )
}

impl Identity {
    /// Draws the challenge that a UKey signs.
    pub(crate) async fn certificate_challenge(&self) -> Result<String> {
        let now = self.clock.now();
        self.db.transaction(async |tx| sign_in::store::begin(tx, SM2, None, now).await).await
    }

    /// Signs in by the certificate of the connection, whose key the TLS layer has proven.
    pub async fn sign_in_certificate(&self, der: &[u8], attempt: Attempt<'_>) -> Result<Opened> {
        self.turn_away(attempt.address).await?;
        self.by_certificate(der, attempt).await
    }

    /// Signs in by an SM2 certificate that signed a challenge of ours, `signature` in DER or as 64 bytes.
    pub async fn sign_in_sm2(
        &self,
        challenge: &str,
        der: &[u8],
        signature: &[u8],
        attempt: Attempt<'_>,
    ) -> Result<Opened> {
        self.turn_away(attempt.address).await?;
        let now = self.clock.now();
        let begun =
            self.db.transaction(async |tx| sign_in::store::finish(tx, SM2, challenge, now).await).await?;
        let proven = begun.is_some() && x509::signed_by(der, challenge.as_bytes(), signature);
        if !proven {
            self.audit_failure("数字证书", None, "wrong_certificate", attempt.address, true).await?;
            return Err(not_believed("the challenge is not ours or not signed").into());
        }
        self.by_certificate(der, attempt).await
    }

    async fn by_certificate(&self, der: &[u8], attempt: Attempt<'_>) -> Result<Opened> {
        let now = self.clock.now();
        let bound = store::by_fingerprint(self.db.pool(), &certificate::digest(der)).await?;
        let certificate = x509::read(der).map_err(|_| not_believed("no certificate"))?;
        let wrong = match &bound {
            None => Some("not bound to an account"),
            Some(_) if now < certificate.not_before || certificate.not_after <= now => {
                Some("not in its time")
            }
            Some(bound) if bound.authority_id.is_none() => Some("its authority is not believed any more"),
            Some(bound) if bound.revoked => Some("revoked"),
            Some(_) => None,
        };
        if let (Some(bound), None) = (&bound, wrong)
            && let Some(account) = sign_in::store::account_by_id(self.db.pool(), bound.account_id).await?
            && account.state == "open"
        {
            let way = Way { factor: Factor::Certificate, by: "certificate" };
            if let Some(opened) = self.open_session(&account, way, attempt).await? {
                self.db.transaction(async |tx| store::note_use(tx, bound.id, now).await).await?;
                return Ok(opened);
            }
        }
        let account = bound.as_ref().map(|b| b.account_id);
        self.audit_failure(&certificate.subject, account, "wrong_certificate", attempt.address, true).await?;
        Err(not_believed(wrong.unwrap_or("the account is not open")).into())
    }

    /// Binds a certificate to an account: issued by a believed authority, in its time, not revoked.
    pub async fn bind_certificate(&self, account: AccountId, der: &[u8], by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let certificate = x509::read(der)?;
        if now < certificate.not_before || certificate.not_after <= now {
            return Err(Refusal::invalid("certificate.time", "证书不在有效期内，没有绑定。").into());
        }
        let authorities = store::authorities(self.db.pool()).await?;
        let issuer = authorities.iter().find(|a| x509::issued_by(der, &a.der)).ok_or_else(|| {
            Refusal::invalid("certificate.issuer", "证书不是受信任的 CA 签发的。请先由安全管理员登记该 CA。")
        })?;
        self.db
            .transaction(async |tx| {
                if store::is_revoked(tx, issuer.id, &certificate.serial).await? {
                    return Err(Refusal::invalid("certificate.revoked", "证书已被吊销，没有绑定。").into());
                }
                if !store::bind(tx, account, &certificate, issuer.id, &by.name, now).await? {
                    return Err(Refusal::conflict("certificate.bound", "这张证书已绑定了账号。").into());
                }
                self.tell_owner(tx, account, "您的账号绑定了数字证书").await?;
                self.audit_certificate(tx, by, "certificate.bind", account, &certificate.subject).await
            })
            .await
    }

    /// Takes a certificate off an account.
    pub async fn unbind_certificate(&self, account: AccountId, bound: i64, by: &Caller) -> Result<()> {
        self.db
            .transaction(async |tx| {
                let subject = store::unbind(tx, account, bound)
                    .await?
                    .ok_or_else(|| Refusal::not_found("certificate.none", "没有这张证书。"))?;
                self.tell_owner(tx, account, "您的账号解除了数字证书").await?;
                self.audit_certificate(tx, by, "certificate.unbind", account, &subject).await
            })
            .await
    }

    /// Enters an authority whose certificates are believed.
    pub async fn add_authority(&self, name: &str, der: &[u8], by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let certificate = x509::read(der)?;
        if !certificate.authority {
            return Err(
                Refusal::invalid("authority.not_one", "这不是 CA 证书（缺少 CA 标志），没有保存。").into()
            );
        }
        let name = match name.trim() {
            "" => certificate.subject.clone(),
            name => name.chars().take(100).collect(),
        };
        self.db
            .transaction(async |tx| {
                if !store::add_authority(tx, &name, &certificate, &by.name, now).await? {
                    return Err(Refusal::conflict("authority.known", "这个 CA 已经登记过。").into());
                }
                self.audit_authority(tx, by, "authority.add", &name).await
            })
            .await
    }

    /// Takes up a revocation list of an authority; sessions of bound certificates that it names end.
    pub async fn add_revocations(&self, authority: i64, der: &[u8], by: &Caller) -> Result<usize> {
        let found = store::authorities(self.db.pool()).await?.into_iter().find(|a| a.id == authority);
        let known = found.ok_or_else(|| Refusal::not_found("authority.none", "没有这个 CA。"))?;
        let list = x509::revoked(der, &known.der)?;
        if known.crl_at.is_some_and(|at| list.at < at) {
            return Err(Refusal::conflict("crl.old", "已有更新的吊销列表，没有保存这一份。").into());
        }
        let ended = self
            .db
            .transaction(async |tx| {
                let ended = store::set_list(tx, authority, &list).await?;
                self.audit_authority(tx, by, "authority.crl", &known.name).await?;
                Ok(ended)
            })
            .await?;
        for account in ended {
            self.gatekeeper.forget_account(AccountId::new(account));
        }
        Ok(list.serials.len())
    }

    /// Believes an authority no more.
    pub async fn remove_authority(&self, authority: i64, by: &Caller) -> Result<()> {
        self.db
            .transaction(async |tx| {
                let name = store::remove_authority(tx, authority)
                    .await?
                    .ok_or_else(|| Refusal::not_found("authority.none", "没有这个 CA。"))?;
                self.audit_authority(tx, by, "authority.remove", &name).await
            })
            .await
    }

    async fn audit_certificate(
        &self,
        tx: &mut Tx<'_>,
        by: &Caller,
        act: &'static str,
        account: AccountId,
        subject: &str,
    ) -> Result<()> {
        let entry = AuditEntry {
            act,
            object_kind: "account",
            object_id: Some(account.get()),
            object_label: subject.to_owned(),
            ..AuditEntry::default()
        };
        audit::record(tx, by, &Purpose::of(""), self.clock.now(), &entry).await
    }

    async fn audit_authority(
        &self,
        tx: &mut Tx<'_>,
        by: &Caller,
        act: &'static str,
        name: &str,
    ) -> Result<()> {
        let entry = AuditEntry {
            act,
            object_kind: "authority",
            object_label: name.to_owned(),
            ..AuditEntry::default()
        };
        audit::record(tx, by, &Purpose::of(""), self.clock.now(), &entry).await
    }
}

/// Hexadecimal digits or base64 of a signature, as middleware gives it.
fn bytes_of(text: &str) -> Vec<u8> {
    use base64::Engine;
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    secret::unhex(&text)
        .or_else(|| base64::engine::general_purpose::STANDARD.decode(&text).ok())
        .unwrap_or_default()
}
