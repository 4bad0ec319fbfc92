//! Signatures of documents: who signed what, when, and whether it still is what was signed.
//!
//! What is signed is a short statement of object, digest, signer and time. The content itself stays with the part that
//! owns it; checking takes it again and compares.

use chrono::{DateTime, SecondsFormat, Utc};
use kernel::error::Doing;
use kernel::{Caller, Result};
use protect::{Hash, Keyring, Verdict, sign};
use serde_json::Value;
use sqlx::FromRow;

use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// A signature as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Signed {
    /// Number.
    pub id: i64,
    /// Kind of object, e.g. `batch.receipt`.
    pub object_kind: String,
    /// The object's identifier.
    pub object_id: i64,
    /// SM3 or SHA-256 of the content, after the algorithm.
    pub digest: Vec<u8>,
    /// What was signed.
    pub statement: String,
    /// Account of the signer, if a person signed.
    pub account_id: Option<i64>,
    /// Name of the signer.
    pub signer_name: String,
    /// Institution of the signer.
    pub institution_id: Option<i32>,
    /// Its name.
    pub institution_name: String,
    /// When.
    pub signed_at: DateTime<Utc>,
    /// `sm2-sm3` or `ed25519`.
    pub algorithm: String,
    /// Which key.
    pub key_id: String,
    /// The signature: 64 bytes.
    pub signature: Vec<u8>,
}

fn hash(algorithm: &str) -> (Hash, &'static str) {
    if algorithm == sign::SM2_SM3 { (Hash::Sm3, "sm3") } else { (Hash::Sha256, "sha-256") }
}

impl Signed {
    // Times are kept by the database in microseconds; the statement says no more than that.
    fn expected(&self) -> String {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        format!(
            "minkang signature 1\nobject: {} {}\ndigest: {} {}\naccount: {}\nsigner: {}\ninstitution: {} {}\nat: {}\n",
            self.object_kind,
            self.object_id,
            hash(&self.algorithm).1,
            hex::encode(&self.digest),
            self.account_id.unwrap_or_default(),
            line(&self.signer_name),
            self.institution_id.unwrap_or_default(),
            line(&self.institution_name),
            self.signed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        )
    }

    /// Whether content, signer and time are those that were signed.
    pub fn check(&self, keyring: &Keyring, content: &[u8]) -> Verdict {
        let Some((algorithm, key)) = keyring.public_key(&self.key_id) else { return Verdict::UnknownKey };
        let same = self.algorithm == algorithm
            && hash(&algorithm).0.digest(content).as_slice() == self.digest
            && self.statement == self.expected();
        if same && protect::verify(&algorithm, &key, self.statement.as_bytes(), &self.signature) {
            Verdict::Intact
        } else {
            Verdict::Altered
        }
    }

    /// The signature as it stands in a JSON document, with all that is needed to check it elsewhere.
    pub fn json(&self, keyring: &Keyring, covers: &[&str]) -> Value {
        let key = keyring.public_key(&self.key_id).map(|(_, key)| hex::encode(key));
        serde_json::json!({
            "covers": covers,
            "statement": self.statement,
            "algorithm": self.algorithm,
            "key_id": self.key_id,
            "public_key": key,
            "value": hex::encode(&self.signature),
        })
    }
}

/// Signs content for an object, with the signing key of this name (`platform`, `institution-17`), for a caller.
///
/// # Errors
/// Refused when there is no such key.
pub async fn sign(
    tx: &mut Tx<'_>,
    key: &str,
    by: &Caller,
    object: (&str, i64),
    content: &[u8],
    now: DateTime<Utc>,
) -> Result<Signed> {
    let signer = tx.keyring().signer(key)?;
    let micros = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
    let mut signed = Signed {
        id: 0,
        object_kind: object.0.to_owned(),
        object_id: object.1,
        digest: hash(signer.algorithm()).0.digest(content).to_vec(),
        statement: String::new(),
        account_id: by.account.map(kernel::Id::get),
        signer_name: by.name.clone(),
        institution_id: by.institution.map(|i| i.get() as i32),
        institution_name: by.institution_name.clone(),
        signed_at: micros,
        algorithm: signer.algorithm().to_owned(),
        key_id: signer.key_id(),
        signature: Vec::new(),
    };
    signed.statement = signed.expected();
    signed.signature = signer.sign(signed.statement.as_bytes())?;
    signed.id = sqlx::query_scalar(
        "insert into signature (object_kind, object_id, digest, statement, account_id, signer_name, institution_id,
            institution_name, signed_at, algorithm, key_id, signature)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id",
    )
    .bind(&signed.object_kind)
    .bind(signed.object_id)
    .bind(&signed.digest)
    .bind(&signed.statement)
    .bind(signed.account_id)
    .bind(&signed.signer_name)
    .bind(signed.institution_id)
    .bind(&signed.institution_name)
    .bind(signed.signed_at)
    .bind(&signed.algorithm)
    .bind(&signed.key_id)
    .bind(&signed.signature)
    .fetch_one(&mut **tx)
    .await
    .db("keep a signature")?;
    Ok(signed)
}

/// The signatures of an object, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of(db: &Db, object_kind: &str, object_id: i64) -> Result<Vec<Signed>> {
    sqlx::query_as(
        "select id, object_kind, object_id, digest, statement, account_id, signer_name, institution_id,
            institution_name, signed_at, algorithm, key_id, signature
         from signature where object_kind = $1 and object_id = $2 order by id",
    )
    .bind(object_kind)
    .bind(object_id)
    .fetch_all(db.pool())
    .await
    .db("read signatures")
}

/// A JSON value in one form whatever order its keys came in: keys sorted, no spaces.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let parts: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::String(key.clone()), canonical(&map[key])))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// The covered part of a JSON document in its one form.
pub fn covered(document: &Value, covers: &[&str]) -> String {
    let part: serde_json::Map<String, Value> =
        covers.iter().map(|key| ((*key).to_owned(), document[*key].clone())).collect();
    canonical(&Value::Object(part))
}

/// Checks a JSON document that carries its signature under `signature`, against the keys that are trusted.
///
/// # Errors
/// A document without a signature of this form.
pub fn check_document(
    document: &Value,
    must_cover: &[&str],
    trusted: impl Fn(&str) -> Option<(String, Vec<u8>)>,
) -> Result<Verdict> {
    let part = &document["signature"];
    let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let value = hex::decode(text("value")).doing("read a signature")?;
    let Some((algorithm, key)) = trusted(&text("key_id")) else { return Ok(Verdict::UnknownKey) };
    // What is covered is decided here, not by the document: it could leave out what was altered.
    let digest = hash(&algorithm).0.digest(covered(document, must_cover).as_bytes());
    let wanted = format!("digest: {} {}", hash(&algorithm).1, hex::encode(digest));
    let statement = text("statement");
    let same = statement.lines().any(|line| line == wanted)
        && protect::verify(&algorithm, &key, statement.as_bytes(), &value);
    Ok(if same { Verdict::Intact } else { Verdict::Altered })
}
