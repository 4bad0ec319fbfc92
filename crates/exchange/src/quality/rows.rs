//! The rows of an institution's day (数据行): personal data, read through the audited gate.
//!
//! Needs `exchange/read` on the institution. How much of a row is shown follows from what else the caller may do:
//! the sender itself sees its own rows; who reads the clinical record sees them with identifying fields masked;
//! everybody else (a data manager) sees keys, times and which fields are filled, but no contents. Fields marked
//! `restricted` are shown to nobody here.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use catalog::{Catalog, CodeTables, Dataset, Field, FieldKind, Sensitivity};
use chrono::{Days, NaiveDate};
use contracts::InstitutionCard;
use kernel::{Act, Caller, Line, Need, Purpose, Reach, Refusal, Result};
use maud::{Markup, html};
use sqlx::{AssertSqlSafe, FromRow};
use store::{AuditEntry, DbDoing, Gated};
use web::mask;
use web::ui::{Column, Here, Paging, Row, Tab, Tone, badge, chips, empty, notice, page_head, paging, table};
use web::{Allowed, Frame, Reply};

use super::{day, scope};
use crate::Exchange;

/// Rows on a page.
const PER_PAGE: usize = 50;

/// How much of a row somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything that is not restricted: the sender's own rows.
    Whole,
    /// Contents, with identifying fields masked.
    Masked,
    /// Keys, times, and which fields are filled.
    Outline,
}

impl Sight {
    /// What a caller sees of an institution's rows.
    pub fn of(caller: &Caller, card: &InstitutionCard) -> Self {
        if day::may(caller, Need::new(Line::Exchange, Act::Write), card) {
            Sight::Whole
        } else if day::may(caller, Need::new(Line::Medical, Act::Read), card) {
            Sight::Masked
        } else {
            Sight::Outline
        }
    }
}

/// A fact as text.
#[derive(Debug, Clone, FromRow)]
pub struct FactText {
    /// Its identifier.
    pub id: i64,
    /// The batch that brought this version.
    pub batch_id: i64,
    /// Its row number there.
    pub row_no: i32,
    /// Values of [`shown_fields`], in that order.
    pub cells: Vec<Option<String>>,
}

/// A breach of a rule between data sets.
#[derive(Debug, Clone, FromRow)]
pub struct Finding {
    /// The fact.
    pub fact_id: i64,
    /// The rule.
    pub rule: i16,
    /// What was found, e.g. the key of the missing parent.
    pub value: String,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub struct DayRows {
    /// Whose.
    pub card: Arc<InstitutionCard>,
    /// Data set.
    pub dataset: Arc<Dataset>,
    /// The day.
    pub day: NaiveDate,
    /// Only rows that break this rule between data sets.
    pub rule: Option<i16>,
    /// How much is shown.
    pub sight: Sight,
    /// The rows of this page.
    pub facts: Vec<FactText>,
    /// Their findings.
    pub findings: Vec<Finding>,
    /// Key of the next page.
    pub next: Option<i64>,
}

/// Positions of the fields that may be shown at all: those of the key first, then the time, then the others.
pub fn shown_fields(dataset: &Dataset) -> Vec<usize> {
    let mut order: Vec<usize> = dataset.key.clone();
    order.push(dataset.occurred);
    order.extend(0..dataset.fields.len());
    let mut seen = std::collections::HashSet::new();
    order.retain(|f| {
        dataset.fields.get(*f).is_some_and(|f| f.sensitivity != Sensitivity::Restricted) && seen.insert(*f)
    });
    order
}

struct Asked<'a> {
    institution: i32,
    dataset: &'a Dataset,
    day: NaiveDate,
    rule: Option<i16>,
    after: i64,
}

// The batches of the day lead to its rows: fact tables have an index by batch, none by day.
async fn facts(tx: &mut Gated<'_>, asked: &Asked<'_>) -> Result<Vec<FactText>> {
    let columns: Vec<String> = shown_fields(asked.dataset)
        .iter()
        .map(|f| format!("f.{}::text", asked.dataset.fields[*f].name))
        .collect();
    let sql = format!(
        "select f.id, f.batch_id, f.row_no, array[{}]::text[] as cells from {} f
         where f.institution_id = $1 and f.occurred_at >= $2 and f.occurred_at < $3 and f.id > $4
            and f.batch_id = any(array(
                select batch_id from batch_day where institution_id = $1 and day = $2::date and dataset = $5))
            and ($6::smallint is null or f.id in (select fact_id from cross_finding
                where institution_id = $1 and dataset = $5 and day = $2::date and rule = $6))
         order by f.id limit $7",
        columns.join(", "),
        asked.dataset.table(),
    );
    let mut rows: Vec<FactText> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(asked.institution)
        .bind(asked.day.and_time(chrono::NaiveTime::MIN))
        .bind((asked.day + Days::new(1)).and_time(chrono::NaiveTime::MIN))
        .bind(asked.after)
        .bind(asked.dataset.number)
        .bind(asked.rule)
        .bind(PER_PAGE as i64 + 1)
        .fetch_all(&mut ***tx)
        .await
        .db("read the rows of a day")?;
    let opener = tx.keyring().opener();
    for (at, field) in shown_fields(asked.dataset).into_iter().enumerate() {
        if !asked.dataset.fields[field].protect {
            continue;
        }
        let place = asked.dataset.place(field);
        for cell in rows.iter_mut().filter_map(|row| row.cells.get_mut(at)?.as_mut()) {
            if protect::is_sealed(cell) {
                *cell = opener.text(&place, cell)?.into_owned();
            }
        }
    }
    Ok(rows)
}

async fn findings(tx: &mut Gated<'_>, asked: &Asked<'_>, facts: &[FactText]) -> Result<Vec<Finding>> {
    sqlx::query_as(
        "select fact_id, rule, value from cross_finding
         where institution_id = $1 and dataset = $2 and day = $3 and fact_id = any($4) order by fact_id, rule",
    )
    .bind(asked.institution)
    .bind(asked.dataset.number)
    .bind(asked.day)
    .bind(facts.iter().map(|f| f.id).collect::<Vec<_>>())
    .fetch_all(&mut ***tx)
    .await
    .db("read the findings of rows")
}

/// `GET /quality/rows?institution=&dataset=&day=&rule=&after=`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
) -> Reply<Markup> {
    let reach: Reach = allowed.reach(Purpose::of("quality"))?;
    let catalog = exchange.catalog();
    let code = here.get("institution").unwrap_or_default();
    let card = scope::one(exchange.institutions().as_ref(), &reach, code)?;
    let day = day::asked_day(&here)?;
    let dataset = here.get("dataset").and_then(|d| catalog.dataset(d)).cloned().ok_or_else(|| {
        Refusal::not_found("dataset.unknown", "没有这个数据集。数据集的名称见“数据集目录”页面。")
    })?;
    let rule = here.get("rule").and_then(|r| r.parse::<i16>().ok());
    let after = here.get("after").and_then(|a| a.parse().ok()).unwrap_or(0);
    let asked = Asked { institution: card.id.get() as i32, dataset: &dataset, day, rule, after };
    let label = format!("{} {} {}", card.short_name, dataset.name, day);
    let now = exchange.intake.parts().clock.now();
    let (mut rows, found) = exchange
        .db()
        .personal(&reach, now, async |tx, _| {
            let rows = facts(tx, &asked).await?;
            let found = findings(tx, &asked, &rows).await?;
            let entry = AuditEntry {
                act: "quality.rows",
                object_kind: "institution",
                object_id: Some(card.id.get()),
                object_label: label.clone(),
                detail: Some(serde_json::json!({
                    "dataset": dataset.code, "day": day, "rows": rows.len().min(PER_PAGE), "after": after,
                })),
                ..AuditEntry::default()
            };
            Ok(((rows, found), entry))
        })
        .await?;
    let more = rows.len() > PER_PAGE;
    rows.truncate(PER_PAGE);
    let sight = Sight::of(allowed.caller(), &card);
    let next = if more { rows.last().map(|r| r.id) } else { None };
    let data = DayRows { card, dataset, day, rule, sight, facts: rows, findings: found, next };
    let tables = exchange.intake.parts().terminology.tables();
    Ok(frame.page(&label, view(catalog, &tables, &here, &data)))
}

/// The page. Pure.
pub fn view(catalog: &Catalog, tables: &CodeTables, here: &Here, data: &DayRows) -> Markup {
    let dataset = &data.dataset;
    let title = format!("{} · {}", dataset.name, data.day);
    let own = format!("/quality/institutions/{}", data.card.code);
    let that_day = format!("/quality/day?institution={}&day={}", data.card.code, data.day);
    let day_name = data.day.to_string();
    let mut by_fact: HashMap<i64, Vec<&Finding>> = HashMap::new();
    for finding in &data.findings {
        by_fact.entry(finding.fact_id).or_default().push(finding);
    }
    let fields = shown_fields(dataset);
    // A column that nobody must fill and nobody did is left out.
    let kept: Vec<usize> = (0..fields.len())
        .filter(|at| {
            let field = &dataset.fields[fields[*at]];
            field.required
                || field.recommended
                || data.facts.iter().any(|r| r.cells.get(*at).is_some_and(Option::is_some))
        })
        .collect();
    let mut columns = vec![Column::text("来源")];
    if !data.findings.is_empty() {
        columns.push(Column::text("跨表问题"));
    }
    columns.extend(kept.iter().map(|at| Column::text(&dataset.fields[fields[*at]].title)));
    let rows: Vec<Row> = data
        .facts
        .iter()
        .map(|fact| {
            let mut cells = vec![html! {
                span.mk-nowrap { a href={ "/batches/" (fact.batch_id) } { "批次 " (fact.batch_id) } br; small.mk-muted { "第 " (fact.row_no) " 行" } }
            }];
            let mine = by_fact.get(&fact.id);
            if !data.findings.is_empty() {
                cells.push(html! { @for finding in mine.into_iter().flatten() { (explained(catalog, dataset, finding)) } });
            }
            for at in &kept {
                let field = fields[*at];
                let value = fact.cells.get(*at).and_then(|c| c.as_deref());
                cells.push(cell(dataset, field, value, data.sight, tables));
            }
            Row { href: None, mark: if mine.is_some() { "mk-row-warn" } else { "" }, cells }
        })
        .collect();
    let all = here.with(&[("rule", ""), ("after", "")]).href();
    let mut tabs =
        vec![Tab { title: "全部行".to_owned(), href: all, count: None, current: data.rule.is_none() }];
    for (number, rule) in dataset.rules.iter().enumerate().filter(|(_, r)| r.check.is_cross()) {
        tabs.push(Tab {
            title: format!("只看：{}", rule.message),
            href: here.with(&[("rule", &number.to_string()), ("after", "")]).href(),
            count: None,
            current: data.rule == Some(number as i16),
        });
    }
    let state = Paging::Cursor { before: None, after: data.next.map(|n| n.to_string()) };
    html! {
        (page_head(&[("质量监测", "/quality"), (&data.card.short_name, &own), (&day_name, &that_day)], &title,
            "库中现在的行；被拒收的行见各批次的问题清单。本次查看已记入审计日志。", html! {}))
        @if data.sight == Sight::Outline {
            (notice(Tone::Info, "", "您没有诊疗内容的权限：只显示主键、时间和各列是否填写（有 / 空），标识信息已遮盖。"))
        }
        @if tabs.len() > 1 { (chips(&tabs)) }
        section.mk-card {
            @if rows.is_empty() {
                (empty("没有行", "这一天没有入库的行，或者都没有这个问题。", Some(("回到这一天", &that_day))))
            } @else {
                (table(&Here::default(), &columns, &rows))
                (paging(here, &state))
            }
        }
    }
}

fn explained(catalog: &Catalog, dataset: &Dataset, finding: &Finding) -> Markup {
    let message = day::rule_of(catalog, dataset.number, finding.rule)
        .map(|(_, r)| r.message.as_str())
        .unwrap_or_default();
    html! { div { (badge(Tone::Warn, message)) " " code { (finding.value) } } }
}

fn cell(
    dataset: &Dataset,
    position: usize,
    value: Option<&str>,
    sight: Sight,
    tables: &CodeTables,
) -> Markup {
    let field = &dataset.fields[position];
    let Some(value) = value else {
        let wanted = field.required || field.recommended;
        return html! { span class=(if wanted { "mk-text-warn" } else { "mk-muted" }) { "空" } };
    };
    if field.sensitivity == Sensitivity::Identifying && sight != Sight::Whole {
        return html! { span.mk-nowrap { (masked(field, value)) } };
    }
    let named = dataset.key.contains(&position) || dataset.occurred == position;
    if sight == Sight::Outline && dataset.person.is_some() && !named {
        return html! { span.mk-muted { "有" } };
    }
    match &field.kind {
        FieldKind::Code { table, .. } => {
            let name = tables.display(table, value);
            html! { (value) @if name != value { " " span.mk-muted { (name) } } }
        }
        FieldKind::Boolean => html! { (if value == "true" { "是" } else { "否" }) },
        FieldKind::DateTime => html! { span.mk-nowrap { (value.strip_suffix(":00").unwrap_or(value)) } },
        _ => html! { (value) @if !field.unit.is_empty() { " " span.mk-muted { (field.unit) } } },
    }
}

/// An identifying value, masked by what its field holds.
pub fn masked(field: &Field, value: &str) -> String {
    if field.name.ends_with("name") {
        mask::name(value)
    } else if field.name.contains("phone") {
        mask::phone(value)
    } else if field.name.contains("address") {
        // As far as the county.
        format!("{}****", value.chars().take(6).collect::<String>())
    } else {
        mask::credential(value)
    }
}
