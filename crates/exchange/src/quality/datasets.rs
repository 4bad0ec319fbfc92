//! The catalogue of data sets (数据集目录) as senders read it: fields, rules, a heading to begin with, how to upload.

use axum::extract::{Path, State};
use catalog::{Catalog, Check, CodeTables, Dataset, Field, FieldKind, Pattern, Rule, Sensitivity};
use kernel::{Act, Line, Need, Refusal, Result};
use maud::{Markup, html};
use std::sync::Arc;
use web::download::{self, Download};
use web::ui::{
    Column, Here, Row, Tone, badge, card, card_with, describe, fact, icon, page_head, plain_badge, table,
};
use web::{Frame, Reply};

use super::scope;
use crate::Exchange;

fn find(catalog: &Catalog, code: &str) -> Result<Arc<Dataset>> {
    catalog.dataset(code).cloned().ok_or_else(|| {
        Refusal::not_found("dataset.unknown", "没有这个数据集。请从“数据集目录”页面打开。").into()
    })
}

/// `GET /datasets`
pub(super) async fn list(State(exchange): State<Exchange>, frame: Frame) -> Reply<Markup> {
    Ok(frame.page("数据集目录", list_view(exchange.catalog())))
}

/// The list. Pure.
pub fn list_view(catalog: &Catalog) -> Markup {
    // Groups in the order of their first numbers.
    let mut ordered: Vec<&Arc<Dataset>> = catalog.datasets.iter().collect();
    ordered.sort_by_key(|d| d.number);
    let mut groups: Vec<(&str, Vec<Row>)> = Vec::new();
    for dataset in ordered {
        match groups.iter_mut().find(|(name, _)| *name == dataset.group) {
            Some((_, rows)) => rows.push(row(dataset)),
            None => groups.push((&dataset.group, vec![row(dataset)])),
        }
    }
    let columns = [
        Column::text("数据集"),
        Column::text("代码"),
        Column::text("说明"),
        Column::number("字段"),
        Column::number("规则"),
        Column::text("上传要求"),
        Column::text("标准"),
    ];
    let line = format!("共 {} 个数据集；每个数据集有自己的字段、规则和上传模板。", catalog.datasets.len());
    html! {
        (page_head(&[], "数据集目录", &line, html! {}))
        @for (name, rows) in &groups {
            (card_with(name, html! { (rows.len()) " 个" }, table(&Here::default(), &columns, rows)))
        }
    }
}

fn row(dataset: &Dataset) -> Row {
    Row::to(
        format!("/datasets/{}", dataset.code),
        vec![
            html! { span.mk-nowrap { (dataset.name) } },
            html! { code { (dataset.code) } },
            html! { (dataset.description) },
            html! { (dataset.fields.len()) },
            html! { (dataset.rules.len()) },
            html! {
                @if dataset.expect.daily { "每日" } @else { "发生时" }
                br; small.mk-muted { (senders(dataset)) }
            },
            html! { small.mk-muted { (dataset.standard) } },
        ],
    )
}

fn senders(dataset: &Dataset) -> String {
    if dataset.expect.senders.is_empty() {
        return "全部机构".to_owned();
    }
    dataset.expect.senders.iter().map(|c| scope::class_name(c)).collect::<Vec<_>>().join("、")
}

/// `GET /datasets/{code}`
pub(super) async fn one(
    State(exchange): State<Exchange>,
    frame: Frame,
    Path(code): Path<String>,
) -> Reply<Markup> {
    let dataset = find(exchange.catalog(), &code)?;
    let tables = exchange.intake.parts().terminology.tables();
    let may_send = frame.caller.as_ref().is_some_and(|c| c.may(Need::new(Line::Exchange, Act::Write)));
    Ok(frame.page(&dataset.name, view(exchange.catalog(), &tables, &dataset, may_send)))
}

/// A data set. Pure.
pub fn view(catalog: &Catalog, tables: &CodeTables, dataset: &Dataset, may_send: bool) -> Markup {
    let code = &dataset.code;
    let keys: Vec<&str> = dataset.key.iter().map(|k| dataset.fields[*k].title.as_str()).collect();
    let parent = dataset.parent.as_ref().and_then(|p| catalog.dataset(&p.dataset));
    let revision = dataset.revision.map(|f| dataset.fields[f].title.as_str()).unwrap_or_default();
    html! {
        (page_head(&[("数据集目录", "/datasets")], &dataset.name, &dataset.description, html! {
            @if may_send { a.btn.btn-primary href={ "/batches/new?dataset=" (code) } { (icon("upload")) " 上传文件" } }
            a.btn href={ "/datasets/" (code) "/template.csv" } download { (icon("download")) " 下载模板" }
        }))
        section.mk-card { div.mk-card-body {
            (describe(&[
                fact("代码", code),
                fact("别名", &dataset.aliases.join("、")),
                fact("标准", &dataset.standard),
                fact("业务主键", &format!("机构 ＋ {}", keys.join(" ＋ "))),
                fact("发生时间", &dataset.fields[dataset.occurred].title),
                fact("修改标志", revision),
                ("所属父记录".to_owned(), html! { @match parent {
                    Some(p) => a href={ "/datasets/" (p.code) } { (p.name) },
                    None => span.mk-muted { "—" },
                } }),
                fact("上传要求", if dataset.expect.daily { "每日" } else { "发生时" }),
                fact("上传机构", &senders(dataset)),
            ]))
        } }
        (fields(tables, dataset))
        (rules(dataset))
        (upload(dataset))
    }
}

fn kind(tables: &CodeTables, field: &Field) -> Markup {
    match &field.kind {
        FieldKind::Text { max } => html! { "文本，最多 " (max) " 字" },
        FieldKind::Code { table, .. } => {
            let name = tables.get(table).map_or(table.as_str(), |t| t.name.as_str());
            html! { "代码：" a href={ "/codes/" (table) } { (name) } }
        }
        FieldKind::Integer => html! { "整数" },
        FieldKind::Decimal { scale } => html! { "小数，" (scale) " 位" },
        FieldKind::Date => html! { "日期" },
        FieldKind::DateTime => html! { "日期时间" },
        FieldKind::Boolean => html! { "是否" },
    }
}

fn fields(tables: &CodeTables, dataset: &Dataset) -> Markup {
    let columns = [
        Column::text("中文名"),
        Column::text("字段名"),
        Column::text("数据元"),
        Column::text("类型"),
        Column::text("单位"),
        Column::text("必填"),
        Column::text("也接受的列名"),
        Column::text("敏感"),
    ];
    let rows: Vec<Row> = dataset
        .fields
        .iter()
        .enumerate()
        .map(|(position, field)| {
            Row::plain(vec![
                html! {
                    (field.title)
                    @if dataset.key.contains(&position) { " " (badge(Tone::Info, "主键")) }
                    @if dataset.occurred == position { " " (badge(Tone::Info, "发生时间")) }
                },
                html! { code { (field.name) } },
                html! { @if field.element.is_empty() { span.mk-muted { "—" } } @else { code { (field.element) } } },
                kind(tables, field),
                html! { (field.unit) },
                html! {
                    @if field.required { b { "必填" } } @else if field.recommended { "应填" } @else { span.mk-muted { "选填" } }
                },
                html! { (field.aliases.join("、")) },
                html! { @match field.sensitivity {
                    Sensitivity::Ordinary => {},
                    Sensitivity::Identifying => (plain_badge("标识信息")),
                    Sensitivity::Restricted => (badge(Tone::Warn, "严格限制")),
                } },
            ])
        })
        .collect();
    let beside = html! { "缺必填的行拒收；缺应填的行入库并扣完整性分" };
    card_with(&format!("字段（{}）", rows.len()), beside, table(&Here::default(), &columns, &rows))
}

/// What a rule checks, in a few words.
pub fn kind_of_rule(check: &Check) -> &'static str {
    match check {
        Check::Required => "必填",
        Check::Type => "类型",
        Check::Length(_) => "长度",
        Check::InTable => "值域代码",
        Check::Range { .. } => "取值范围",
        Check::Format(Pattern::Phone) => "电话格式",
        Check::Format(Pattern::CreditCode) => "统一社会信用代码",
        Check::Format(Pattern::Icd10) => "ICD-10 格式",
        Check::Format(Pattern::Icd9Procedure) => "ICD-9-CM-3 格式",
        Check::Format(Pattern::Digits) => "数字格式",
        Check::Format(Pattern::PersonName) => "姓名格式",
        Check::Format(Pattern::Region) => "区划代码格式",
        Check::Format(Pattern::InstitutionCode) => "机构代码格式",
        Check::RequiredIf { .. } => "条件必填",
        Check::AnyOf(_) => "至少填一项",
        Check::DateOrder { .. } => "先后顺序",
        Check::NotFuture => "不晚于接收",
        Check::SumEquals { .. } => "合计相等",
        Check::ProductEquals { .. } => "乘积相等",
        Check::CitizenId { .. } => "身份证校验位",
        Check::AgreesWithCitizenId { .. } => "与身份证一致",
        Check::Timely { .. } => "及时",
        Check::BelongsTo => "父记录存在（跨表）",
        Check::SumOfChildren { .. } => "明细合计（跨表）",
    }
}

fn rules(dataset: &Dataset) -> Markup {
    let columns = [
        Column::text("规则"),
        Column::text("种类"),
        Column::text("维度"),
        Column::number("权重"),
        Column::text("处理"),
        Column::text("如何改正"),
    ];
    // Written rules first: those implied by the fields stand in the list of fields already.
    let implied =
        |r: &Rule| matches!(r.check, Check::Type | Check::Length(_) | Check::InTable | Check::Required);
    let mut ordered: Vec<&Rule> = dataset.rules.iter().collect();
    ordered.sort_by_key(|r| implied(r));
    let rows: Vec<Row> = ordered
        .into_iter()
        .map(|rule| {
            Row::plain(vec![
                html! { (rule.message) br; small.mk-muted { (rule.code) } },
                html! { span.mk-nowrap { (kind_of_rule(&rule.check)) } },
                html! { span.mk-nowrap { (rule.dimension.name()) } },
                html! { (rule.weight) },
                html! { @if rule.reject { (badge(Tone::Bad, "拒收")) } @else { (badge(Tone::Warn, "入库并扣分")) } },
                html! { (rule.hint) },
            ])
        })
        .collect();
    card_with(&format!("规则（{}）", rows.len()), html! {}, table(&Here::default(), &columns, &rows))
}

fn upload(dataset: &Dataset) -> Markup {
    let code = &dataset.code;
    let command = format!(
        "curl -u 客户端编号:密钥 --data-binary @{code}.csv \\\n     -H 'Content-Type: text/csv' \\\n     \
         -H 'Idempotency-Key: {code}-20250304-1' \\\n     'http://平台地址/api/v1/datasets/{code}/batches?file_name={code}.csv'"
    );
    card(
        "用接口上传",
        html! {
            pre { code { (command) } }
            p.mk-muted {
                "CSV 或 NDJSON，可用 gzip 压缩，UTF-8 或 GB18030；列名可用字段名、中文名、数据元标识符或上表的别名。"
                "加 mode=all 则有一行不合格就整批不入库。同样的文件重复上传不会产生重复数据；同一主键内容不同的行视为更正。"
                "回执中有行数、得分和问题清单的地址。客户端编号和密钥由平台管理员发放。"
            }
        },
    )
}

/// `GET /datasets/{code}/template.csv`: a heading of Chinese names, as spreadsheet users want it.
pub(super) async fn template(State(exchange): State<Exchange>, Path(code): Path<String>) -> Reply<Download> {
    let dataset = find(exchange.catalog(), &code)?;
    let heads: Vec<&str> = dataset.fields.iter().map(|f| f.title.as_str()).collect();
    Ok(download::csv(&format!("{}.csv", dataset.code), &heads, std::iter::empty()))
}
