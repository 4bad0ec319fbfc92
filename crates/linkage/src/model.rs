//! The comparison model: what is compared, how, and with what weight; read from `catalog/person-index/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::keys::BlockRule;
use crate::kind::Kind;
use crate::score::Weights;
use crate::train::Trained;
use crate::value::{Hasher, Record};

/// Most fields a model may have: a pattern of levels is one 64-bit number.
pub(crate) const MOST_FIELDS: usize = 16;

/// What is wrong with a model, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("比对模型有误（{place}）：{problem}")]
pub struct ModelError {
    /// The place in the file: a line, or the table and name.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl ModelError {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// A comparison model with its parameters. Cheap to share behind an `Arc`; never changed once made.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) version: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) blocks: Vec<BlockRule>,
    pub(crate) vetoes: Vec<When>,
    pub(crate) rules: Vec<When>,
    pub(crate) doubts: Vec<When>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) link: f64,
    pub(crate) review: f64,
    pub(crate) matches_per_record: f64,
    pub(crate) weights: Weights,
    pub(crate) hasher: Hasher,
}

/// One compared field.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: String,
    /// What people call it (Chinese).
    pub label: String,
    pub kind: Kind,
    /// Whether the weight of agreement follows the frequency of the value.
    pub frequency: bool,
    /// Two different valid values never belong to one person.
    pub exclusive: bool,
    /// The field whose value may stand here by mistake: given name and surname exchanged.
    pub swap: Option<usize>,
    /// The field with the date of birth that a citizen number must agree with to count as the person's own.
    pub born: Option<usize>,
    /// The field with the name of a parent: who is called by it with something behind has no name yet.
    pub named_after: Option<usize>,
    /// Level of each outcome of the kind (1 is the best; 0 means that a value is missing).
    pub level_of: [u8; 12],
    pub levels: Vec<Level>,
}

/// One level of agreement.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    pub name: String,
    pub m: f64,
    pub u: f64,
}

/// A condition on levels, by name: a veto (never linked), a doubt (people look), a deterministic rule (linked).
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub name: String,
    /// Field and the set of its levels (bit 0: missing) that satisfy the condition.
    pub all: Vec<(usize, u16)>,
}

impl When {
    pub(crate) fn holds(&self, pattern: u64) -> bool {
        self.all.iter().all(|(field, levels)| levels >> level(pattern, *field) & 1 == 1)
    }
}

/// The level of a field in a pattern.
pub(crate) const fn level(pattern: u64, field: usize) -> usize {
    (pattern >> (4 * field) & 15) as usize
}

/// A way in which two different people are alike: of one household, twins.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub name: String,
    /// Of an average registration: how many registrations are of such relatives.
    pub per_record: f64,
    /// By field: how its levels are distributed among such pairs.
    pub fields: Vec<Like>,
}

/// Distribution of a field among related people.
#[derive(Debug, Clone)]
pub(crate) enum Like {
    /// As among strangers.
    Strangers,
    /// As among registrations of one person: they share it.
    Same,
    /// Its own shares, by level.
    Own(Vec<f64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(default = "half")]
    matches_per_record: f64,
    thresholds: Thresholds,
    field: Vec<FieldEntry>,
    #[serde(default)]
    block: Vec<BlockEntry>,
    #[serde(default)]
    veto: Vec<WhenEntry>,
    #[serde(default)]
    rule: Vec<WhenEntry>,
    #[serde(default)]
    doubt: Vec<WhenEntry>,
    #[serde(default)]
    relation: Vec<RelationEntry>,
}

const fn half() -> f64 {
    0.5
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    link: f64,
    review: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldEntry {
    name: String,
    #[serde(default)]
    label: String,
    kind: Kind,
    #[serde(default)]
    frequency: bool,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    swap: Option<String>,
    #[serde(default)]
    born: Option<String>,
    #[serde(default)]
    named_after: Option<String>,
    #[serde(default)]
    levels: Vec<LevelEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelEntry {
    name: String,
    #[serde(default)]
    m: Option<f64>,
    #[serde(default)]
    u: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockEntry {
    name: String,
    on: Vec<String>,
    #[serde(default = "usual_cap")]
    cap: u32,
}

const fn usual_cap() -> u32 {
    200
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenEntry {
    name: String,
    when: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelationEntry {
    name: String,
    per_record: f64,
    #[serde(default)]
    shares: Vec<String>,
    #[serde(default)]
    levels: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// Names the line, or the entry, that is wrong.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            ModelError::new(format!("第 {line} 行"), e.message().to_owned())
        })?;
        let mut fields: Vec<Field> = Vec::with_capacity(file.field.len());
        for entry in &file.field {
            if fields.iter().any(|f| f.name == entry.name) {
                return Err(ModelError::new(format!("field {}", entry.name), "字段重复"));
            }
            fields.push(field(entry)?);
        }
        if fields.is_empty() || fields.len() > MOST_FIELDS {
            return Err(ModelError::new("field", format!("字段数应为 1 至 {MOST_FIELDS}")));
        }
        for (at, entry) in file.field.iter().enumerate() {
            let place = format!("field {}", entry.name);
            let other = |name: &Option<String>, kind: Option<Kind>| match name {
                None => Ok(None),
                Some(name) => {
                    let found = index(&fields, name, &place)?;
                    if kind.is_some_and(|k| fields[found].kind != k) {
                        return Err(ModelError::new(&place, format!("字段“{name}”的类别不合用")));
                    }
                    Ok(Some(found))
                }
            };
            let links = [
                other(&entry.swap, None)?,
                other(&entry.born, Some(Kind::Date))?,
                other(&entry.named_after, Some(Kind::ChineseName))?,
            ];
            [fields[at].swap, fields[at].born, fields[at].named_after] = links;
        }
        let Thresholds { link, review } = file.thresholds;
        if !(0.0..1.0).contains(&review) || !(0.0..1.0).contains(&link) || review > link {
            return Err(ModelError::new("thresholds", "应为 0 ≤ review ≤ link < 1"));
        }
        let blocks = (file.block.iter())
            .map(|b| {
                BlockRule::parse(&b.name, &b.on, b.cap, &fields)
                    .map_err(|e| ModelError::new(format!("block {}", b.name), e))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let vetoes = conditions(&file.veto, "veto", &fields)?;
        let rules = conditions(&file.rule, "rule", &fields)?;
        let doubts = conditions(&file.doubt, "doubt", &fields)?;
        let relations = file.relation.iter().map(|r| relation(r, &fields)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::assemble(Self {
            version: file.version,
            fields,
            blocks,
            vetoes,
            rules,
            doubts,
            relations,
            link,
            review,
            matches_per_record: file.matches_per_record,
            weights: Weights::default(),
            hasher: Hasher::default(),
        }))
    }

    pub(crate) fn assemble(mut model: Self) -> Self {
        model.weights = Weights::of(&model);
        model
    }

    /// The model for registrations of the Chinese population (`catalog/person-index/china.toml`), as shipped.
    ///
    /// # Errors
    /// Never with the shipped file, which a test reads.
    pub fn china() -> Result<Self, ModelError> {
        Self::parse(include_str!("../../../catalog/person-index/china.toml"))
    }

    /// The name of this version of the model; every decision records it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Names and Chinese labels of the fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|f| (f.name.as_str(), f.label.as_str()))
    }

    /// Names of the blocking rules with the greatest number of registrations that a key of theirs may have: a key
    /// with more is passed over, the narrower rules find its pairs.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, u32)> {
        self.blocks.iter().map(|b| (b.name.as_str(), b.cap))
    }

    /// The blocking rules in words, in order: two models with the same words make the same keys.
    #[must_use]
    pub fn blocking(&self) -> String {
        let mut words = String::new();
        for block in &self.blocks {
            words.push_str(&block.name);
            for (field, part) in &block.parts {
                words.push_str(&format!(" {}:{part:?}", self.fields[*field].name));
            }
            words.push('\n');
        }
        words
    }

    /// Names of the fields whose agreement is weighed by the frequency of the value.
    pub fn weighed_by_frequency(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|f| f.frequency).map(|f| f.name.as_str())
    }

    /// The same model with hashes (blocking keys, frequencies, exclusive values) keyed by a secret, so that they tell
    /// nothing to who reads them from a database. Records and frequencies of different secrets do not go together.
    #[must_use]
    pub fn with_secret(mut self, secret: [u8; 32]) -> Self {
        self.hasher = Hasher::keyed(secret);
        self
    }

    /// The same model with other thresholds (probabilities).
    #[must_use]
    pub const fn with_thresholds(mut self, link: f64, review: f64) -> Self {
        self.link = link;
        self.review = review;
        self
    }

    /// The probabilities from which two records are linked, and from which they are looked at by people.
    #[must_use]
    pub const fn thresholds(&self) -> (f64, f64) {
        (self.link, self.review)
    }

    /// The model with learnt parameters in the place of the guesses. Fields and levels go by name; what was not
    /// learnt keeps its guess. The version becomes that of the parameters.
    #[must_use]
    pub fn with_trained(mut self, trained: &Trained) -> Self {
        for learnt in &trained.fields {
            let Some(field) = self.fields.iter_mut().find(|f| f.name == learnt.name) else { continue };
            for level in &mut field.levels {
                if let Some(l) = learnt.levels.iter().find(|l| l.name == level.name) {
                    level.m = l.m;
                    level.u = l.u;
                }
            }
        }
        for learnt in &trained.relations {
            if let Some(relation) = self.relations.iter_mut().find(|r| r.name == learnt.name) {
                relation.per_record = learnt.per_record;
            }
        }
        self.matches_per_record = trained.matches_per_record;
        self.version.clone_from(&trained.version);
        Self::assemble(self)
    }

    /// Prepares a registration: values by the names of the model's fields, as they were sent; names that the model
    /// does not have, empty values and words that mean "unknown" count as missing.
    pub fn prepare<'a>(&self, values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Record {
        let mut record = Record::empty(self.fields.len());
        for (name, text) in values {
            if let Some(at) = self.fields.iter().position(|f| f.name == name) {
                record.set(at, self.fields[at].kind, text, &self.hasher);
            }
        }
        self.reconcile(&mut record);
        record
    }

    /// Values of one registration that contradict each other: a citizen number that tells another birth is somebody
    /// else's (a newborn under the mother's, a borrowed card); 张丽宝 of the mother 张丽 has no name yet.
    fn reconcile(&self, record: &mut Record) {
        for (at, field) in self.fields.iter().enumerate() {
            if let Some(born) = field.born
                && let (Some(number), Some(date)) = (record.value(at), record.value(born))
                && number.tells_another_birth(date)
            {
                record.doubt(at);
            }
            if let Some(parent) = field.named_after
                && let (Some(name), Some(parent)) = (record.value(at), record.value(parent))
                && let Some(unnamed) = name.without_name(parent)
            {
                record.replace(at, unnamed);
            }
        }
    }

    /// Prepares a registration whose values stand in the order of the model's fields.
    #[must_use]
    pub fn prepare_in_order(&self, values: &[&str]) -> Record {
        let mut record = Record::empty(self.fields.len());
        for (at, (field, text)) in self.fields.iter().zip(values).enumerate() {
            record.set(at, field.kind, text, &self.hasher);
        }
        self.reconcile(&mut record);
        record
    }

    /// The values whose frequency counts: name of the field and hash of the value.
    pub fn counted<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = (&'a str, u64)> {
        (self.fields.iter().zip(record.values()))
            .filter(|(field, _)| field.frequency)
            .filter_map(|(field, value)| value.as_ref().map(|v| (field.name.as_str(), v.group)))
    }

    /// The exclusive value of a record, such as its valid citizen number: nobody has two. `None` when it has none.
    #[must_use]
    pub fn exclusive(&self, record: &Record) -> Option<u64> {
        (self.fields.iter().zip(record.values()))
            .find(|(field, value)| {
                field.exclusive && value.as_ref().is_some_and(crate::value::Value::is_valid)
            })
            .and_then(|(_, value)| value.as_ref().map(|v| v.hash))
    }
}

fn field(entry: &FieldEntry) -> Result<Field, ModelError> {
    let place = format!("field {}", entry.name);
    let outcomes = entry.kind.outcomes();
    let named: Vec<&str> = if entry.levels.is_empty() {
        outcomes.to_vec()
    } else {
        entry.levels.iter().map(|l| l.name.as_str()).collect()
    };
    let mut at = Vec::with_capacity(named.len());
    for name in &named {
        let Some(outcome) = outcomes.iter().position(|o| o == name) else {
            return Err(ModelError::new(
                place,
                format!("没有比对结果“{name}”，可用的有：{}", outcomes.join("、")),
            ));
        };
        if at.last().is_some_and(|last| *last >= outcome) {
            return Err(ModelError::new(place, format!("“{name}”的次序不对，应从最一致到最不一致")));
        }
        at.push(outcome);
    }
    // An outcome that is not listed belongs to the next worse level that is; the worst listed takes the rest.
    let mut level_of = [0_u8; 12];
    for (outcome, slot) in level_of.iter_mut().enumerate().take(outcomes.len()) {
        let level = at.iter().position(|a| *a >= outcome).unwrap_or(at.len() - 1);
        *slot = level as u8 + 1;
    }
    let sum = |from: &[f64], level: usize| -> f64 {
        (from.iter().enumerate())
            .filter(|(o, _)| usize::from(level_of[*o]) == level + 1)
            .map(|(_, p)| p)
            .sum()
    };
    let levels = (named.iter().enumerate())
        .map(|(level, name)| {
            let given = entry.levels.get(level);
            Level {
                name: (*name).to_owned(),
                m: given.and_then(|l| l.m).unwrap_or_else(|| sum(entry.kind.guess(), level)),
                u: given.and_then(|l| l.u).unwrap_or_else(|| sum(entry.kind.guess_apart(), level)),
            }
        })
        .collect::<Vec<_>>();
    if let Some(bad) = levels.iter().find(|l| !(l.m > 0.0 && l.m <= 1.0 && l.u > 0.0 && l.u <= 1.0)) {
        return Err(ModelError::new(place, format!("“{}”的 m、u 应大于 0、不大于 1", bad.name)));
    }
    let label = if entry.label.is_empty() { entry.name.clone() } else { entry.label.clone() };
    Ok(Field {
        name: entry.name.clone(),
        label,
        kind: entry.kind,
        frequency: entry.frequency,
        exclusive: entry.exclusive,
        swap: None,
        born: None,
        named_after: None,
        level_of,
        levels,
    })
}

pub(crate) fn index(fields: &[Field], name: &str, place: &str) -> Result<usize, ModelError> {
    fields
        .iter()
        .position(|f| f.name == name)
        .ok_or_else(|| ModelError::new(place, format!("没有字段“{name}”")))
}

fn conditions(entries: &[WhenEntry], table: &str, fields: &[Field]) -> Result<Vec<When>, ModelError> {
    entries
        .iter()
        .map(|entry| {
            let place = format!("{table} {}", entry.name);
            let mut all = Vec::new();
            for (name, levels) in &entry.when {
                let at = index(fields, name, &place)?;
                let mut set = 0_u16;
                for level in levels {
                    set |= match level.as_str() {
                        "missing" => 1,
                        other => {
                            2 << fields[at].levels.iter().position(|l| l.name == other).ok_or_else(|| {
                                ModelError::new(&place, format!("字段“{name}”没有“{other}”这一级"))
                            })?
                        }
                    };
                }
                all.push((at, set));
            }
            if all.is_empty() {
                return Err(ModelError::new(place, "when 不能为空"));
            }
            Ok(When { name: entry.name.clone(), all })
        })
        .collect()
}

fn relation(entry: &RelationEntry, fields: &[Field]) -> Result<Relation, ModelError> {
    let place = format!("relation {}", entry.name);
    let mut like = vec![Like::Strangers; fields.len()];
    for name in &entry.shares {
        like[index(fields, name, &place)?] = Like::Same;
    }
    for (name, shares) in &entry.levels {
        let at = index(fields, name, &place)?;
        let mut own = vec![0.0; fields[at].levels.len()];
        for (level, share) in shares {
            let l = fields[at]
                .levels
                .iter()
                .position(|l| l.name == *level)
                .ok_or_else(|| ModelError::new(&place, format!("字段“{name}”没有“{level}”这一级")))?;
            own[l] = *share;
        }
        let rest = 1.0 - own.iter().sum::<f64>();
        if rest < -1e-9 {
            return Err(ModelError::new(place, format!("字段“{name}”各级之和大于 1")));
        }
        // What is left over is spread as among strangers.
        let open: f64 =
            own.iter().zip(&fields[at].levels).filter(|(o, _)| **o == 0.0).map(|(_, l)| l.u).sum();
        for (o, l) in own.iter_mut().zip(&fields[at].levels) {
            if *o == 0.0 {
                *o = (rest * l.u / open.max(1e-12)).max(1e-9);
            }
        }
        like[at] = Like::Own(own);
    }
    Ok(Relation { name: entry.name.clone(), per_record: entry.per_record, fields: like })
}
