//! `/index/runs/{run}/pairs`: pairs that only some of the compared models would link, a random part of them: side by side,
//! with the evidence that each model finds in each field; masked as on the review desk.

use axum::extract::{Path, State};
use chrono::NaiveDate;
use kernel::{Refusal, Result};
use maud::{Markup, html};
use sqlx::types::Json;
use store::{AuditEntry, DbDoing, Gated};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card_with, list, page_head, table,
};
use web::{Frame, Reply};

use super::read::{self, Registration, Within};
use super::show::Eyes;
use super::{Desk, EXPORT, MANAGE, bits, compare, queue, versus, words};
use crate::runs::{Compared, Says, Would};

/// Rows on a page.
const PAGE: u64 = 30;
/// Rows of an export.
const EXPORTED: i64 = 20_000;

/// A pair of the list.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Pair {
    no: i32,
    a: i64,
    b: i64,
    models: i32,
    joined: bool,
    evidence: Json<Vec<Says>>,
    a_name: String,
    a_sex: String,
    a_birth: Option<NaiveDate>,
    a_institution: i32,
    b_name: String,
    b_sex: String,
    b_birth: Option<NaiveDate>,
    b_institution: i32,
}

#[derive(Debug, Clone, Default)]
struct Asked {
    /// Bits of the models that link the pair; 0: any.
    models: i32,
    /// `yes`, `no` or nothing: whether the two are one person now.
    joined: String,
    name: String,
    /// One pair by its number; 0: all.
    no: i32,
}

fn asked(here: &Here) -> Asked {
    let text = |key: &str| here.get(key).unwrap_or("").trim().chars().take(30).collect::<String>();
    Asked { models: text("models").parse().unwrap_or(0), joined: text("joined"), name: text("name"), no: 0 }
}

// One side within reach, as in the queue.
const PAIRS: &str = "
    select d.no, d.a, d.b, d.models, d.joined, d.evidence, a.name as a_name, a.sex as a_sex, a.birth_date as a_birth,
           a.institution_id as a_institution, b.name as b_name, b.sex as b_sex, b.birth_date as b_birth,
           b.institution_id as b_institution
    from index_difference d join identity_record a on a.id = d.a join identity_record b on b.id = d.b
    where d.run_id = $1
      and (a.institution_id = any($2) or a.region like any($3) or b.institution_id = any($2) or b.region like any($3))
      and ($4 = 0 or d.models = $4) and ($5 = '' or d.joined = ($5 = 'yes'))
      and ($6 = '' or starts_with(a.name, $6) or starts_with(b.name, $6)) and ($7 = 0 or d.no = $7)
    order by d.no limit $8 offset $9";
const COUNT: &str = "
    select count(*)
    from index_difference d join identity_record a on a.id = d.a join identity_record b on b.id = d.b
    where d.run_id = $1
      and (a.institution_id = any($2) or a.region like any($3) or b.institution_id = any($2) or b.region like any($3))
      and ($4 = 0 or d.models = $4) and ($5 = '' or d.joined = ($5 = 'yes'))
      and ($6 = '' or starts_with(a.name, $6) or starts_with(b.name, $6)) and ($7 = 0 or d.no = $7)";

async fn pairs(
    tx: &mut Gated<'_>,
    within: &Within,
    run: i64,
    asked: &Asked,
    limit: i64,
    offset: i64,
) -> Result<Vec<Pair>> {
    sqlx::query_as(PAIRS)
        .bind(run)
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(asked.models)
        .bind(&asked.joined)
        .bind(&asked.name)
        .bind(asked.no)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut ***tx)
        .await
        .db("list differing pairs")
}

async fn count(tx: &mut Gated<'_>, within: &Within, run: i64, asked: &Asked) -> Result<u64> {
    let counted: i64 = sqlx::query_scalar(COUNT)
        .bind(run)
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(asked.models)
        .bind(&asked.joined)
        .bind(&asked.name)
        .bind(asked.no)
        .fetch_one(&mut ***tx)
        .await
        .db("count differing pairs")?;
    Ok(counted.unsigned_abs())
}

async fn found(
    desk: &Desk,
    allowed: &Allowed,
    run: i64,
    asked: &Asked,
    act: &'static str,
    (limit, offset): (i64, i64),
) -> Result<(Vec<Pair>, u64)> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let found = pairs(tx, &within, run, asked, limit, offset).await?;
            let total = count(tx, &within, run, asked).await?;
            let entry = AuditEntry {
                act,
                object_kind: "index_run",
                object_id: Some(run),
                object_label: asked.name.clone(),
                rows: i32::try_from(found.len()).ok(),
                ..AuditEntry::default()
            };
            Ok(((found, total), entry))
        })
        .await
}

/// The first pairs of a run, and whether there are more.
pub(super) async fn first(desk: &Desk, allowed: &Allowed, run: i64, limit: i64) -> Result<(Vec<Pair>, bool)> {
    let (found, total) = found(desk, allowed, run, &Asked::default(), "person.run_view", (limit, 0)).await?;
    let more = total > found.len() as u64;
    Ok((found, more))
}

fn unknown() -> Refusal {
    Refusal::not_found("index.pair_unknown", "没有这个样例，或它的两处登记都在您的辖区以外。请从列表中选择。")
}

/// What a comparison came to; of other runs, which have no pairs, nothing.
async fn compared(desk: &Desk, run: &str) -> Result<(i64, Compared)> {
    let gone = || Refusal::not_found("index.run_unknown", "没有这次模型比较，请从列表中选择。");
    let run: i64 = run.parse().map_err(|_| gone())?;
    let statistics: Json<Compared> = sqlx::query_scalar("select statistics from index_run where id = $1")
        .bind(run)
        .fetch_optional(desk.db.pool())
        .await
        .db("read a comparison")?
        .ok_or_else(gone)?;
    Ok((run, statistics.0))
}

fn columns() -> Vec<Column<'static>> {
    ["甲", "乙", "会归为一人的模型", "各模型的证据（比特）", "现状"].map(Column::text).to_vec()
}

fn side(desk: &Desk, eyes: &Eyes<'_>, name: &str, sex: &str, birth: Option<NaiveDate>, at: i32) -> Markup {
    html! {
        (eyes.shown("name", name)) @if name.is_empty() { span.mk-muted { "（未登记姓名）" } }
        small { " " (words::sex(sex)) " " (birth.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default()) }
        " " small.mk-muted { (desk.institution(at)) }
    }
}

fn cells(desk: &Desk, eyes: &Eyes<'_>, run: i64, models: &[Would], pairs: &[Pair]) -> Vec<Row> {
    pairs
        .iter()
        .map(|p| {
            Row::to(
                format!("/index/runs/{run}/pairs/{}", p.no),
                vec![
                    side(desk, eyes, &p.a_name, &p.a_sex, p.a_birth, p.a_institution),
                    side(desk, eyes, &p.b_name, &p.b_sex, p.b_birth, p.b_institution),
                    html! { (versus::of_set(models, p.models.unsigned_abs())) },
                    html! { @for (model, says) in models.iter().zip(&p.evidence.0) {
                        div { (bits::bar(says.weight)) " " small { (bits::signed(says.weight)) " · " (bits::percent(says.probability as f32)) " " span.mk-muted { (versus::title(model)) } } }
                    } },
                    html! { @if p.joined { "一人" } @else { "两人" } },
                ],
            )
        })
        .collect()
}

/// Pairs as a table.
pub(super) fn rows(desk: &Desk, allowed: &Allowed, run: i64, models: &[Would], pairs: &[Pair]) -> Markup {
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    if pairs.is_empty() {
        return html! { div.mk-card-body.mk-muted { "样例的登记都在您的辖区以外。" } };
    }
    table(&Here::default(), &columns(), &cells(desk, &eyes, run, models, pairs))
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(run): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (run, compared) = compared(&desk, &run).await?;
    let (asked, page) = (asked(&here), queue::page_of(&here));
    let place = (PAGE as i64, ((page - 1) * PAGE) as i64);
    let (pairs, total) = found(&desk, &allowed, run, &asked, "person.run_view", place).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let sets: Vec<(String, String)> = compared
        .differing
        .keys()
        .map(|set| (set.to_string(), format!("仅 {}", versus::of_set(&compared.models, *set))))
        .collect();
    let joined = [("yes", "一人"), ("no", "两人")].map(|(c, n)| (c.to_owned(), n.to_owned()));
    let path = format!("/index/runs/{run}/pairs.csv");
    let export = [Export { label: "导出 CSV", path: &path }];
    let view = List {
        filters: &[
            Filter::Choice { name: "models", label: "会归为一人的模型", options: &sets },
            Filter::Choice { name: "joined", label: "现状", options: &joined },
            Filter::Text { name: "name", label: "姓名", hint: "开头几个字" },
        ],
        total: Some(total),
        unit: "个样例",
        columns: &columns(),
        rows: cells(&desk, &eyes, run, &compared.models, &pairs),
        paging: Paging::Numbered { page, per_page: PAGE, total },
        exports: if allowed.caller().may(EXPORT) { &export } else { &[] },
        empty: (
            "没有符合条件的样例",
            "这些模型的结论相同，或样例的登记都在您的辖区以外。可以放宽上面的条件。",
        ),
        empty_action: None,
    };
    let back = format!("/index/runs/{run}");
    Ok(frame.page("模型比较", html! {
        (page_head(&[("批量关联", "/index/runs"), ("模型比较", &back)], "结论不同的登记对", "每种组合随机留存最多 1,000 对，次序也是随机的：看前几页即可估计各模型判断的对错。", html! {}))
        (list(&here, &view))
    }))
}

pub(super) async fn csv(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(run): Path<String>,
    here: Here,
) -> Reply<web::download::Download> {
    if !allowed.caller().may(MANAGE) {
        return Err(Refusal::forbidden("index.manage", "导出模型比较需要“居民主索引·管理”权限。").into());
    }
    let (run, compared) = compared(&desk, &run).await?;
    let (pairs, _) = found(&desk, &allowed, run, &asked(&here), "person.run_export", (EXPORTED, 0)).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let fixed = [
        "编号",
        "甲登记",
        "甲姓名",
        "甲性别",
        "甲出生日期",
        "甲机构",
        "乙登记",
        "乙姓名",
        "乙性别",
        "乙出生日期",
        "乙机构",
        "会归为一人的模型",
        "现状",
    ];
    let mut heads: Vec<String> = fixed.map(str::to_owned).to_vec();
    for model in &compared.models {
        let name = versus::title(model);
        heads.extend([format!("{name} 证据（比特）"), format!("{name} 可能性"), format!("{name} 各项")]);
    }
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|p| {
            let birth = |d: Option<NaiveDate>| {
                d.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default()
            };
            let mut row = vec![
                p.no.to_string(),
                p.a.to_string(),
                eyes.shown("name", &p.a_name),
                words::sex(&p.a_sex).to_owned(),
                birth(p.a_birth),
                desk.institution(p.a_institution),
                p.b.to_string(),
                eyes.shown("name", &p.b_name),
                words::sex(&p.b_sex).to_owned(),
                birth(p.b_birth),
                desk.institution(p.b_institution),
                versus::of_set(&compared.models, p.models.unsigned_abs()),
                if p.joined { "一人" } else { "两人" }.to_owned(),
            ];
            for says in &p.evidence.0 {
                let parts = says.parts.iter().map(|part| {
                    format!("{} {} {:+.1}", words::field(&part.field), words::level(&part.level), part.weight)
                });
                row.extend([
                    format!("{:.1}", says.weight),
                    bits::percent(says.probability as f32),
                    parts.collect::<Vec<_>>().join("；"),
                ]);
            }
            row
        })
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    Ok(web::download::csv("differences.csv", &heads, rows))
}

/// The evidence of every model, field by field.
fn evidence(models: &[Would], pair: &Pair) -> Markup {
    let says = &pair.evidence.0;
    let mut fields: Vec<&str> = Vec::new();
    for part in says.iter().flat_map(|s| &s.parts) {
        if !fields.contains(&part.field.as_str()) {
            fields.push(&part.field);
        }
    }
    let names: Vec<String> = models.iter().map(versus::title).collect();
    let mut columns = vec![Column::text("项目"), Column::text("相同的程度")];
    columns.extend(names.iter().map(|n| Column::text(n)));
    let weight = |w: f64| html! { (bits::bar(w)) " " (bits::signed(w)) };
    let mut rows: Vec<Row> = fields
        .iter()
        .map(|field| {
            let part = |s: &Says| s.parts.iter().find(|p| p.field == *field).cloned();
            let level = says.iter().find_map(part).map(|p| words::level(&p.level).to_owned());
            let mut cells = vec![html! { (words::field(field)) }, html! { (level.unwrap_or_default()) }];
            cells.extend(says.iter().map(|s| part(s).map(|p| weight(p.weight)).unwrap_or_default()));
            Row::plain(cells)
        })
        .collect();
    let mut sum = vec![html! { b { "合计" } }, html! {}];
    sum.extend(
        says.iter().map(|s| html! { (weight(s.weight)) " " b { (bits::percent(s.probability as f32)) } }),
    );
    rows.push(Row::plain(sum));
    let mut verdict = vec![html! { b { "会作出的结论" } }, html! {}];
    verdict.extend((0..models.len()).map(|at| match pair.models >> at & 1 {
        1 => badge(Tone::Info, "归为一人"),
        _ => badge(Tone::Neutral, "不归为一人"),
    }));
    rows.push(Row::plain(verdict));
    table(&Here::default(), &columns, &rows)
}

pub(super) async fn one(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path((run, pair)): Path<(String, String)>,
    frame: Frame,
) -> Reply<Markup> {
    let (run, compared) = compared(&desk, &run).await?;
    let no: i32 = pair.parse().ok().filter(|no| *no > 0).ok_or_else(unknown)?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    let (pair, all, within) = desk
        .db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let asked = Asked { no, ..Asked::default() };
            let pair = pairs(tx, &within, run, &asked, 1, 0).await?.pop().ok_or_else(unknown)?;
            let all = read::side_by_side(tx, pair.a, pair.b).await?;
            let person = |record: i64| all.iter().find(|r: &&Registration| r.id == record).map(|r| r.person);
            let entry = |person: Option<i64>, name: &str| AuditEntry {
                act: "person.run_view",
                object_kind: "index_run",
                object_id: Some(run),
                object_label: name.to_owned(),
                person_id: person,
                rows: i32::try_from(all.len()).ok(),
                ..AuditEntry::default()
            };
            let (x, y) = (person(pair.a), person(pair.b));
            if x != y {
                let second = entry(y, &pair.b_name);
                store::audit::record(tx, reach.caller(), reach.purpose(), now, &second).await?;
            }
            let first = entry(x, &pair.a_name);
            Ok(((pair, all, within), first))
        })
        .await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let (back, pairs) = (format!("/index/runs/{run}"), format!("/index/runs/{run}/pairs"));
    let (before, after) = (format!("{pairs}/{}", no - 1), format!("{pairs}/{}", no + 1));
    let body = html! {
        (page_head(&[("批量关联", "/index/runs"), ("模型比较", &back), ("结论不同的登记对", &pairs)], &format!("样例 {no}"), "", html! {
            (badge(Tone::Neutral, if pair.joined { "现归一人" } else { "现为两人" }))
            @if no > 1 { a.btn href=(before) data-key="k" title="快捷键 K" { "上一个" } }
            a.btn href=(after) data-key="j" title="快捷键 J" { "下一个" }
        }))
        (card_with("各模型的证据", html! { small.mk-muted { "条形向右支持是同一人，向左反对" } }, evidence(&compared.models, &pair)))
        (card_with("登记对照", html! { small.mk-muted { "底色标出不同的字；这两人的其他登记见身份页" } }, compare::side_by_side(&desk, &eyes, &all[..all.len().min(2)], None, None, Some(&within))))
        @if (pair.models != 0) && pair.evidence.0.iter().enumerate().any(|(at, s)| (s.probability < 0.5) == (pair.models >> at & 1 == 1)) {
            p.mk-muted { "可能性与结论不一致的，是因为还有第三条登记：经由它归为一人，或它的证据反对。" }
        }
    };
    Ok(frame.page("模型比较", body))
}
