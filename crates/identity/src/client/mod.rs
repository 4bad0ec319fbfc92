//! Machine clients (接入客户端): an institution's programs that upload its rows, and the key that signs links which embed
//! the record in its workstations.

mod pages;
mod store;

use ::store::{AuditEntry, audit};
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Refusal, Result};
use web::{Access, Routes};

pub use store::{ClientRow, LiveClient, load_by_certificate, load_open, load_open_by_id, touch, touch_in};

use crate::account::MANAGE;
use crate::provider::credential;
use crate::{Identity, provider, secret};

/// The routes of machine clients.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    // Credentials are given out only by whoever has proved who they are within the last minutes.
    let (manage, change) = (Access::Needs(MANAGE), Access::Fresh(MANAGE));
    Routes::new()
        .get("/clients", manage, pages::list)
        .get("/clients.csv", manage, pages::csv)
        .get("/clients/new", manage, pages::blank)
        .post("/clients", change, pages::create)
        .get("/clients/{client}", manage, pages::show)
        .post("/clients/{client}/close", change, pages::close)
        .post("/clients/{client}/secret", change, pages::secret)
        .post("/clients/{client}/credential", change, pages::credential)
        .post("/clients/{client}/credential/{credential}/end", change, pages::end_credential)
        .with_state(identity.clone())
}

/// A machine client just created. The secrets are told once.
#[derive(Clone)]
pub struct IssuedClient {
    /// Name for HTTP Basic, e.g. `c-3f9a0c1d27`.
    pub client_id: String,
    /// Password for HTTP Basic: 64 hexadecimal digits.
    pub secret: String,
    /// Key for signed links: 64 hexadecimal digits that stand for 32 bytes.
    pub link_key: String,
}

impl std::fmt::Debug for IssuedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedClient").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What an administrator says of a machine client.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Whose it is.
    pub institution: InstitutionId,
    /// What it is for.
    pub name: String,
    /// `secret`, `private_key_jwt` or `tls_client_auth`.
    pub auth_method: String,
    /// Its public key or certificate, as pasted, for the latter two.
    pub pasted: String,
    /// Codes of the data sets it is limited to; none: all.
    pub datasets: Option<Vec<String>>,
    /// Whether it may read the records of its institution's patients.
    pub reads_records: bool,
}

impl NewClient {
    /// A client that proves itself by a secret and sends every data set.
    pub fn simple(institution: InstitutionId, name: &str) -> Self {
        Self {
            institution,
            name: name.to_owned(),
            auth_method: "secret".to_owned(),
            pasted: String::new(),
            datasets: None,
            reads_records: false,
        }
    }
}

impl Identity {
    /// Creates a machine client for an institution, with a secret and for all of its data sets.
    pub async fn create_client(
        &self,
        institution: InstitutionId,
        name: &str,
        by: &Caller,
    ) -> Result<IssuedClient> {
        self.open_client(&NewClient::simple(institution, name), by).await
    }

    /// Creates a machine client.
    pub async fn open_client(&self, new: &NewClient, by: &Caller) -> Result<IssuedClient> {
        let new = NewClient { name: new.name.trim().to_owned(), ..new.clone() };
        let name = &new.name;
        if !(2..=50).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(
                Refusal::invalid("client.bad_name", "名称须为 2 至 50 个字，如“HIS 数据上传”。").into()
            );
        }
        if self.institutions.by_id(new.institution).is_none() {
            return Err(
                Refusal::invalid("client.unknown_institution", "没有这个机构，请从列表中选择。").into()
            );
        }
        let unknown = new.datasets.iter().flatten().find(|code| self.catalog.dataset(code).is_none());
        if unknown.is_some() || new.datasets.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::invalid("client.datasets", "请从列表中选择数据集，或选“全部”。").into());
        }
        let now = self.clock.now();
        let (told, credentials) = if new.auth_method == "secret" {
            let told = secret::random_token()?;
            let digest = secret::digest(&told);
            (told, vec![credential::NewCredential::Secret(digest)])
        } else {
            (String::new(), provider::application::pasted_credentials(&new.auth_method, &new.pasted, now)?)
        };
        let link_key = secret::random_key()?;
        let issued = IssuedClient {
            client_id: format!("c-{}", secret::random_suffix(10)?),
            secret: told,
            link_key: secret::hex(&link_key),
        };
        self.db
            .transaction(async |tx| {
                let id = store::insert(tx, &issued.client_id, &new, &link_key, &by.name, now).await?;
                credential::add(tx, credential::Owner::Client(id), &credentials, &by.name, now, now).await?;
                let entry = AuditEntry {
                    act: "client.create",
                    object_kind: "client",
                    object_id: Some(id),
                    object_label: format!("{} {name}", issued.client_id),
                    detail: Some(serde_json::json!({
                        "institution": new.institution, "auth_method": new.auth_method,
                        "datasets": new.datasets, "reads_records": new.reads_records,
                    })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await
            })
            .await?;
        Ok(issued)
    }

    /// The machine clients of an institution, newest first.
    pub async fn clients_of(&self, institution: InstitutionId) -> Result<Vec<ClientRow>> {
        store::list(self.db.pool(), &[], &[i32::try_from(institution.get()).unwrap_or(0)]).await
    }

    /// Gives a machine client another secret; the present one serves a while longer.
    pub async fn renew_client_secret(&self, client: &ClientRow, by: &Caller) -> Result<String> {
        if client.auth_method != "secret" || client.state != "open" {
            return Err(Refusal::conflict("client.no_secret", "这个客户端不用密钥认证，或已停用。").into());
        }
        let told = secret::random_token()?;
        let new = [credential::NewCredential::Secret(secret::digest(&told))];
        self.enter_client_credentials(client, &new, "client.secret", by).await?;
        Ok(told)
    }

    /// Enters public keys or a certificate of a machine client, as pasted.
    pub async fn enter_client_credential(&self, client: &ClientRow, pasted: &str, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let new = provider::application::pasted_credentials(&client.auth_method, pasted, now)?;
        self.enter_client_credentials(client, &new, "client.credential", by).await
    }

    async fn enter_client_credentials(
        &self,
        client: &ClientRow,
        new: &[credential::NewCredential],
        act: &'static str,
        by: &Caller,
    ) -> Result<()> {
        let now = self.clock.now();
        let until = now + self.secret_overlap();
        self.db
            .transaction(async |tx| {
                let owner = credential::Owner::Client(client.id);
                credential::add(tx, owner, new, &by.name, now, until).await?;
                self.audit_client(tx, by, act, client, serde_json::json!({ "earlier_until": until })).await
            })
            .await?;
        self.gatekeeper.forget_client(client.id);
        Ok(())
    }

    /// Ends one credential of a machine client at once.
    pub async fn end_client_credential(&self, client: &ClientRow, which: i64, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                if !credential::end(tx, credential::Owner::Client(client.id), which, now).await? {
                    return Ok(());
                }
                let detail = serde_json::json!({ "credential": which });
                self.audit_client(tx, by, "client.credential_end", client, detail).await
            })
            .await?;
        self.gatekeeper.forget_client(client.id);
        Ok(())
    }

    async fn audit_client(
        &self,
        tx: &mut ::store::Tx<'_>,
        by: &Caller,
        act: &'static str,
        client: &ClientRow,
        detail: serde_json::Value,
    ) -> Result<()> {
        let entry = AuditEntry {
            act,
            object_kind: "client",
            object_id: Some(client.id),
            object_label: client.client_id.clone(),
            detail: Some(detail),
            ..AuditEntry::default()
        };
        audit::record(tx, by, &Purpose::of(""), self.clock.now(), &entry).await
    }

    /// Closes a machine client at once and for good; nothing when it is closed already.
    pub async fn close_client(&self, client: i64, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let Some(client_id) = store::close(tx, client).await? else { return Ok(()) };
                let entry = AuditEntry {
                    act: "client.close",
                    object_kind: "client",
                    object_id: Some(client),
                    object_label: client_id,
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await
            })
            .await?;
        self.gatekeeper.forget_client(client);
        self.gatekeeper.forget_tokens();
        Ok(())
    }
}
