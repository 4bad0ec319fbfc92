//! The page of extracts: the form, the report, what becomes of each field; and the file.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use catalog::deidentify::Identity;
use chrono::Days;
use kernel::{Error, Purpose, Refusal, Result};
use maud::{Markup, html};
use protect::deidentify::Action;
use web::ui::{
    Column, Field, Figure, Here, Kind, Row, Tone, badge, card, card_with, field, figures, form_acts, icon,
    notice, page_head, plain_badge, select_field, table,
};
use web::{Allowed, Frame, Reply};

use super::{Asked, Extract, make};
use crate::Exchange;

fn asked(exchange: &Exchange, here: &Here) -> Result<Asked> {
    let text = |key| here.get(key).unwrap_or_default().trim().to_owned();
    let day = |key| {
        here.get(key)
            .and_then(|d| d.parse().ok())
            .ok_or_else(|| Error::from(Refusal::invalid("extract.days", "请填写起止日期，形如 2025-03-01。")))
    };
    let dataset = here
        .get("dataset")
        .and_then(|d| exchange.catalog().dataset(d))
        .cloned()
        .ok_or_else(|| Refusal::invalid("extract.dataset", "请选择数据集。"))?;
    Ok(Asked {
        dataset,
        project: text("project"),
        reason: text("reason"),
        from: day("from")?,
        to: day("to")?,
    })
}

/// `GET /extracts`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
) -> Reply<Markup> {
    let mut wrong = None;
    let mut found = None;
    if here.get("dataset").is_some() {
        let reach = allowed.reach(Purpose::of("statistics"))?;
        let answer = match asked(&exchange, &here) {
            Ok(asked) => make(&exchange, &reach, &asked, "extract.report").await.map(|e| (asked, e)),
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => found = Some(answer),
            Err(Error::Refused(refusal)) => wrong = Some(refusal.message),
            Err(error) => return Err(error.into()),
        }
    }
    let body = html! {
        (page_head(&[], "去标识化提取",
            "按 GB/T 37964、GB/T 39725 的规则提取个案数据：直接标识删除或换成假名，日期整体平移，人数过少的组不提供。",
            html! {}))
        @if let Some(wrong) = &wrong { (notice(Tone::Bad, "不能提取", wrong)) }
        (form(&exchange, &here))
        @if let Some((asked, extract)) = &found { (result(asked, extract, &here)) }
    };
    Ok(frame.page("去标识化提取", body))
}

fn form(exchange: &Exchange, here: &Here) -> Markup {
    let datasets: Vec<(String, String)> = exchange
        .catalog()
        .datasets
        .iter()
        .filter(|d| d.person.is_some())
        .map(|d| (d.code.clone(), d.name.clone()))
        .collect();
    let today = exchange.intake.parts().clock.today();
    let month_ago = today.checked_sub_days(Days::new(30)).unwrap_or(today).to_string();
    let value = |key| here.get(key).unwrap_or_default();
    let or = |key, otherwise: &str| here.get(key).unwrap_or(otherwise).to_owned();
    let (from, to) = (or("from", &month_ago), or("to", &today.to_string()));
    let text = |name, label, hint| {
        field(&Field { name, label, hint, value: value(name), required: true, ..Field::default() })
    };
    let day = |name, label, value: &str| {
        field(&Field { name, label, value, kind: Kind::Date, required: true, ..Field::default() })
    };
    card(
        "提取范围",
        html! {
            form.mk-form method="get" action="/extracts" {
                (select_field(&Field { name: "dataset", label: "数据集", value: value("dataset"), required: true, ..Field::default() }, &datasets))
                (text("project", "项目名称", "同一项目的各次提取可按假名关联，不同项目之间不能。"))
                (text("reason", "用途和批准文号", "记入审计日志。"))
                (day("from", "业务发生日期，从", &from))
                (day("to", "到", &to))
                (form_acts("生成匿名性报告", None))
            }
        },
    )
}

fn result(asked: &Asked, extract: &Extract, here: &Here) -> Markup {
    let report = &extract.report;
    let figure = |label: &str, value: String, note: &str| Figure {
        label: label.to_owned(),
        value,
        note: note.to_owned(),
        href: None,
    };
    let columns = [Column::text("组内人数"), Column::number("组数")];
    let spread = ["1", "2-4", "5-9", "10-19", "20-49", "50+"].map(|band| {
        let classes = report.distribution.get(band).copied().unwrap_or(0);
        Row::plain(vec![html! { (band) }, html! { (classes) }])
    });
    let scrubbed = extract.plan.iter().any(|p| p.action == Action::Scrub);
    html! {
        @if extract.truncated {
            (notice(Tone::Warn, "没有取全", "范围内的数据超过 10 万行，只取了前 10 万行。请缩短日期范围，分几次提取。"))
        }
        (card_with("匿名性报告", html! {
            @if !extract.rows.is_empty() {
                a.btn.btn-primary href=(here.at("/extracts/rows.csv").href()) download { (icon("download")) " 下载 " (extract.rows.len()) " 行" }
            }
        }, html! { div.mk-card-body {
            (figures(&[
                figure("k（最小组人数）", if report.k == 0 { "—".to_owned() } else { report.k.to_string() }, &format!("要求不少于 {}", report.threshold)),
                figure("可提供", extract.rows.len().to_string(), "行"),
                figure("未提供", report.suppressed_rows.to_string(), &format!("行，{} 人", report.suppressed_people)),
                figure("处理前最小组", report.smallest_before.to_string(), "人"),
                figure("l（敏感字段取值数）", report.l.map_or("—".to_owned(), |l| l.to_string()), ""),
                figure("最大重识别风险", format!("{:.1}%", report.greatest_risk * 100.0), ""),
            ]))
            @if report.rows == 0 {
                (notice(Tone::Info, "没有数据", "这一时期、您的管辖范围内没有这个数据集的行。请换一个日期范围。"))
            } @else if extract.rows.is_empty() {
                (notice(Tone::Warn, "没有可提供的行", "所有的组都少于要求的人数。请扩大日期范围或地区。"))
            }
            @if report.uniform_classes > 0 {
                (notice(Tone::Warn, "有的组敏感字段取值单一",
                    &format!("{} 个组里所有人的敏感字段相同：知道某人在组里，就知道了他的这一项。对外提供前请评估。", report.uniform_classes)))
            }
            @if scrubbed {
                (notice(Tone::Info, "含自由文本",
                    "文字中的号码、邮箱和患者本人姓名已清除，绰号、单位等无法自动识别；只应提供给签有协议的项目。"))
            }
        } }))
        (card_with("各组人数分布（处理前）", html! {}, table(&Here::default(), &columns, &spread)))
        (card_with("各字段的处理", html! { small.mk-muted { (asked.dataset.name) "；规则见 catalog/deidentify.toml" } }, fields(asked, extract)))
    }
}

fn fields(asked: &Asked, extract: &Extract) -> Markup {
    let columns =
        [Column::text("字段"), Column::text("类别"), Column::text("处理"), Column::text("依据的规则")];
    let rows: Vec<Row> = extract
        .plan
        .iter()
        .map(|planned| {
            let field = &asked.dataset.fields[planned.field];
            let class = match planned.identity {
                Identity::Direct => badge(Tone::Bad, "直接标识"),
                Identity::Quasi => badge(Tone::Warn, "准标识"),
                Identity::Other => plain_badge("其他"),
            };
            Row::plain(vec![
                html! { (field.title) " " small.mk-muted { (field.name) } },
                class,
                html! { (planned.action.title()) },
                html! { (planned.rule) },
            ])
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}

/// `GET /extracts/rows.csv`
pub(super) async fn csv(State(exchange): State<Exchange>, allowed: Allowed, here: Here) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("statistics"))?;
    let asked = asked(&exchange, &here)?;
    let extract = make(&exchange, &reach, &asked, "extract.download").await?;
    let heads: Vec<&str> = extract.heads.iter().map(String::as_str).collect();
    let file = format!("extract-{}-{}.csv", asked.dataset.code, asked.from);
    Ok(web::download::csv(&file, &heads, extract.rows).into_response())
}
