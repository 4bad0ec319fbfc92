//! Passkeys (通行密钥, W3C Web Authentication): kept by a telephone, a computer or a security key, unlocked there by
//! finger, face or PIN. One is enough to sign in, without a login name: having the device and unlocking it are two
//! factors. The browser's part is `web/src/passkeys.js`.

mod cbor;
mod pages;
pub(crate) mod store;
pub mod verify;

use kernel::{Caller, Factor, Refusal, RefusalKind, Result};
use web::{Access, Routes};

use self::verify::{Party, Wrong};
use super::codes::fresh;
use crate::sign_in::{self, Attempt, Opened, Way};
use crate::{Identity, secret};

/// The routes of passkeys.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let everybody = Access::Open("signing in comes before any right");
    let own = Access::SignedIn("everybody looks after the passkeys of their own account");
    Routes::new()
        .post("/sign-in/passkey/begin", everybody, pages::begin_sign_in)
        .post("/sign-in/passkey", everybody, pages::sign_in)
        .post("/account/passkeys/begin", own, pages::begin_add)
        .post("/account/passkeys", own, pages::add)
        .post("/account/passkeys/{passkey}/rename", own, pages::rename)
        .post("/account/passkeys/{passkey}/remove", own, pages::remove)
        .with_state(identity.clone())
}

/// The ceremony in which a challenge was given; a challenge of one serves in no other.
pub(crate) const SIGN_IN: &str = "passkey.sign_in";
pub(crate) const STEP_UP: &str = "passkey.step_up";
const ADD: &str = "passkey.add";

/// What a browser sends when a passkey is used; bytes as base64url.
#[derive(Debug, serde::Deserialize)]
pub struct Assertion {
    /// The authenticator's name for the passkey.
    pub id: String,
    /// `clientDataJSON`.
    pub client: String,
    /// `authenticatorData`.
    pub authenticator: String,
    /// `signature`.
    pub signature: String,
    /// `userHandle`; empty where the authenticator gives none.
    #[serde(default)]
    pub user: String,
}

impl Identity {
    /// Who we are to browsers; a refusal where they know no passkeys.
    pub(crate) fn party(&self) -> Result<Party, Refusal> {
        Party::of(&self.settings.base_url).ok_or_else(|| {
            Refusal::conflict(
                "passkey.unavailable",
                "平台目前不是通过 HTTPS 域名访问，浏览器不支持通行密钥。请使用动态口令，或联系运维人员配置域名和证书。",
            )
        })
    }

    /// Draws a challenge for a ceremony.
    pub(crate) async fn passkey_challenge(
        &self,
        ceremony: &'static str,
        caller: Option<&Caller>,
    ) -> Result<String> {
        let account = caller.and_then(|c| c.account).map(kernel::Id::get);
        let now = self.clock.now();
        let token =
            self.db.transaction(async |tx| sign_in::store::begin(tx, ceremony, account, now).await).await?;
        Ok(verify::encode(&secret::unhex(&token).unwrap_or_default()))
    }

    /// Checks the use of a passkey in a ceremony: the account. The challenge serves once, whatever comes of it.
    pub(crate) async fn passkey_used(&self, ceremony: &'static str, given: &Assertion) -> Result<i64> {
        let party = self.party()?;
        let now = self.clock.now();
        let bytes = |text: &str| verify::decode(text).ok_or(Wrong("not base64url"));
        let read = || -> Result<_, Wrong> {
            let client = bytes(&given.client)?;
            let challenge = verify::challenge(&client, "webauthn.get", &party)?;
            Ok((client, challenge, bytes(&given.authenticator)?, bytes(&given.signature)?, bytes(&given.id)?))
        };
        let (client, challenge, authenticator, signature, id) = read().map_err(not_believed)?;
        let token = secret::hex(&challenge);
        let begun =
            self.db.transaction(async |tx| sign_in::store::finish(tx, ceremony, &token, now).await).await?;
        let Some(whose) = begun else { return Err(not_believed(Wrong("no challenge of ours")).into()) };
        let Some((passkey, handle)) = store::by_credential(self.db.pool(), &id).await? else {
            return Err(not_believed(Wrong("an unknown passkey")).into());
        };
        if whose.is_some_and(|account| account != passkey.account_id) {
            return Err(not_believed(Wrong("somebody else's passkey")).into());
        }
        let user = bytes(&given.user).map_err(not_believed)?;
        if !user.is_empty() && handle.as_deref() != Some(user.as_slice()) {
            return Err(not_believed(Wrong("the passkey names another account")).into());
        }
        let used = verify::assertion(&client, &authenticator, &signature, &passkey.public_key, &party)
            .map_err(not_believed)?;
        let noted = self.db.transaction(async |tx| store::note_use(tx, passkey.id, &used, now).await).await?;
        if !noted {
            tracing::warn!(
                passkey = passkey.id,
                "the counter of a passkey did not grow: it may have been copied"
            );
            return Err(not_believed(Wrong("the counter did not grow")).into());
        }
        Ok(passkey.account_id)
    }

    /// Signs in by a passkey.
    pub async fn sign_in_passkey(&self, given: &Assertion, attempt: Attempt<'_>) -> Result<Opened> {
        self.turn_away(attempt.address).await?;
        let account = match self.passkey_used(SIGN_IN, given).await {
            Ok(account) => sign_in::store::account_by_id(self.db.pool(), account).await?,
            Err(kernel::Error::Refused(refusal)) if refusal.kind == RefusalKind::Unauthenticated => {
                self.audit_failure("通行密钥", None, "wrong_passkey", attempt.address, true).await?;
                return Err(refusal.into());
            }
            Err(error) => return Err(error),
        };
        if let Some(account) = account.as_ref().filter(|a| a.state == "open") {
            let way = Way { factor: Factor::Second, by: "passkey" };
            if let Some(opened) = self.open_session(account, way, attempt).await? {
                return Ok(opened);
            }
        }
        if let Some(account) = &account {
            self.audit_failure(&account.login, Some(account.id), "closed", attempt.address, true).await?;
        }
        Err(not_believed(Wrong("the account is not open")).into())
    }

    /// Keeps a new passkey of the caller.
    pub async fn add_passkey(
        &self,
        caller: &Caller,
        name: &str,
        client: &str,
        attestation: &str,
    ) -> Result<()> {
        let account = fresh(caller)?;
        let party = self.party()?;
        let now = self.clock.now();
        let bytes = |text: &str| verify::decode(text).ok_or(Wrong("not base64url"));
        let read = || -> Result<_, Wrong> {
            let challenge = verify::challenge(&bytes(client)?, "webauthn.create", &party)?;
            Ok((challenge, verify::registration(&bytes(attestation)?, &party)?))
        };
        let (challenge, made) = read().map_err(not_made)?;
        let name = name_of(name)?;
        let kept = self
            .db
            .transaction(async |tx| {
                let begun = sign_in::store::finish(tx, ADD, &secret::hex(&challenge), now).await?;
                if begun.flatten() != Some(account.get()) {
                    return Ok(false);
                }
                if !store::insert(tx, account, &made, &name, now).await? {
                    return Ok(false);
                }
                self.audit_factor(tx, caller, "factor.passkey.add").await?;
                Ok(true)
            })
            .await?;
        if !kept {
            return Err(not_made(Wrong("no challenge of ours, or known already")).into());
        }
        self.gatekeeper.forget_account(account);
        Ok(())
    }

    /// Gives one's own passkey another name.
    pub async fn rename_passkey(&self, caller: &Caller, passkey: i64, name: &str) -> Result<()> {
        let account = fresh(caller)?;
        let name = name_of(name)?;
        self.db
            .transaction(async |tx| {
                if !store::rename(tx, account, passkey, &name).await? {
                    return Err(no_passkey().into());
                }
                self.audit_factor(tx, caller, "factor.passkey.rename").await
            })
            .await
    }

    /// Takes one's own passkey away.
    pub async fn remove_passkey(&self, caller: &Caller, passkey: i64) -> Result<()> {
        let account = fresh(caller)?;
        self.may_do_without(caller, account, false).await?;
        self.db
            .transaction(async |tx| {
                if !store::remove(tx, account, passkey).await? {
                    return Err(no_passkey().into());
                }
                self.audit_factor(tx, caller, "factor.passkey.remove").await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }
}

fn name_of(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    if name.chars().count() > 40 || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("passkey.name", "名称最多 40 个字。"));
    }
    Ok(if name.is_empty() { "通行密钥".to_owned() } else { name.to_owned() })
}

fn no_passkey() -> Refusal {
    Refusal::not_found("passkey.none", "没有这个通行密钥。")
}

/// One sentence for everything that was not believed; the log says more.
fn not_believed(why: Wrong) -> Refusal {
    tracing::info!(%why, "a passkey was not believed");
    Refusal::new(
        RefusalKind::Unauthenticated,
        "passkey.wrong",
        "没有通过通行密钥的验证。请重试，或改用密码登录；若已在账号页删除该密钥，请换一个。",
    )
}

fn not_made(why: Wrong) -> Refusal {
    tracing::info!(%why, "a passkey was not made");
    Refusal::invalid(
        "passkey.not_made",
        "没有添加成功。请重试；若浏览器提示设备不支持，请换一种设备或改用动态口令。",
    )
}
