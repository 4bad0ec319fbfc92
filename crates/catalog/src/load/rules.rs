//! The rules of a data set: those implied by its fields, then the written ones.

use std::collections::HashSet;
use std::mem::discriminant;

use crate::check::read_value;
use crate::codes::CodeTables;
use crate::model::{Check, Dataset, Dimension, Field, FieldKind, Pattern, Rule};
use crate::row::RuleSet;
use crate::source::Table;

use super::dataset::{Fields, Implied};
use super::{Link, messages};

/// Sorts of fields that a check can look at.
#[derive(Clone, Copy)]
enum Sort {
    Any,
    Number,
    Time,
    Text,
    Code,
}

impl Sort {
    fn fits(self, kind: &FieldKind) -> bool {
        match self {
            Sort::Any => true,
            Sort::Number => matches!(kind, FieldKind::Integer | FieldKind::Decimal { .. }),
            Sort::Time => matches!(kind, FieldKind::Date | FieldKind::DateTime),
            Sort::Text => matches!(kind, FieldKind::Text { .. } | FieldKind::Code { .. }),
            Sort::Code => matches!(kind, FieldKind::Code { .. }),
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Sort::Any => "任意",
            Sort::Number => "数值",
            Sort::Time => "日期或时间",
            Sort::Text => "文本或代码",
            Sort::Code => "代码",
        }
    }
}

/// The word for a check in definitions and rule codes.
const fn word(check: &Check) -> &'static str {
    match check {
        Check::Required => "required",
        Check::Type => "type",
        Check::Length(_) => "length",
        Check::InTable => "in_table",
        Check::Range { .. } => "range",
        Check::Format(_) => "format",
        Check::RequiredIf { .. } => "required_if",
        Check::AnyOf(_) => "any_of",
        Check::DateOrder { .. } => "date_order",
        Check::NotFuture => "not_future",
        Check::SumEquals { .. } => "sum_equals",
        Check::ProductEquals { .. } => "product_equals",
        Check::CitizenId { .. } => "citizen_id",
        Check::AgreesWithCitizenId { .. } => "agrees_with_citizen_id",
        Check::Timely { .. } => "timely",
        Check::BelongsTo => "belongs_to",
        Check::SumOfChildren { .. } => "sum_of_children",
    }
}

const fn default_dimension(check: &Check) -> Dimension {
    match check {
        Check::Required | Check::RequiredIf { .. } | Check::AnyOf(_) => Dimension::Completeness,
        Check::Type
        | Check::Length(_)
        | Check::InTable
        | Check::Range { .. }
        | Check::Format(_)
        | Check::CitizenId { .. } => Dimension::Correctness,
        Check::Timely { .. } => Dimension::Timeliness,
        Check::DateOrder { .. }
        | Check::NotFuture
        | Check::SumEquals { .. }
        | Check::ProductEquals { .. }
        | Check::AgreesWithCitizenId { .. }
        | Check::BelongsTo
        | Check::SumOfChildren { .. } => Dimension::Logic,
    }
}

/// Whether a check can never reject: what it looks at is only for the score, or comes after storing.
fn never_rejects(check: &Check) -> bool {
    check.is_cross() || matches!(check, Check::Timely { .. })
}

const fn rejects_by_default(check: &Check) -> bool {
    matches!(check, Check::Type | Check::Length(_) | Check::NotFuture)
}

fn rule(check: Check, field: Option<usize>) -> Rule {
    Rule {
        code: String::new(),
        dimension: default_dimension(&check),
        weight: 1.0,
        reject: rejects_by_default(&check),
        field,
        check,
        message: String::new(),
        hint: String::new(),
    }
}

/// The rules that a field implies.
fn implied_rules(position: usize, field: &Field, extra: &Implied, is_mark: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    let at = Some(position);
    match &field.kind {
        FieldKind::Text { .. } | FieldKind::Code { .. } if is_mark => rules.push(rule(Check::Type, at)),
        FieldKind::Text { max } => rules.push(rule(Check::Length(*max), at)),
        FieldKind::Code { max, .. } => {
            rules.push(rule(Check::Length(*max), at));
            rules.push(rule(Check::InTable, at));
        }
        _ => rules.push(rule(Check::Type, at)),
    }
    if extra.min.is_some() || extra.max.is_some() {
        rules.push(rule(Check::Range { min: extra.min, max: extra.max }, at));
    }
    if field.required || field.recommended {
        rules.push(Rule { reject: field.required, ..rule(Check::Required, at) });
    }
    rules
}

/// All rules of a data set.
pub(super) fn read(
    root: &Table<'_>,
    written: Vec<Table<'_>>,
    dataset: &Dataset,
    fields: &[Field],
    implied: &[Implied],
    tables: &CodeTables,
    links: &mut Vec<Link>,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = fields
        .iter()
        .zip(implied)
        .enumerate()
        .flat_map(|(position, (field, extra))| {
            implied_rules(position, field, extra, dataset.revision == Some(position))
        })
        .collect();
    let implied_count = rules.len();
    for table in written {
        let Some((check, field)) = read_check(&table, dataset, fields, links) else {
            // The other keys are read so that only keys which no rule has are reported.
            for key in ["code", "dimension", "message", "hint", "weight", "reject"] {
                table.skip(key);
            }
            table.finish();
            continue;
        };
        let existing = rules[..implied_count]
            .iter()
            .position(|r| r.field == field && discriminant(&r.check) == discriminant(&check));
        let mut made = match existing {
            Some(position) => rules[position].clone(),
            None => rule(check.clone(), field),
        };
        if let (Check::Range { min, max }, Check::Range { min: least, max: greatest }) =
            (&check, &mut made.check)
        {
            *least = min.or(*least);
            *greatest = max.or(*greatest);
        }
        read_settings(&table, &mut made);
        table.finish();
        match existing {
            Some(position) => rules[position] = made,
            None => rules.push(made),
        }
    }
    if rules.len() > RuleSet::CAPACITY {
        root.report(
            root.at,
            format!("规则共 {} 条（含字段自带的），最多 {} 条", rules.len(), RuleSet::CAPACITY),
        );
    }
    name_and_explain(root, &mut rules, dataset, fields, tables);
    rules
}

/// What every written rule may say.
fn read_settings(table: &Table<'_>, rule: &mut Rule) {
    if let Some(text) = table.text("dimension") {
        match text.value {
            "completeness" => rule.dimension = Dimension::Completeness,
            "correctness" => rule.dimension = Dimension::Correctness,
            "timeliness" => rule.dimension = Dimension::Timeliness,
            "logic" => rule.dimension = Dimension::Logic,
            other => table.report(
                text.at,
                format!("不认识的维度“{other}”：应为 completeness correctness timeliness logic 之一"),
            ),
        }
    }
    if let Some(weight) = table.number("weight") {
        if weight > 0.0 && weight <= 1000.0 {
            rule.weight = weight;
        } else {
            table.report(table.at, "“weight”应大于 0，不超过 1000");
        }
    }
    if let Some(reject) = table.flag("reject") {
        if reject && never_rejects(&rule.check) {
            table.report(table.at, format!("{} 规则不能拒收（reject）", word(&rule.check)));
        } else {
            rule.reject = reject;
        }
    }
    if matches!(rule.check, Check::Type) && !rule.reject {
        // A row of the key or the time of occurrence without a value could not be stored.
        table.report(table.at, "type 规则必须拒收（reject = true）");
    }
    for (key, text) in [("code", &mut rule.code), ("message", &mut rule.message), ("hint", &mut rule.hint)] {
        if let Some(given) = table.text(key) {
            given.value.clone_into(text);
        }
    }
}

/// The check of a written rule and the field it points to; `None` if it cannot be told (already reported).
fn read_check(
    table: &Table<'_>,
    dataset: &Dataset,
    fields: &[Field],
    links: &mut Vec<Link>,
) -> Option<(Check, Option<usize>)> {
    let find = Fields { list: fields };
    let name = table.needed("check");
    let one = |key: &'static str, sort: Sort| -> Option<usize> {
        let text = table.needed(key);
        let position = if text.value.is_empty() { None } else { find.find(table, &text) }?;
        fits(table, text.at, &fields[position], sort);
        Some(position)
    };
    let optional = |key: &'static str, sort: Sort| -> Option<usize> {
        let text = table.text(key)?;
        let position = find.find(table, &text)?;
        fits(table, text.at, &fields[position], sort);
        Some(position)
    };
    let several = |key: &'static str, sort: Sort, least: usize| -> Vec<usize> {
        let positions = find.several(table, key);
        for position in &positions {
            fits(table, table.at, &fields[*position], sort);
        }
        if table.texts(key).len() < least {
            table.report(table.at, format!("“{key}”至少要有 {least} 个字段"));
        }
        positions
    };
    let tolerance = || table.number("tolerance").unwrap_or(0.01);
    Some(match name.value {
        "required" => (Check::Required, Some(one("field", Sort::Any)?)),
        "type" => (Check::Type, Some(implied_only(table, one("field", Sort::Any)?, fields, name.value)?)),
        "length" => {
            let field = one("field", Sort::Text)?;
            let max = match fields[field].kind {
                FieldKind::Text { max } | FieldKind::Code { max, .. } => max,
                _ => return None,
            };
            (Check::Length(max), Some(field))
        }
        "in_table" => (Check::InTable, Some(one("field", Sort::Code)?)),
        "range" => {
            let field = one("field", Sort::Number);
            let (min, max) = (table.number("min"), table.number("max"));
            if min.is_none() && max.is_none() {
                table.report(table.at, "range 规则至少要写 min 或 max");
            }
            if min.zip(max).is_some_and(|(least, greatest)| least > greatest) {
                table.report(table.at, "“min”大于“max”");
            }
            (Check::Range { min, max }, Some(field?))
        }
        "format" => {
            let field = one("field", Sort::Text);
            let text = table.needed("pattern");
            let pattern = match text.value {
                "phone" => Pattern::Phone,
                "credit_code" => Pattern::CreditCode,
                "icd10" => Pattern::Icd10,
                "icd9_procedure" => Pattern::Icd9Procedure,
                "digits" => Pattern::Digits,
                "person_name" => Pattern::PersonName,
                "region" => Pattern::Region,
                "institution_code" => Pattern::InstitutionCode,
                "" => return None,
                other => {
                    table.report(
                        text.at,
                        format!(
                            "不认识的格式“{other}”：应为 phone credit_code icd10 icd9_procedure digits person_name region institution_code 之一"
                        ),
                    );
                    return None;
                }
            };
            (Check::Format(pattern), Some(field?))
        }
        "required_if" => {
            let field = one("field", Sort::Any);
            let other = one("other", Sort::Any);
            let equals = table.texts("equals");
            let other = other?;
            for text in equals.iter().filter(|t| read_value(&fields[other].kind, t.value).is_none()) {
                table.report(text.at, format!("“{}”不是字段“{}”的值", text.value, fields[other].name));
            }
            let equals = equals.iter().map(|t| t.value.to_owned()).collect();
            (Check::RequiredIf { other, equals }, Some(field?))
        }
        "any_of" => {
            let several = several("fields", Sort::Any, 2);
            let first = several.first().copied();
            (Check::AnyOf(several), Some(first?))
        }
        "date_order" => {
            let (earlier, later) = (one("earlier", Sort::Time), one("later", Sort::Time));
            (Check::DateOrder { earlier: earlier?, later: later? }, Some(later?))
        }
        "not_future" => (Check::NotFuture, Some(one("field", Sort::Time)?)),
        "sum_equals" => {
            let field = one("field", Sort::Number);
            let parts = several("parts", Sort::Number, 1);
            (Check::SumEquals { parts, tolerance: tolerance() }, Some(field?))
        }
        "product_equals" => {
            let field = one("field", Sort::Number);
            let factors = several("factors", Sort::Number, 2);
            (Check::ProductEquals { factors, tolerance: tolerance() }, Some(field?))
        }
        "citizen_id" => {
            let field = one("field", Sort::Text);
            (Check::CitizenId { kind: optional("kind", Sort::Text) }, Some(field?))
        }
        "agrees_with_citizen_id" => {
            let number = one("number", Sort::Text);
            let (sex, birth) = (optional("sex", Sort::Text), optional("birth", Sort::Time));
            if sex.is_none() && birth.is_none() {
                table.report(table.at, "agrees_with_citizen_id 至少要写 sex 或 birth");
            }
            (Check::AgreesWithCitizenId { number: number?, sex, birth }, Some(number?))
        }
        "timely" => {
            let field = optional("field", Sort::Time).unwrap_or(dataset.occurred);
            let days = table.whole::<u32>("days").map(|d| d.value);
            if days.is_none() {
                table.report(table.at, "timely 规则缺少“days”（天数）");
            }
            (Check::Timely { days: days? }, Some(field))
        }
        "belongs_to" => {
            links.push(Link::BelongsTo { at: table.at });
            let first = dataset.parent.as_ref().and_then(|p| p.fields.first().copied());
            (Check::BelongsTo, first)
        }
        "sum_of_children" => {
            let field = one("field", Sort::Number);
            let child = table.needed("child");
            let child_field = table.needed("child_field").value.to_owned();
            if !child.value.is_empty() {
                let child = child.value.to_owned();
                links.push(Link::Child { at: table.at, child, child_field: child_field.clone() });
            }
            let check =
                Check::SumOfChildren { child: child.value.to_owned(), child_field, tolerance: tolerance() };
            (check, Some(field?))
        }
        "" => return None,
        other => {
            table.report(name.at, format!("不认识的规则“{other}”"));
            return None;
        }
    })
}

/// A written `type` rule only changes the settings of an implied one.
fn implied_only(table: &Table<'_>, position: usize, fields: &[Field], check: &str) -> Option<usize> {
    if matches!(fields[position].kind, FieldKind::Text { .. } | FieldKind::Code { .. }) {
        table.report(table.at, format!("字段“{}”是文本，没有 {check} 规则", fields[position].name));
        return None;
    }
    Some(position)
}

fn fits(table: &Table<'_>, at: usize, field: &Field, sort: Sort) {
    if !sort.fits(&field.kind) {
        table.report(at, format!("字段“{}”不是{}类型", field.name, sort.name()));
    }
}

/// Gives each rule its code and, where the definition has none, its message and hint.
fn name_and_explain(
    root: &Table<'_>,
    rules: &mut [Rule],
    dataset: &Dataset,
    fields: &[Field],
    tables: &CodeTables,
) {
    let mut taken: HashSet<String> = HashSet::new();
    for rule in rules.iter().filter(|r| !r.code.is_empty()) {
        if !taken.insert(rule.code.clone()) {
            root.report(root.at, format!("规则代码“{}”重复", rule.code));
        }
    }
    for rule in rules {
        let check = word(&rule.check);
        if rule.code.is_empty() {
            let field = rule.field.and_then(|f| fields.get(f));
            let base = field.map_or_else(|| check.to_owned(), |f| format!("{}.{check}", f.name));
            let mut code = base.clone();
            let mut number = 2;
            while !taken.insert(code.clone()) {
                code = format!("{base}.{number}");
                number += 1;
            }
            rule.code = code;
        }
        let (message, hint) = messages::of(&rule.check, rule.field, dataset, fields, tables);
        if rule.message.is_empty() {
            rule.message = message;
        }
        if rule.hint.is_empty() {
            rule.hint = hint;
        }
    }
}
