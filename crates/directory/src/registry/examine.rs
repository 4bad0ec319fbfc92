//! From typed texts to what is written: every door (form, spreadsheet, JSON) goes through [`Registries::examine`].

use std::collections::{HashMap, HashSet};

use catalog::{Checker, Owner, Pick, RawRow, Register, Value};
use chrono::{NaiveDate, NaiveDateTime};
use contracts::{InstitutionCard, Institutions};
use kernel::{Reach, RegionCode, Result};
use serde_json::{Map, json};
use std::sync::Arc;

use super::Registries;
use super::guard::Guard;
use super::model::{Entry, as_text};

/// Texts by field, in the order of the register's fields.
pub type Texts = Vec<String>;

/// Something that is wrong, or ought to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub field: Option<usize>,
    /// What is wrong and how to mend it, in Chinese.
    pub message: String,
    /// Whether it cannot be stored so.
    pub reject: bool,
}

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The register.
    pub register: Arc<Register>,
    /// The entry that is changed; `None`: a new one.
    pub entry: Option<i64>,
    /// The version that was seen; a later one refuses.
    pub base_version: Option<i32>,
    /// The institution it is or belongs to; `None` for an institution that does not exist yet.
    pub institution: Option<i32>,
    /// The member of staff whose it is.
    pub parent: Option<i64>,
    /// What makes it the same within its owner.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Values.
    pub content: Map<String, serde_json::Value>,
    /// Sealed values.
    pub guarded: Map<String, serde_json::Value>,
    /// When it runs out.
    pub expires_on: Option<NaiveDate>,
    /// Completeness.
    pub score: i16,
    /// How it stands, as in the database.
    pub state: &'static str,
    /// What is done.
    pub change: &'static str,
    /// Institution that carries on.
    pub merged_into: Option<i32>,
}

/// Members of staff by institution and number, for parts of staff; looked up before, in one query.
pub type StaffIndex = HashMap<(i64, String), i64>;

/// What an examination found.
#[derive(Debug)]
pub struct Examined {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What would be written; `None` where something rejects.
    pub draft: Option<Draft>,
}

impl Examined {
    /// The sentences of what rejects, in one line.
    pub fn reasons(&self) -> String {
        let list: Vec<&str> = self.findings.iter().filter(|f| f.reject).map(|f| f.message.as_str()).collect();
        list.join("；")
    }
}

/// Whether a field only says whose the entry is and is not part of its content.
pub(crate) fn locates(register: &Register, name: &str) -> bool {
    match register.owner {
        Owner::Itself => false,
        Owner::Institution => name == "institution",
        Owner::Staff => matches!(name, "institution" | "staff_no"),
    }
}

fn to_json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) => json!(&**text),
        Value::Integer(number) => json!(number),
        Value::Decimal(number) => json!(number.to_string().parse::<f64>().ok()?),
        Value::Date(day) => json!(day.to_string()),
        Value::DateTime(time) => json!(time.format("%Y-%m-%dT%H:%M:%S").to_string()),
        Value::Boolean(yes) => json!(yes),
    })
}

/// How much of what is required or recommended is there, 0 … 100.
pub(crate) fn completeness(register: &Register, has: impl Fn(&str) -> bool) -> i16 {
    let wanted = register.dataset.fields.iter().filter(|f| f.required || f.recommended);
    let (mut all, mut there) = (0i32, 0i32);
    for field in wanted.filter(|f| !locates(register, &f.name)) {
        all += 1;
        there += i32::from(has(&field.name));
    }
    if all == 0 { 100 } else { i16::try_from(there * 100 / all).unwrap_or(0) }
}

/// Titles of what is required or recommended and missing.
pub(crate) fn missing<'r>(register: &'r Register, entry: &Entry) -> Vec<&'r str> {
    register
        .dataset
        .fields
        .iter()
        .filter(|f| (f.required || f.recommended) && !locates(register, &f.name))
        .filter(|f| !entry.content.contains_key(&f.name) && !entry.guarded.contains_key(&f.name))
        .map(|f| f.title.as_str())
        .collect()
}

/// Checks many texts of one register with one compiled checker.
pub(crate) struct Examiner<'a> {
    registries: &'a Registries,
    register: &'a Arc<Register>,
    checker: Checker,
    now: NaiveDateTime,
    staff: &'a StaffIndex,
    beside: HashSet<String>,
}

impl Registries {
    pub(crate) fn examiner<'a>(&'a self, register: &'a Arc<Register>, staff: &'a StaffIndex) -> Examiner<'a> {
        let checker = Checker::new(&register.dataset, self.directory.tables_now());
        Examiner {
            registries: self,
            register,
            checker,
            now: self.clock.local(),
            staff,
            beside: HashSet::new(),
        }
    }

    /// The texts of an entry, as a form shows them; guarded ones in clear only when `open`.
    pub(crate) fn texts_of(&self, register: &Register, entry: &Entry, open: bool) -> Result<Texts> {
        let guard = Guard::new(self.db.keyring());
        let institution = self.directory.by_id(entry.institution);
        let mut texts = Texts::with_capacity(register.dataset.fields.len());
        for (position, field) in register.dataset.fields.iter().enumerate() {
            texts.push(match field.name.as_str() {
                "institution" if locates(register, "institution") => {
                    institution.as_ref().map(|c| c.code.clone()).unwrap_or_default()
                }
                "staff_no" if locates(register, "staff_no") => entry.parent_key.clone(),
                name if register.is_guarded(position) => match entry.guarded.get(name) {
                    Some(sealed) if open => guard.open(name, sealed)?,
                    Some(sealed) => guard.masked(name, sealed)?,
                    None => String::new(),
                },
                name => entry.content.get(name).map(as_text).unwrap_or_default(),
            });
        }
        Ok(texts)
    }
}

impl Examiner<'_> {
    /// The form in which a text is compared and kept.
    fn canonical(&self, position: usize, text: &str) -> String {
        let text = text.trim();
        match self.register.picks.get(position).copied().flatten() {
            Some(Pick::Institution) => standards::width::fold(text).to_uppercase(),
            Some(Pick::Region) => {
                let text = standards::width::fold(text);
                RegionCode::parse(&text).map_or_else(|_| text.to_string(), |code| code.as_str().to_owned())
            }
            _ if matches!(self.register.dataset.fields[position].name.as_str(), "code" | "staff_no")
                && self.register.dataset.key.contains(&position) =>
            {
                let text = standards::width::fold(text);
                if self.register.owner == Owner::Itself { text.to_uppercase() } else { text.into_owned() }
            }
            _ => text.to_owned(),
        }
    }

    /// The institution that the texts name, if it is registered and in reach.
    pub fn institution(
        &self,
        reach: &Reach,
        texts: &[String],
    ) -> std::result::Result<Arc<InstitutionCard>, Finding> {
        let field = self.register.field("institution");
        let code = field.map(|f| self.canonical(f, &texts[f])).unwrap_or_default();
        let card = self.registries.directory.by_code(&code).filter(|c| reach.covers(c.id, &c.region));
        card.ok_or_else(|| Finding {
            field,
            message: if code.is_empty() {
                "请填写机构代码".to_owned()
            } else {
                format!("机构代码“{code}”没有登记，或不在您的管辖范围内；请核对代码，或先登记这家机构")
            },
            reject: true,
        })
    }

    /// Where the entry that texts name is to be found: institution (0 for one that is not registered), member of staff
    /// (0 for none) and key; `None` where they do not say.
    pub fn place(&self, reach: &Reach, texts: &[String]) -> Option<(i32, i64, String)> {
        let register = self.register;
        let key: Vec<String> =
            register.dataset.key.iter().map(|at| self.key_text(*at, &texts[*at])).collect();
        if key.iter().any(String::is_empty) {
            return None;
        }
        let key = key.join("|");
        if register.owner == Owner::Itself {
            let known = self.registries.directory.by_code(&key);
            return Some((known.map_or(0, |card| card.id.get() as i32), 0, key));
        }
        let institution = self.institution(reach, texts).ok()?.id;
        let parent = match (register.owner, register.field("staff_no")) {
            (Owner::Staff, Some(at)) => {
                *self.staff.get(&(institution.get(), self.canonical(at, &texts[at])))?
            }
            _ => 0,
        };
        Some((institution.get() as i32, parent, key))
    }

    /// A field's text as it stands in a key: codes by code, days and numbers in one form.
    fn key_text(&self, at: usize, text: &str) -> String {
        let text = self.canonical(at, text);
        let kind = &self.register.dataset.fields[at].kind;
        if let catalog::FieldKind::Code { table, .. } = kind {
            let tables = self.registries.directory.tables_now();
            return tables.get(table).and_then(|t| t.resolve(&text)).unwrap_or(&text).to_owned();
        }
        catalog::check::read_value(kind, &text).and_then(|v| to_json(&v)).map_or(text, |v| as_text(&v))
    }

    /// The same, for rows of one file: institutions may name others that the file brings along.
    pub(crate) fn beside<'t>(mut self, codes: impl Iterator<Item = &'t str>) -> Self {
        if let Some(at) = self.register.field("code").filter(|_| self.register.owner == Owner::Itself) {
            self.beside = codes.map(|code| self.canonical(at, code)).collect();
        }
        self
    }

    /// What is said of a row: what rejects it comes first, what is only recommended in one breath at the end.
    pub(crate) fn sentence(&self, texts: &[String], findings: &[Finding]) -> String {
        let fields = &self.register.dataset.fields;
        let recommended = |f: &&Finding| {
            !f.reject && f.field.is_some_and(|at| fields[at].recommended && texts[at].is_empty())
        };
        let (empty, mut told): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(recommended);
        told.sort_by_key(|f| !f.reject);
        let mut sentences: Vec<String> = told.iter().map(|f| f.message.clone()).collect();
        if !empty.is_empty() {
            let titles: Vec<&str> =
                empty.iter().filter_map(|f| Some(fields[f.field?].title.as_str())).collect();
            sentences.push(format!("建议补填：{}", titles.join("、")));
        }
        sentences.join("；")
    }

    /// Checks texts; `before` is the entry that they change.
    pub fn examine(&self, reach: &Reach, texts: &[String], before: Option<&Entry>) -> Result<Examined> {
        let register = self.register;
        let fields = &register.dataset.fields;
        let texts: Vec<String> =
            texts.iter().enumerate().map(|(at, text)| self.canonical(at, text)).collect();
        let cells = texts.iter().map(|t| (!t.is_empty()).then(|| t.as_str().into())).collect();
        let checked = self.checker.check(&RawRow { number: 1, cells }, self.now);
        let mut findings: Vec<Finding> = checked
            .issues
            .iter()
            .map(|issue| {
                let rule = &register.dataset.rules[usize::from(issue.rule)];
                let message = match rule.hint.is_empty() {
                    true => rule.message.clone(),
                    false => format!("{}。{}", rule.message, rule.hint),
                };
                let incomplete = matches!(rule.check, catalog::Check::InTable)
                    && issue.field.is_some_and(|f| self.is_partial(usize::from(f)));
                Finding { field: issue.field.map(usize::from), message, reject: rule.reject && !incomplete }
            })
            .collect();
        let mut institution = before.map(|e| e.institution);
        let mut parent = before.and_then(|e| e.parent);
        if register.owner == Owner::Itself {
            self.check_region(reach, &texts, &mut findings);
        } else {
            match self.institution(reach, &texts) {
                Ok(card) => institution = Some(card.id),
                Err(finding) => findings.push(finding),
            }
        }
        if register.owner == Owner::Staff
            && let (Some(field), Some(at)) = (register.field("staff_no"), institution)
        {
            parent = self.staff.get(&(at.get(), texts[field].clone())).copied();
            if parent.is_none() {
                findings.push(Finding {
                    field: Some(field),
                    message: format!("该机构没有登记工号为“{}”的人员；请先登记人员", texts[field]),
                    reject: true,
                });
            }
        }
        for (position, pick) in register.picks.iter().enumerate() {
            if *pick == Some(Pick::Institution)
                && !locates(register, &fields[position].name)
                && !texts[position].is_empty()
                // What stands there already does not hinder other changes.
                && before.is_none_or(|e| e.text(&fields[position].name) != texts[position])
                && let Some(wrong) = self.above(&texts, position)
            {
                let message = format!("{}：{wrong}", fields[position].title);
                findings.push(Finding { field: Some(position), message, reject: true });
            }
        }
        let draft = match findings.iter().any(|f| f.reject) {
            true => None,
            false => {
                let institution = institution.map(|i| i.get() as i32);
                Some(self.draft(&checked.values, &texts, institution, parent, before)?)
            }
        };
        Ok(Examined { findings, draft })
    }

    /// What is wrong with an institution that an entry names.
    fn above(&self, texts: &[String], position: usize) -> Option<String> {
        let code = &texts[position];
        let own = self.register.field("code").filter(|_| self.register.owner == Owner::Itself);
        if own.is_some_and(|at| texts[at] == *code) {
            return Some("不能是本机构自己".to_owned());
        }
        let there = self.beside.contains(code) || self.registries.directory.by_code(code).is_some();
        (!there).then(|| format!("没有登记代码为“{code}”的机构"))
    }

    fn is_partial(&self, field: usize) -> bool {
        match &self.register.dataset.fields[field].kind {
            catalog::FieldKind::Code { table, .. } => {
                self.registries.directory.tables_now().get(table).is_none_or(|t| !t.complete)
            }
            _ => false,
        }
    }

    fn check_region(&self, reach: &Reach, texts: &[String], findings: &mut Vec<Finding>) {
        let Some(field) = self.register.field("region") else { return };
        let Ok(code) = RegionCode::parse(&texts[field]) else { return };
        let own = self.register.field("code").and_then(|f| self.registries.directory.by_code(&texts[f]));
        let inside = reach.covers_region(&code) || own.is_some_and(|card| reach.covers(card.id, &code));
        if !inside {
            findings.push(Finding {
                field: Some(field),
                message: format!(
                    "{}不在您的管辖范围内，不能登记那里的机构",
                    self.registries.directory.region_name(&code)
                ),
                reject: true,
            });
        } else if !self.registries.directory.knows_region(&code) {
            findings.push(Finding {
                field: Some(field),
                message: format!("行政区划“{code}”不在已载入的区划清单中，请核对"),
                reject: false,
            });
        }
    }

    fn draft(
        &self,
        values: &[Value],
        texts: &[String],
        institution: Option<i32>,
        parent: Option<i64>,
        before: Option<&Entry>,
    ) -> Result<Draft> {
        let register = self.register;
        let mut guard = Guard::new(self.registries.db.keyring());
        let (mut content, mut guarded) = (Map::new(), Map::new());
        for (position, field) in register.dataset.fields.iter().enumerate() {
            let value = values.get(position).unwrap_or(&Value::Null);
            if locates(register, &field.name) {
                continue;
            }
            let Some(json) = to_json(value) else { continue };
            if register.is_guarded(position) {
                // Kept as it was sealed while it says the same, so that "nothing changed" can be told.
                let text = as_text(&json);
                let same = match before.and_then(|e| e.guarded.get(&field.name)) {
                    Some(sealed) if guard.open(&field.name, sealed)? == text => Some(sealed.clone()),
                    _ => None,
                };
                let sealed = match same {
                    Some(sealed) => sealed,
                    None => guard.seal(&field.name, &text)?,
                };
                guarded.insert(field.name.clone(), sealed);
            } else {
                content.insert(field.name.clone(), json);
            }
        }
        if register.owner == Owner::Itself
            && !content.contains_key("short_name")
            && let (Some(name), Some(region)) = (content.get("name"), content.get("region"))
            && let Ok(region) = RegionCode::parse(&as_text(region))
        {
            let short = self.registries.directory.short_name(&as_text(name), &region);
            content.insert("short_name".to_owned(), json!(short));
        }
        let key: Vec<String> =
            register.dataset.key.iter().map(|at| self.key_text(*at, &texts[*at])).collect();
        let name = self.registries.title(register, &content);
        let day = |p: usize| values.get(p).and_then(Value::date);
        let changed_name = before.is_some_and(|e| e.name != name) && register.owner == Owner::Itself;
        Ok(Draft {
            entry: before.map(|e| e.id),
            base_version: before.map(|e| e.version),
            institution,
            parent,
            key: key.join("|"),
            name,
            expires_on: register.expires.and_then(day),
            score: completeness(register, |field| content.contains_key(field) || guarded.contains_key(field)),
            state: before.map_or("active", |e| e.state.word()),
            change: match before {
                None => "registered",
                Some(_) if changed_name => "renamed",
                Some(_) => "changed",
            },
            merged_into: before.and_then(|e| e.merged_into).map(|i| i.get() as i32),
            content,
            guarded,
            register: Arc::clone(register),
        })
    }
}
