//! Checking rows: texts become typed values, rules find what is wrong. Compiled once for a data set, then a hot path.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use standards::identifiers::{self, CitizenId};
use standards::width;

use crate::codes::{CodeTable, CodeTables, LocalMap, LocalMaps};
use crate::digest::Digester;
use crate::model::{Check, Dataset, Field, FieldKind, Pattern, Rule};
use crate::parse;
use crate::row::{Checked, Issue, LocalValue, RawRow, RuleSet};
use crate::value::Value;

/// Clocks of senders run a little fast; a time this far ahead is not yet "in the future".
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// Longest offending value kept in an issue, in characters.
const VALUE_LENGTH: usize = 200;

/// Checks rows of one data set against a snapshot of the code tables.
///
/// Make a new one when the tables change; making one costs little beside a batch.
#[derive(Debug)]
pub struct Checker {
    fields: Vec<FieldPlan>,
    rules: Vec<RowRule>,
    rejecting: RuleSet,
    revision: Option<usize>,
    digester: Digester,
}

/// How one field is read, and the numbers of the rules that look at it alone.
#[derive(Debug)]
struct FieldPlan {
    reading: Reading,
    max: u32,
    required: Option<u16>,
    /// Whether a withdrawal must have it too: the key and the time of occurrence.
    even_withdrawn: bool,
    typed: Option<u16>,
    length: Option<u16>,
    in_table: Option<u16>,
    range: Option<u16>,
    least: Option<Decimal>,
    greatest: Option<Decimal>,
}

#[derive(Debug)]
enum Reading {
    Text,
    /// Credential numbers and telephones: half-width, capital letters.
    Identifier,
    /// Looked up in its table, then among the sender's own codes that have an approved standard code.
    Code(Option<Arc<CodeTable>>, Option<Arc<LocalMap>>),
    Integer,
    Decimal(u32),
    Date,
    DateTime,
    Boolean,
    /// The revision mark, kept as text or as a number.
    Mark {
        integer: bool,
    },
}

/// A rule over the typed values of the row.
#[derive(Debug)]
struct RowRule {
    number: u16,
    field: usize,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Required,
    Format(Pattern),
    RequiredIf { other: usize, equals: Vec<Value> },
    AnyOf(Vec<usize>),
    DateOrder { earlier: usize, later: usize },
    NotFuture,
    Sum { parts: Vec<usize>, tolerance: Decimal },
    Product { factors: Vec<usize>, tolerance: Decimal },
    CitizenId { kind: Option<usize> },
    AgreesWithCitizenId { number: usize, sex: Option<usize>, birth: Option<usize> },
    Timely { days: i64 },
    Range { least: Option<Decimal>, greatest: Option<Decimal> },
}

/// What a test says of a row.
enum Verdict {
    NotApplicable,
    Pass,
    Fail,
    /// Fails, and points to another field than the rule's.
    FailAt(usize),
}

impl Verdict {
    fn of(passes: bool) -> Self {
        if passes { Verdict::Pass } else { Verdict::Fail }
    }
}

impl Checker {
    /// Compiles the rules of a data set with a snapshot of the code tables.
    #[must_use]
    pub fn new(dataset: &Dataset, tables: Arc<CodeTables>) -> Self {
        Self::with_maps(dataset, tables, None)
    }

    /// The same with the sender's own codes that have an approved standard code: they are translated before they are
    /// checked.
    #[must_use]
    pub fn with_maps(dataset: &Dataset, tables: Arc<CodeTables>, maps: Option<&LocalMaps>) -> Self {
        let mut rejecting = RuleSet::default();
        let mut fields: Vec<FieldPlan> = dataset
            .fields
            .iter()
            .enumerate()
            .map(|(position, field)| FieldPlan::new(dataset, position, field, &tables, maps))
            .collect();
        let mut rules = Vec::new();
        for (number, rule) in dataset.rules.iter().enumerate().take(RuleSet::CAPACITY) {
            let number = number as u16;
            if rule.reject {
                rejecting.insert(number);
            }
            let plan = rule.field.and_then(|f| fields.get_mut(f));
            let slot = match (&rule.check, plan) {
                (Check::Required, Some(plan)) if plan.required.is_none() => &mut plan.required,
                (Check::Type, Some(plan)) => &mut plan.typed,
                (Check::Length(max), Some(plan)) => {
                    plan.max = *max;
                    &mut plan.length
                }
                (Check::InTable, Some(plan)) => {
                    if let Reading::Code(Some(table), _) = &plan.reading
                        && !table.complete
                    {
                        rejecting.remove(number);
                    }
                    &mut plan.in_table
                }
                (Check::Range { min, max }, Some(plan)) if plan.range.is_none() => {
                    (plan.least, plan.greatest) = (limit(*min), limit(*max));
                    &mut plan.range
                }
                _ => {
                    rules.extend(RowRule::compile(dataset, number, rule));
                    continue;
                }
            };
            *slot = Some(number);
        }
        Self { fields, rules, rejecting, revision: dataset.revision, digester: Digester::new(dataset) }
    }

    /// Types and checks one row; `now` is China's wall-clock time of receipt.
    #[must_use]
    pub fn check(&self, raw: &RawRow, now: NaiveDateTime) -> Checked {
        let withdrawn = self
            .revision
            .and_then(|r| raw.cells.get(r))
            .and_then(|cell| mark(&clean(cell.as_deref()?)))
            .is_some_and(|mark| mark == 2);
        let mut out = Checked {
            number: raw.number,
            values: Vec::with_capacity(self.fields.len()),
            withdrawn,
            ..Checked::default()
        };
        for (position, plan) in self.fields.iter().enumerate() {
            let cell = raw.cells.get(position).and_then(Option::as_deref).unwrap_or_default();
            let value = self.cell(position, plan, cell, &mut out);
            out.values.push(value);
        }
        if !withdrawn {
            for rule in &self.rules {
                let field = match rule.test.run(rule.field, &out.values, now) {
                    Verdict::NotApplicable => continue,
                    Verdict::Pass => {
                        out.applicable.insert(rule.number);
                        continue;
                    }
                    Verdict::Fail => rule.field,
                    Verdict::FailAt(field) => field,
                };
                out.applicable.insert(rule.number);
                let cell = raw.cells.get(field).and_then(Option::as_deref).unwrap_or_default();
                self.fail(rule.number, field, cell, &mut out);
            }
        }
        out.digest = self.digester.digest(&out.values);
        out
    }

    /// Reads one cell and applies the rules of its field.
    #[inline]
    fn cell(&self, position: usize, plan: &FieldPlan, cell: &str, out: &mut Checked) -> Value {
        let text = clean(cell);
        if let Some(rule) = plan.required
            && (!out.withdrawn || plan.even_withdrawn)
        {
            out.applicable.insert(rule);
            if text.is_empty() {
                self.fail(rule, position, cell, out);
            }
        }
        if text.is_empty() {
            return Value::Null;
        }
        if let Some(rule) = plan.typed {
            out.applicable.insert(rule);
        }
        let mut known = Known::Yes;
        let value = plan.reading.read(&text, &mut known);
        if value.is_null() {
            if let Some(rule) = plan.typed {
                self.fail(rule, position, cell, out);
            }
            return value;
        }
        if let Some(rule) = plan.length
            && let Value::Text(text) = &value
        {
            out.applicable.insert(rule);
            // Bytes are never fewer than characters.
            if text.len() > plan.max as usize && text.chars().count() > plan.max as usize {
                self.fail(rule, position, cell, out);
            }
        }
        if out.withdrawn {
            return value;
        }
        if known == Known::Mapped {
            out.local.push(LocalValue { field: position as u16, code: width::fold(&text).into() });
        }
        if let Some(rule) = plan.in_table {
            out.applicable.insert(rule);
            if known == Known::No {
                self.fail(rule, position, cell, out);
            }
        }
        if let Some(rule) = plan.range
            && let Some(number) = value.decimal()
        {
            out.applicable.insert(rule);
            if !within(number, plan.least, plan.greatest) {
                self.fail(rule, position, cell, out);
            }
        }
        value
    }

    #[cold]
    fn fail(&self, rule: u16, field: usize, cell: &str, out: &mut Checked) {
        out.rejected |= self.rejecting.contains(rule);
        let value = cell.chars().take(VALUE_LENGTH).collect();
        out.issues.push(Issue { rule, field: u16::try_from(field).ok(), value });
    }
}

impl FieldPlan {
    fn new(
        dataset: &Dataset,
        position: usize,
        field: &Field,
        tables: &CodeTables,
        maps: Option<&LocalMaps>,
    ) -> Self {
        let person = dataset.person.as_ref();
        let identifier = person
            .is_some_and(|p| p.credential_no == Some(position) || p.phone == Some(position))
            || dataset.rules.iter().any(|r| {
                r.field == Some(position)
                    && matches!(
                        r.check,
                        Check::CitizenId { .. } | Check::Format(Pattern::CreditCode | Pattern::Phone)
                    )
            });
        let reading = match &field.kind {
            FieldKind::Text { .. } | FieldKind::Code { .. } if dataset.revision == Some(position) => {
                Reading::Mark { integer: false }
            }
            FieldKind::Integer if dataset.revision == Some(position) => Reading::Mark { integer: true },
            FieldKind::Text { .. } if identifier => Reading::Identifier,
            FieldKind::Text { .. } => Reading::Text,
            FieldKind::Code { table, .. } => {
                Reading::Code(tables.get(table).cloned(), maps.and_then(|m| m.tables.get(table)).cloned())
            }
            FieldKind::Integer => Reading::Integer,
            FieldKind::Decimal { scale } => Reading::Decimal(*scale),
            FieldKind::Date => Reading::Date,
            FieldKind::DateTime => Reading::DateTime,
            FieldKind::Boolean => Reading::Boolean,
        };
        Self {
            reading,
            max: u32::MAX,
            required: None,
            even_withdrawn: dataset.key.contains(&position) || dataset.occurred == position,
            typed: None,
            length: None,
            in_table: None,
            range: None,
            least: None,
            greatest: None,
        }
    }
}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// In its table, or no code.
    Yes,
    /// The sender's own, translated.
    Mapped,
    /// Neither.
    No,
}

impl Reading {
    /// The typed value; `Null` where the text is not of the type. `known` says what became of a code.
    fn read(&self, text: &str, known: &mut Known) -> Value {
        match self {
            Reading::Text => Value::Text(text.into()),
            Reading::Identifier => {
                let mut text = width::fold(text);
                if text.bytes().any(|b| b.is_ascii_lowercase()) {
                    text = Cow::Owned(text.to_ascii_uppercase());
                }
                Value::Text(text.trim().into())
            }
            Reading::Code(table, local) => {
                let folded = width::fold(text);
                let code = table.as_deref().and_then(|t| {
                    // A name is compared as written first: names may hold full-width brackets.
                    t.resolve(text).or_else(|| t.resolve(&folded))
                });
                if let Some(code) = code {
                    return Value::Text(code.into());
                }
                let standard = local.as_deref().and_then(|l| l.get(&*folded).or_else(|| l.get(text)));
                *known = if standard.is_some() { Known::Mapped } else { Known::No };
                Value::Text(standard.map_or(&*folded, |code| code).into())
            }
            Reading::Integer => parse::integer(text).map_or(Value::Null, Value::Integer),
            Reading::Decimal(scale) => parse::decimal(text, *scale).map_or(Value::Null, Value::Decimal),
            Reading::Date => parse::date(text).map_or(Value::Null, Value::Date),
            Reading::DateTime => parse::datetime(text).map_or(Value::Null, Value::DateTime),
            Reading::Boolean => parse::boolean(text).map_or(Value::Null, Value::Boolean),
            Reading::Mark { integer } => match mark(text) {
                Some(mark) if *integer => Value::Integer(i64::from(mark)),
                Some(mark) => Value::Text(mark.to_string().into()),
                None => Value::Null,
            },
        }
    }
}

/// Reads one text as a value of a field; `None` where it is not of the field's type. Codes are not looked up.
#[must_use]
pub fn read_value(kind: &FieldKind, text: &str) -> Option<Value> {
    let reading = match kind {
        FieldKind::Text { .. } => Reading::Text,
        FieldKind::Code { .. } => Reading::Code(None, None),
        FieldKind::Integer => Reading::Integer,
        FieldKind::Decimal { scale } => Reading::Decimal(*scale),
        FieldKind::Date => Reading::Date,
        FieldKind::DateTime => Reading::DateTime,
        FieldKind::Boolean => Reading::Boolean,
    };
    let text = clean(text);
    let value = if text.is_empty() { Value::Null } else { reading.read(&text, &mut Known::Yes) };
    (!value.is_null()).then_some(value)
}

/// A cell without surrounding white space and without NUL, which no database text can hold.
#[inline]
fn clean(cell: &str) -> Cow<'_, str> {
    if cell.as_bytes().contains(&0) {
        return Cow::Owned(cell.replace('\0', "").trim().to_owned());
    }
    Cow::Borrowed(cell.trim())
}

/// The revision mark: 0 new, 1 corrected, 2 withdrawn.
fn mark(text: &str) -> Option<u8> {
    match &*width::fold(text) {
        "0" | "新增" => Some(0),
        "1" | "修改" => Some(1),
        "2" | "撤销" => Some(2),
        _ => None,
    }
}

fn limit(number: Option<f64>) -> Option<Decimal> {
    number.and_then(Decimal::from_f64)
}

fn within(number: Decimal, least: Option<Decimal>, greatest: Option<Decimal>) -> bool {
    least.is_none_or(|l| number >= l) && greatest.is_none_or(|g| number <= g)
}

impl RowRule {
    fn compile(dataset: &Dataset, number: u16, rule: &Rule) -> Option<Self> {
        let tolerance = |t: f64| Decimal::from_f64(t).unwrap_or_default().abs();
        let (field, test) = match rule.check.clone() {
            Check::Required => (rule.field?, Test::Required),
            Check::Range { min, max } => {
                (rule.field?, Test::Range { least: limit(min), greatest: limit(max) })
            }
            Check::Format(pattern) => (rule.field?, Test::Format(pattern)),
            Check::RequiredIf { other, equals } => {
                let kind = &dataset.fields.get(other)?.kind;
                let equals = equals.iter().filter_map(|text| read_value(kind, text)).collect();
                (rule.field?, Test::RequiredIf { other, equals })
            }
            Check::AnyOf(fields) => (rule.field.or_else(|| fields.first().copied())?, Test::AnyOf(fields)),
            Check::DateOrder { earlier, later } => (later, Test::DateOrder { earlier, later }),
            Check::NotFuture => (rule.field?, Test::NotFuture),
            Check::SumEquals { parts, tolerance: t } => {
                (rule.field?, Test::Sum { parts, tolerance: tolerance(t) })
            }
            Check::ProductEquals { factors, tolerance: t } => {
                (rule.field?, Test::Product { factors, tolerance: tolerance(t) })
            }
            Check::CitizenId { kind } => (rule.field?, Test::CitizenId { kind }),
            Check::AgreesWithCitizenId { number, sex, birth } => {
                (number, Test::AgreesWithCitizenId { number, sex, birth })
            }
            Check::Timely { days } => {
                (rule.field.unwrap_or(dataset.occurred), Test::Timely { days: i64::from(days) })
            }
            Check::Type | Check::Length(_) | Check::InTable => return None,
            Check::BelongsTo | Check::SumOfChildren { .. } => return None,
        };
        Some(Self { number, field, test })
    }
}

impl Test {
    fn run(&self, field: usize, values: &[Value], now: NaiveDateTime) -> Verdict {
        self.verdict(field, values, now).unwrap_or(Verdict::NotApplicable)
    }

    /// `None` where something that the test needs is missing.
    fn verdict(&self, field: usize, values: &[Value], now: NaiveDateTime) -> Option<Verdict> {
        let value = values.get(field)?;
        let verdict = match self {
            Test::Required => Verdict::of(!value.is_null()),
            Test::Range { least, greatest } => Verdict::of(within(value.decimal()?, *least, *greatest)),
            Test::Format(pattern) => Verdict::of(matches_pattern(*pattern, value.text()?)),
            Test::RequiredIf { other, equals } => {
                let other = values.get(*other)?;
                if other.is_null() || !(equals.is_empty() || equals.contains(other)) {
                    return None;
                }
                Verdict::of(!value.is_null())
            }
            Test::AnyOf(fields) => {
                Verdict::of(fields.iter().any(|f| values.get(*f).is_some_and(|v| !v.is_null())))
            }
            Test::DateOrder { earlier, later } => {
                let (earlier, later) = (values.get(*earlier)?, values.get(*later)?);
                Verdict::of(match (earlier, later) {
                    (Value::DateTime(e), Value::DateTime(l)) => e <= l,
                    _ => earlier.date()? <= later.date()?,
                })
            }
            Test::NotFuture => Verdict::of(match value {
                Value::Date(d) => *d <= now.date(),
                _ => value.datetime()? <= now.checked_add_signed(CLOCK_TOLERANCE).unwrap_or(now),
            }),
            Test::Sum { parts, tolerance } => {
                let total = value.decimal()?;
                let mut sum: Option<Decimal> = None;
                for part in parts {
                    if let Some(part) = values.get(*part).and_then(Value::decimal) {
                        sum = Some(sum.unwrap_or_default().checked_add(part)?);
                    }
                }
                Verdict::of(close(total, sum?, *tolerance))
            }
            Test::Product { factors, tolerance } => {
                let total = value.decimal()?;
                let mut product = Decimal::ONE;
                for factor in factors {
                    product = product.checked_mul(values.get(*factor)?.decimal()?)?;
                }
                Verdict::of(close(total, product, *tolerance))
            }
            Test::CitizenId { kind } => {
                let number = value.text()?;
                let applies = match kind.map(|k| values.get(k).and_then(Value::text)) {
                    // No field says what kind it is: it must be a citizen number.
                    None => true,
                    Some(Some(kind)) => matches!(kind, "01" | "1"),
                    Some(None) => number.len() == 18,
                };
                if !applies {
                    return None;
                }
                Verdict::of(CitizenId::parse(number).is_ok())
            }
            Test::AgreesWithCitizenId { number, sex, birth } => {
                let id = CitizenId::parse(values.get(*number)?.text()?).ok()?;
                let said = |field: &Option<usize>| field.and_then(|f| Some((f, values.get(f)?)));
                let birth: Option<(usize, NaiveDate)> = said(birth).and_then(|(f, v)| Some((f, v.date()?)));
                let sex = said(sex)
                    .and_then(|(f, v)| Some((f, v.text()?)))
                    .filter(|(_, s)| matches!(*s, "1" | "2"));
                match (birth, sex) {
                    (None, None) => return None,
                    (Some((field, birth)), _) if birth != id.birth() => Verdict::FailAt(field),
                    (_, Some((field, sex))) if sex != id.gender().code() => Verdict::FailAt(field),
                    _ => Verdict::Pass,
                }
            }
            Test::Timely { days } => {
                let late = match value {
                    Value::Date(d) => (now.date() - *d).num_days() > *days,
                    _ => now - value.datetime()? > TimeDelta::days(*days),
                };
                Verdict::of(!late)
            }
        };
        Some(verdict)
    }
}

/// Whether two amounts differ by no more than the tolerance; a difference too great to compute is no agreement.
fn close(a: Decimal, b: Decimal, tolerance: Decimal) -> bool {
    a.checked_sub(b).is_some_and(|difference| difference.abs() <= tolerance)
}

fn matches_pattern(pattern: Pattern, text: &str) -> bool {
    match pattern {
        Pattern::Phone => identifiers::is_phone(text),
        Pattern::CreditCode => identifiers::is_credit_code(text),
        Pattern::Icd10 => identifiers::is_icd10(text),
        Pattern::Icd9Procedure => identifiers::is_icd9_procedure(text),
        Pattern::Digits => identifiers::is_digits(text),
        Pattern::PersonName => identifiers::is_person_name(text),
        Pattern::Region => identifiers::is_region(text),
        Pattern::InstitutionCode => {
            identifiers::is_credit_code(text) || identifiers::is_health_institution_code(text)
        }
    }
}
