//! The compiled form of the definitions: what the engines (store, intake, browser, forms) read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codes::CodeTables;
use crate::protection::{Masks, Protection};
use crate::register::Register;
use crate::role::Role;

/// Everything under `catalog/`, compiled and cross-checked.
#[derive(Debug)]
pub struct Catalog {
    /// Data sets in the order of their file names; a data set's position is its [`Dataset::number`] only by definition, not by order.
    pub datasets: Vec<Arc<Dataset>>,
    /// From code and every alias (upper-cased) to the position in `datasets`.
    pub by_code: HashMap<String, usize>,
    /// The shipped code tables; complete national tables are laid over them from the database.
    pub tables: CodeTables,
    /// Role templates.
    pub roles: Vec<Role>,
    /// How the total quality score is made of its four parts.
    pub quality: QualityWeights,
    /// The menu of the desk, in order.
    pub menu: Vec<MenuItem>,
    /// What an operator may set, of every part.
    pub settings: Vec<Setting>,
    /// Patterns in the audit trail that somebody should look at.
    pub alerts: Vec<AlertRule>,
    /// Sensitive categories, levels of protection, classes of files.
    pub protection: Arc<Protection>,
    /// What is masked on screens, and for whom.
    pub masks: Arc<Masks>,
    /// The registers of institutions, staff and what belongs to them.
    pub registers: Vec<Arc<Register>>,
    /// What becomes of the fields of an extract.
    pub deidentify: crate::deidentify::Deidentify,
}

impl Catalog {
    /// The data set with this code or alias (case does not matter).
    pub fn dataset(&self, code: &str) -> Option<&Arc<Dataset>> {
        self.by_code.get(code).or_else(|| self.by_code.get(&code.to_uppercase())).map(|i| &self.datasets[*i])
    }
    /// The setting with this code.
    pub fn setting(&self, code: &str) -> Option<&Setting> {
        self.settings.iter().find(|s| s.code == code)
    }
    /// The role with this code.
    pub fn role(&self, code: &str) -> Option<&Role> {
        self.roles.iter().find(|r| r.code == code)
    }
    /// The register with this code.
    pub fn register(&self, code: &str) -> Option<&Arc<Register>> {
        self.registers.iter().find(|r| r.code() == code)
    }
    /// The data set with this number.
    pub fn dataset_by_number(&self, number: i16) -> Option<&Arc<Dataset>> {
        self.datasets.iter().find(|d| d.number == number)
    }
}

/// One data set (数据集): a table that institutions upload.
#[derive(Debug)]
pub struct Dataset {
    /// Stable number stored in index entries and receipts; never reused.
    pub number: i16,
    /// Stable code, e.g. `outpatient_visit`; also the name of its fact table with `fact_` before it.
    pub code: String,
    /// Chinese name.
    pub name: String,
    /// Other names by which it is uploaded, e.g. `TB_YL_MZ_Medical_Record`.
    pub aliases: Vec<String>,
    /// The standard it follows.
    pub standard: String,
    /// Its group in menus, e.g. `医疗服务`.
    pub group: String,
    /// What it is, one sentence in Chinese.
    pub description: String,
    /// Its fields, in order. Positions in this vector are how everything else refers to fields.
    pub fields: Vec<Field>,
    /// Positions of the fields of the business key; with the institution they identify a row. Always required.
    pub key: Vec<usize>,
    /// Position of the time of occurrence, required; `date` or `datetime`.
    pub occurred: usize,
    /// Whose row it is; `None` for data sets without a person.
    pub person: Option<PersonFields>,
    /// Position of the mark 0 new / 1 correction / 2 withdrawal (修改标志), if the data set has one.
    pub revision: Option<usize>,
    /// The parent that each row belongs to, if any.
    pub parent: Option<Parent>,
    /// All rules, implicit ones (type, required, length, code) and written ones; a rule's position is its number.
    pub rules: Vec<Rule>,
    /// How the record browser shows it; `None` keeps it out of the record.
    pub record: Option<RecordView>,
    /// What monitoring expects.
    pub expect: Expectation,
    /// Tells the sensitivity category of a row.
    pub probe: crate::probe::Probe,
}

impl Dataset {
    /// The text field that names what a code field says: `diagnosis_name` beside `diagnosis_code`, or the next text
    /// field whose name ends in `_name`.
    pub fn name_beside(&self, position: usize) -> Option<usize> {
        let own = &self.fields.get(position)?.name;
        let text = |f: &Field| matches!(f.kind, FieldKind::Text { .. });
        let wanted = own.strip_suffix("_code").map(|stem| format!("{stem}_name"));
        let exact = wanted.and_then(|w| self.fields.iter().position(|f| f.name == w && text(f)));
        exact.or_else(|| {
            let near = self.fields.iter().enumerate().skip(position.saturating_sub(2)).take(5);
            near.filter(|(_, f)| f.name.ends_with("_name") && text(f))
                .min_by_key(|(at, _)| at.abs_diff(position))
                .map(|(at, _)| at)
        })
    }
    /// The name of its fact table.
    pub fn table(&self) -> String {
        format!("fact_{}", self.code)
    }
    /// Positions of the fields that are encrypted where they are stored.
    pub fn protected(&self) -> impl Iterator<Item = usize> {
        self.fields.iter().enumerate().filter(|(_, f)| f.protect).map(|(position, _)| position)
    }
    /// Positions of the fields that say whose row it is.
    pub fn person_fields(&self) -> Vec<usize> {
        let Some(p) = &self.person else { return Vec::new() };
        let named = [
            p.name,
            p.sex,
            p.birth_date,
            p.credential_kind,
            p.credential_no,
            p.card_no,
            p.phone,
            p.address,
            p.region,
        ];
        std::iter::once(p.local_no).chain(named.into_iter().flatten()).collect()
    }
    /// The place that a protected field's ciphertext is bound to.
    pub fn place(&self, position: usize) -> String {
        format!("{}.{}", self.table(), self.fields[position].name)
    }
    /// The position of a field by its name.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }
    /// What a breach of a rule means and how to mend it, in Chinese.
    pub fn explain(&self, rule: u16) -> (&str, &str) {
        self.rules.get(usize::from(rule)).map_or(("", ""), |r| (&r.message, &r.hint))
    }
}

/// One field of a data set.
#[derive(Debug, Clone)]
pub struct Field {
    /// Column name, `snake_case`.
    pub name: String,
    /// Chinese name.
    pub title: String,
    /// Data-element identifier (WS/T 363), e.g. `DE02.01.039.00`; empty if the standard has none.
    pub element: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether every row must carry it.
    pub required: bool,
    /// Whether rows ought to carry it: its absence lowers the score but never rejects.
    pub recommended: bool,
    /// Unit shown beside numbers, e.g. `mmHg`; empty if none.
    pub unit: String,
    /// Other headings accepted, compared without regard to case.
    pub aliases: Vec<String>,
    /// How sensitive it is.
    pub sensitivity: Sensitivity,
    /// Whether it is encrypted where it is stored: sensitive text that nothing is searched, joined or listed by.
    pub protect: bool,
}

/// The type of a field and of its database column.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// `text`, at most `max` characters.
    Text {
        /// Greatest length in characters.
        max: u32,
    },
    /// `text`, a code out of a table.
    Code {
        /// Identifier of the code table.
        table: String,
        /// Greatest length in characters.
        max: u32,
    },
    /// `bigint`.
    Integer,
    /// `numeric`.
    Decimal {
        /// Digits after the point.
        scale: u32,
    },
    /// `date`.
    Date,
    /// `timestamp` without zone, China's wall-clock time.
    DateTime,
    /// `boolean`.
    Boolean,
}

/// How sensitive a field is (masking, encryption, de-identification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensitivity {
    /// No restriction beyond the record's own.
    #[default]
    Ordinary,
    /// Identifies the person: name, phone, address, credentials; masked on screens.
    Identifying,
    /// Shown only with a special right: HIV, psychiatric, abortion, genetic …
    Restricted,
}

/// Which fields say whose row it is. Positions in [`Dataset::fields`].
#[derive(Debug, Clone, Default)]
pub struct PersonFields {
    /// The institution's own number of the patient (患者编号): required.
    pub local_no: usize,
    /// Name.
    pub name: Option<usize>,
    /// Sex (GB/T 2261.1).
    pub sex: Option<usize>,
    /// Date of birth.
    pub birth_date: Option<usize>,
    /// Kind of credential (WS/T 364 CV02.01.101; `01` is the citizen identity card).
    pub credential_kind: Option<usize>,
    /// Number of that credential.
    pub credential_no: Option<usize>,
    /// Number of the card presented (health card, insurance card …).
    pub card_no: Option<usize>,
    /// Telephone.
    pub phone: Option<usize>,
    /// Address text.
    pub address: Option<usize>,
    /// 12-digit division code of the present address.
    pub region: Option<usize>,
    /// ABO blood group code.
    pub blood_abo: Option<usize>,
    /// Rh blood group code.
    pub blood_rh: Option<usize>,
    /// Ethnicity code (GB 3304).
    pub ethnicity: Option<usize>,
    /// Name of the contact person.
    pub contact_name: Option<usize>,
    /// What the contact is to the patient (GB/T 4761).
    pub contact_relation: Option<usize>,
    /// Telephone of the contact.
    pub contact_phone: Option<usize>,
    /// When the patient died; its presence makes a row of the data set tell of a death.
    pub died_on: Option<usize>,
    /// Whether this data set *is* the registration of patients: its values outrank those of other data sets.
    pub registration: bool,
}

/// A row's parent: the visit of a prescription, the report of a laboratory result.
#[derive(Debug, Clone)]
pub struct Parent {
    /// Code of the parent data set.
    pub dataset: String,
    /// For each key field of the parent, the position of this data set's field that holds it.
    pub fields: Vec<usize>,
}

/// The four dimensions of data quality; weights are in [`QualityWeights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// 完整性
    Completeness,
    /// 规范性 (correctness of format and code)
    Correctness,
    /// 及时性
    Timeliness,
    /// 逻辑性 (within the row and between data sets)
    Logic,
}

impl Dimension {
    /// All four, in the order shown.
    pub const ALL: [Dimension; 4] =
        [Dimension::Completeness, Dimension::Correctness, Dimension::Timeliness, Dimension::Logic];

    /// The Chinese name.
    pub const fn name(self) -> &'static str {
        match self {
            Dimension::Completeness => "完整性",
            Dimension::Correctness => "规范性",
            Dimension::Timeliness => "及时性",
            Dimension::Logic => "逻辑性",
        }
    }
}

/// Weights of the four dimensions in the total, which are parts of 100.
#[derive(Debug, Clone)]
pub struct QualityWeights {
    /// In the order of [`Dimension::ALL`].
    pub weights: [f64; 4],
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Stable code within the data set, e.g. `visit_time.not_future`.
    pub code: String,
    /// The dimension it counts in.
    pub dimension: Dimension,
    /// Its weight within the dimension.
    pub weight: f64,
    /// Whether a row that breaks it is rejected, or stored and counted.
    pub reject: bool,
    /// The field that issues point to.
    pub field: Option<usize>,
    /// What it checks.
    pub check: Check,
    /// What is wrong, in Chinese.
    pub message: String,
    /// How to mend it, in Chinese.
    pub hint: String,
}

/// The closed set of checks. Field positions refer to [`Dataset::fields`].
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// The field must have a value.
    Required,
    /// The text must be readable as the field's type.
    Type,
    /// At most this many characters.
    Length(u32),
    /// The code must be in the field's table.
    InTable,
    /// Between two numbers, both included.
    Range {
        /// Least value.
        min: Option<f64>,
        /// Greatest value.
        max: Option<f64>,
    },
    /// Must look like this.
    Format(Pattern),
    /// The field must have a value when another has one of these.
    RequiredIf {
        /// The other field.
        other: usize,
        /// Its values; empty means any value.
        equals: Vec<String>,
    },
    /// At least one of these must have a value.
    AnyOf(Vec<usize>),
    /// The first must not be after the second.
    DateOrder {
        /// Earlier.
        earlier: usize,
        /// Later.
        later: usize,
    },
    /// Not after the time of receipt.
    NotFuture,
    /// The total must be the sum of its parts within a tolerance; missing parts count as 0, a row without any part is not checked.
    SumEquals {
        /// Parts.
        parts: Vec<usize>,
        /// Tolerance.
        tolerance: f64,
    },
    /// The field must be the product of these within a tolerance; not checked when one is missing.
    ProductEquals {
        /// Factors.
        factors: Vec<usize>,
        /// Tolerance.
        tolerance: f64,
    },
    /// A citizen number with a correct check digit (GB 11643), when the credential kind says it is one.
    CitizenId {
        /// The field with the kind of credential, if any.
        kind: Option<usize>,
    },
    /// Sex and birth date agree with the citizen number.
    AgreesWithCitizenId {
        /// The credential number.
        number: usize,
        /// Sex.
        sex: Option<usize>,
        /// Birth date.
        birth: Option<usize>,
    },
    /// Received within so many days of the time of occurrence. Only for the score; never rejects.
    Timely {
        /// Days.
        days: u32,
    },
    /// The parent row exists at the same institution. Evaluated set-based after storing.
    BelongsTo,
    /// The sum of a field over the child rows equals this field. Evaluated set-based after storing.
    SumOfChildren {
        /// Code of the child data set.
        child: String,
        /// Name of the summed field there.
        child_field: String,
        /// Tolerance.
        tolerance: f64,
    },
}

impl Check {
    /// Whether it looks beyond the row and is evaluated after storing.
    pub fn is_cross(&self) -> bool {
        matches!(self, Check::BelongsTo | Check::SumOfChildren { .. })
    }
}

/// Named patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Chinese telephone, mobile or fixed.
    Phone,
    /// 18-character unified social credit code with check character (GB 32100).
    CreditCode,
    /// ICD-10 code with optional local extension.
    Icd10,
    /// ICD-9-CM-3 code.
    Icd9Procedure,
    /// Digits only.
    Digits,
    /// A person's name: no digits, no placeholders such as `不详` or `测试`.
    PersonName,
    /// Division code of 6, 9 or 12 digits.
    Region,
    /// What an institution registers under: a unified social credit code (GB 32100) or, where it has none, the 22
    /// characters of WS 218.
    InstitutionCode,
}

/// How a data set appears in the record browser.
#[derive(Debug, Clone)]
pub struct RecordView {
    /// The tab: `visit`, `laboratory`, `examination`, `medication`, `public_health`, `immunization`, `document`.
    pub section: String,
    /// Icon of the Tabler set.
    pub icon: String,
    /// Word on the time line, e.g. `门诊`.
    pub label: String,
    /// Whether rows get an index entry of their own.
    pub entry: EntryKind,
    /// Title of the entry: texts and field positions (codes shown by name).
    pub title: Vec<TitlePart>,
    /// Second line of the entry.
    pub detail: Vec<TitlePart>,
    /// Field with the department's name.
    pub department: Option<usize>,
    /// Field with a disease code (ICD-10) to filter by.
    pub disease: Option<usize>,
    /// Field that marks an abnormal result, with the codes that mean abnormal.
    pub abnormal: Option<(usize, Vec<String>)>,
    /// Field with the number of the member of staff who cared for the person (工号): the row is then a care relation.
    pub cared_by: Option<usize>,
    /// What the row contributes to the summary: `problem`, `medicine`, `allergy`, `immunization`, `result`, `death`, `none`.
    pub summary: String,
    /// Fields shown in the opened event, in order; empty means all that have a value.
    pub columns: Vec<usize>,
}

/// Whether and how a row is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An event on the time line.
    Timeline,
    /// Indexed for the summary (problems, medicines, allergies) but no event of its own.
    Summary,
    /// A part (item, result) that is shown inside its parent's event and found through the fact table.
    Part,
}

/// A piece of a title template such as `{department_name} {diagnosis_name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TitlePart {
    /// Literal text.
    Text(String),
    /// A field's value (a code by its name).
    Field(usize),
}

/// What monitoring expects of a data set.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Whether an institution of a class that sends it is expected to send it every day.
    pub daily: bool,
    /// Classes of institutions that send it: `hospital`, `township`, `village`, `maternal_child`, `cdc`; empty means all.
    pub senders: Vec<String>,
}

/// One entry of the desk's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// Chinese title.
    pub title: String,
    /// Icon of the Tabler set.
    pub icon: String,
    /// Path of the page, e.g. `/persons`.
    pub path: String,
    /// The right without which it is hidden; `None`: everybody signed in sees it.
    pub need: Option<kernel::Need>,
    /// The heading it stands under; empty if none.
    pub group: String,
}

/// What a rule on the audit trail counts; `catalog/alerts.toml` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AlertKind {
    Night,
    PersonByMany,
    ManyByOne,
    ManyByRole,
    SameSurname,
    SameVillage,
    Colleague,
    OwnRecord,
    Sequence,
    LargeExport,
    NoCare,
    FailedThenIn,
    NewAddress,
}

impl AlertKind {
    /// The kind of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "night" => Self::Night,
            "person_by_many" => Self::PersonByMany,
            "many_by_one" => Self::ManyByOne,
            "many_by_role" => Self::ManyByRole,
            "same_surname" => Self::SameSurname,
            "same_village" => Self::SameVillage,
            "colleague" => Self::Colleague,
            "own_record" => Self::OwnRecord,
            "sequence" => Self::Sequence,
            "large_export" => Self::LargeExport,
            "no_care" => Self::NoCare,
            "failed_then_in" => Self::FailedThenIn,
            "new_address" => Self::NewAddress,
            _ => return None,
        })
    }
}

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look.
    Low,
    /// To be looked at this week.
    Medium,
    /// To be looked at today.
    High,
}

impl Severity {
    /// The severity of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|s| s.code() == code)
    }
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
    /// In Chinese.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "低",
            Self::Medium => "中",
            Self::High => "高",
        }
    }
}

/// A pattern in the audit trail that somebody should look at (D5).
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// Stable code.
    pub code: String,
    /// What it counts.
    pub kind: AlertKind,
    /// Chinese title.
    pub title: String,
    /// What to do, one sentence.
    pub hint: String,
    /// How grave.
    pub severity: Severity,
    /// From how many on.
    pub threshold: i64,
    /// Over how long.
    pub window_minutes: i64,
    /// First hour of the night, for [`AlertKind::Night`].
    pub from_hour: u32,
    /// First hour of the day, for [`AlertKind::Night`].
    pub to_hour: u32,
    /// Standard deviations above the mean, for [`AlertKind::ManyByRole`].
    pub sigma: f64,
    /// Whether it is looked at.
    pub on: bool,
}

/// Something that an operator may set while the program runs (B12).
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Stable code `part.name`, e.g. `sign_in.idle_minutes`.
    pub code: String,
    /// Chinese title.
    pub title: String,
    /// What it does and when to change it, in Chinese.
    pub description: String,
    /// The heading it stands under.
    pub group: String,
    /// What it may hold.
    pub kind: SettingKind,
    /// Its value until somebody sets it.
    pub default: SettingValue,
    /// The unit of a number, e.g. `分钟`; empty for none.
    pub unit: String,
    /// Whether a change takes effect only at the next start.
    pub restart: bool,
    /// Where the rule comes from, e.g. `GB/T 22239-2019 8.1.4.1`; empty where it is the platform's own.
    pub source: String,
}

/// What a setting may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingKind {
    /// Yes or no.
    Flag,
    /// A whole number between two limits, both included.
    Whole {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// Text of at most so many characters.
    Text {
        /// Characters.
        max: usize,
    },
    /// One of these words, each with its Chinese name.
    Choice(Vec<(String, String)>),
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// Of a flag.
    Flag(bool),
    /// Of a whole number.
    Whole(i64),
    /// Of a text or choice.
    Text(String),
}

impl Setting {
    /// Whether the setting may hold this; otherwise why not, in Chinese.
    pub fn accepts(&self, value: &SettingValue) -> Result<(), String> {
        match (&self.kind, value) {
            (SettingKind::Flag, SettingValue::Flag(_)) => Ok(()),
            (SettingKind::Whole { min, max }, SettingValue::Whole(n)) => {
                if (min..=max).contains(&n) {
                    Ok(())
                } else {
                    Err(format!("应在 {min} 与 {max} 之间"))
                }
            }
            (SettingKind::Text { max }, SettingValue::Text(text)) => {
                if text.chars().count() > *max {
                    Err(format!("不能超过 {max} 个字"))
                } else if text.chars().any(char::is_control) {
                    Err("不能含有换行等控制字符".to_owned())
                } else {
                    Ok(())
                }
            }
            (SettingKind::Choice(words), SettingValue::Text(text)) => {
                if words.iter().any(|(word, _)| word == text) {
                    Ok(())
                } else {
                    let names: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
                    Err(format!("应为 {} 之一", names.join("、")))
                }
            }
            (SettingKind::Flag, _) => Err("应为“是”或“否”".to_owned()),
            (SettingKind::Whole { .. }, _) => Err("应为整数".to_owned()),
            _ => Err("应为文字".to_owned()),
        }
    }
}
