//! The comparison model in force: what `linkage` needs, made once and shared by all who link.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::error::Doing;
use kernel::{Error, Result};
use linkage::{Comparison, Frequencies, Model, Record, Trained};
use protect::Keyring;
use sqlx::Row;
use store::{DbDoing, Tx};

use crate::known::Known;
use crate::sealed::hex;

/// How long a process goes on with the model it has before it looks whether another is in force.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(10);
/// Registrations that an index without a trained model is taken to have at least. Names have not been counted yet, so
/// that it must be as careful with 张伟 as a whole province has to be.
const LEAST_RECORDS: u64 = 20_000_000;
/// Registrations for which it would ask people as often as it does, and from which probability: the queue's threshold of
/// the model is for one that was trained.
const ASKS_AS: f32 = 1_000_000.0;
const ASKS_FROM: f64 = 0.45;

/// A model with what it needs to decide.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Row of `person_model`; 0 for the shipped one.
    pub id: i64,
    pub model: Model,
    pub frequencies: Frequencies,
    /// Digest of the blocking rules.
    pub blocking: String,
    /// Bits from which records are linked, from which people look, and of the prior.
    pub link: f32,
    pub review: f32,
    pub prior: f32,
}

fn bits(probability: f64) -> f32 {
    let p = probability.clamp(1e-12, 1.0 - 1e-12);
    (p / (1.0 - p)).log2() as f32
}

impl Engine {
    /// Of a model and its frequencies; hashes are keyed by the registry's secret.
    pub(crate) fn new(id: i64, model: Model, frequencies: Frequencies, keyring: &Keyring) -> Result<Self> {
        let model = model.with_secret(*keyring.project_key("person-index")?);
        let (link, review) = model.thresholds();
        let prior = model.prior_bits(frequencies.records()) as f32;
        let blocking = blocking(&model);
        Ok(Self { id, blocking, link: bits(link), review: bits(review), prior, model, frequencies })
    }

    /// The shipped model, untrained, for a registry of about so many records.
    pub(crate) fn shipped(records: u64, keyring: &Keyring) -> Result<Self> {
        let model = Model::china().map_err(|e| Error::fault("read the comparison model", e))?;
        let mut frequencies = Frequencies::default();
        frequencies.set_records(records.max(LEAST_RECORDS));
        // Nothing was counted yet: every value is as frequent as the average, which adds and takes nothing.
        for field in model.parameters().fields {
            if let Some(level) = field.levels.first() {
                frequencies.set(&field.name, 0, (1.0 / level.u.max(1e-9)).round() as u32);
            }
        }
        let mut engine = Self::new(0, model, frequencies, keyring)?;
        // As careful as a province where it links, but it asks as a city would: otherwise nobody is ever asked.
        engine.review = bits(ASKS_FROM) - (LEAST_RECORDS as f32 / ASKS_AS).log2();
        Ok(engine)
    }

    /// Prepares what is known of a patient.
    pub(crate) fn prepare(&self, known: &Known, disowned: bool) -> Record {
        let birth = known.birth_date.map(|d| d.format("%Y%m%d").to_string()).unwrap_or_default();
        // A number that is another's would speak for that other; the kinship is told by the contact.
        let number = if disowned || (known.citizen_id.is_some() && known.own_number().is_none()) {
            ""
        } else {
            known.citizen_id.as_deref().unwrap_or(if known.is_citizen_kind() {
                &known.credential_no
            } else {
                ""
            })
        };
        let credential = if known.is_citizen_kind() { "" } else { known.credential_no.as_str() };
        let region = if known.region == "000000000000" { "" } else { known.region.as_str() };
        self.model.prepare([
            ("name", known.name.as_str()),
            ("sex", if matches!(known.sex.as_str(), "1" | "2") { known.sex.as_str() } else { "" }),
            ("birth_date", birth.as_str()),
            ("citizen_id", number),
            ("credential_no", credential),
            ("phone", known.phone.as_str()),
            ("contact_phone", known.contact_phone.as_str()),
            ("address", known.address.as_str()),
            ("region", region),
            ("card_no", known.card_no.as_str()),
            ("ethnicity", known.ethnicity.as_str()),
            ("guardian", known.contact_name.as_str()),
        ])
    }

    /// Blocking keys with their rule, as the database keeps them.
    pub(crate) fn keys(&self, record: &Record) -> Vec<(i64, u16)> {
        let mut keys: Vec<(i64, u16)> =
            self.model.keys(record).into_iter().map(|k| (k.hash as i64, k.rule)).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|k| k.0);
        keys
    }

    /// The name of a blocking rule.
    pub(crate) fn rule_name(&self, rule: u16) -> &str {
        self.model.blocks().nth(usize::from(rule)).map_or("", |(name, _)| name)
    }

    pub(crate) fn compare(&self, a: &Record, b: &Record) -> Comparison {
        self.model.compare(a, b, &self.frequencies)
    }

    /// The score for clustering, and whether the names are plainly two.
    pub(crate) fn score(&self, a: &Record, b: &Record) -> (f32, bool) {
        let comparison = self.compare(a, b);
        let other_name = comparison
            .contributions
            .iter()
            .any(|c| &*c.field == "name" && matches!(&*c.level, "different" | "surname" | "given"));
        (self.model.edge_score(&comparison, self.frequencies.records()), other_name)
    }

    /// A number made of a record's content, for ties.
    pub(crate) fn order(&self, record: &Record) -> u64 {
        self.keys(record).iter().fold(0_u64, |sum, (key, _)| sum.wrapping_add(*key as u64))
    }
}

/// What tells one way of blocking from another.
pub(crate) fn blocking(model: &Model) -> String {
    hex(&protect::Hash::Sha256.digest(model.blocking().as_bytes())[..8])
}

/// The engine of this process, and when it was last compared with the database.
#[derive(Debug, Default)]
pub(crate) struct Current(RwLock<Option<(Arc<Engine>, DateTime<Utc>)>>);

impl Current {
    /// Forgets it: the next who links reads the model in force.
    pub(crate) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The engine in force.
    pub(crate) async fn get(&self, tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<Arc<Engine>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((engine, looked)) = &known
            && now.signed_duration_since(*looked).abs() < LOOK_AGAIN
        {
            return Ok(engine.clone());
        }
        let id: i64 = sqlx::query_scalar("select coalesce((select id from person_model where in_force), 0)")
            .fetch_one(&mut **tx)
            .await
            .db("look which comparison model is in force")?;
        let engine = match known {
            Some((engine, _)) if engine.id == id => engine,
            _ => Arc::new(read(tx, id).await?),
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((engine.clone(), now));
        Ok(engine)
    }
}

/// Reads a model; 0 is the shipped one.
pub(crate) async fn read(tx: &mut Tx<'_>, id: i64) -> Result<Engine> {
    if id == 0 {
        let records: i64 = sqlx::query_scalar(
            "select greatest(reltuples, 0)::bigint from pg_class where oid = 'identity_record'::regclass",
        )
        .fetch_one(&mut **tx)
        .await
        .db("estimate how many records there are")?;
        return Engine::shipped(records.unsigned_abs(), tx.keyring());
    }
    let row = sqlx::query("select definition, parameters, frequencies from person_model where id = $1")
        .bind(id)
        .fetch_one(&mut **tx)
        .await
        .db("read a comparison model")?;
    let (definition, parameters, frequencies): (String, Option<serde_json::Value>, Option<Vec<u8>>) =
        (|| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))().db("read a comparison model")?;
    let mut model = Model::parse(&definition).map_err(|e| Error::fault("read a comparison model", e))?;
    if let Some(parameters) = parameters {
        let trained: Trained = serde_json::from_value(parameters).doing("read trained parameters")?;
        model = model.with_trained(&trained);
    }
    let frequencies = match frequencies {
        Some(bytes) => crate::runs::counts::decode(&bytes)?,
        None => Frequencies::default(),
    };
    Engine::new(id, model, frequencies, tx.keyring())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn known(name: &str, phone: &str) -> Known {
        Known {
            name: name.into(),
            sex: "1".into(),
            birth_date: chrono::NaiveDate::from_ymd_opt(1980, 3, 14),
            phone: phone.into(),
            ..Known::default()
        }
    }

    #[test]
    fn before_anything_was_counted_name_and_birth_alone_do_not_link() {
        let engine = Engine::shipped(0, &testkit::keyring()).unwrap();
        let prepare = |name, phone| engine.prepare(&known(name, phone), false);
        for (a, b, links) in [
            (("张伟", ""), ("张伟", ""), false),
            (("张伟", "13812345678"), ("张伟", "13812345678"), true),
            (("张伟", "13812345678"), ("张强", "13812345678"), false),
        ] {
            let (a, b) = (prepare(a.0, a.1), prepare(b.0, b.1));
            let (score, _) = engine.score(&a, &b);
            let shown = engine.compare(&a, &b);
            assert_eq!(
                score >= engine.link,
                links,
                "{score} of {}: {shown:?}, prior {}",
                engine.link,
                engine.prior
            );
        }
    }

    #[test]
    fn a_family_whose_cards_follow_one_another_stays_two_people() {
        let engine = Engine::shipped(0, &testkit::keyring()).unwrap();
        let mother = Known {
            card_no: "60100000731".into(),
            address: "幸福村三组12号".into(),
            region: "411503100201".into(),
            contact_phone: "13912345678".into(),
            sex: "2".into(),
            ..known("刘梓可", "13812345678")
        };
        let child = Known {
            name: "吴沐宇".into(),
            sex: "1".into(),
            birth_date: chrono::NaiveDate::from_ymd_opt(2026, 3, 2),
            card_no: "60100000732".into(),
            ..mother.clone()
        };
        let (score, _) = engine.score(&engine.prepare(&mother, false), &engine.prepare(&child, false));
        assert!(score < engine.review, "{score} of {}", engine.review);
    }
}
