//! One division: where it lies, what it holds, what is below, how it came about ("as it was on"); and what a county keeps
//! by itself.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{Reach, RegionCode, Result, Tier};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::Row as _;
use store::DbDoing;
use web::route::Allowed;
use web::ui::{
    Column, Field, Figure, Filter, Here, Kind, Row, Tone, card, card_with, describe, fact, field, figures,
    filter_form, form_acts, icon, notice, page_head, select_field, table, thousands,
};
use web::{Frame, Reply};

use super::super::operation::tier_name;
use super::super::plan::{self, Unit, kind_name};
use super::super::upkeep::Upkeep;
use super::super::{Divisions, edition};
use super::{MANAGE, code_of, href, reach, tree, unknown, words};

/// `GET /divisions/{code}`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(code): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (reach, code) = (reach(&allowed)?, code_of(&code)?);
    let year = desk.year_of(here.get("year"), here.get("on"))?;
    let known = desk.directory.regions_now();
    let unit = edition::one(desk.db(), year, &code).await?;
    let past = if unit.is_none() { last_known(&desk, &code).await? } else { None };
    let (unit, gone) = match (unit, past) {
        (Some(unit), _) => (unit, None),
        (None, Some((last, unit))) => (unit, Some(last)),
        (None, None) => return Err(unknown().into()),
    };
    let way = desk.way(&code, gone.unwrap_or(year));
    let way: Vec<(&str, &str)> = way.iter().map(|(t, h)| (t.as_str(), h.as_str())).collect();
    let covered = reach.covers_region(&code);
    let manages = allowed
        .caller()
        .decide(MANAGE, kernel::Purpose::of("registry"))
        .is_ok_and(|r| r.covers_region(&code));
    let newest = known.newest() == Some(year);
    let facts = [
        fact("区划代码", code.as_str()),
        fact("级别", tier_name(&code)),
        fact("全称", &known.full_name_in(&code, gone.unwrap_or(year))),
        fact("城乡分类", &words::class_name(&unit.class)),
        fact("来源", words::origin_name(&unit.origin)),
        fact("版本", &format!("{} 年版", gone.unwrap_or(year))),
    ];
    let years = desk.year_options(year);
    let body = html! {
        (page_head(&way, &unit.name, &format!("{}　{}", tier_name(&code), code.prefix()), html! {
            @if manages && newest && gone.is_none() { (acts(&code)) }
        }))
        @if let Some(last) = gone {
            (notice(Tone::Warn, "这个区划已不在本版中", &format!("{year} 年版中已没有这个代码，以下是它撤销以前（{last} 年版）的样子；去向见下方沿革。")))
        }
        @if covered && gone.is_none() { (held(&desk, &code).await?) }
        div.mk-columns {
            (card("基本情况", describe(&facts)))
            (history(&desk, &code, year).await?)
        }
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Day { name: "on", label: "某一天的样子" },
                Filter::Pick { name: "year", label: "年份", options: &years },
            ]))
        }
        @if code.tier() != Some(Tier::Village) && gone.is_none() { (tree::children_card(&desk, &reach, year, &code).await?) }
        @if manages && newest && gone.is_none() { (upkeep_forms(&unit)) }
    };
    Ok(frame.page(&unit.name, body))
}

fn acts(code: &RegionCode) -> Markup {
    let to = |kind: &str| format!("/divisions/operations/new?kind={kind}&code={code}");
    html! {
        @if code.tier() > Some(Tier::Province) {
            a.btn href=(to("split")) { "拆分" }
            a.btn href=(to("merge")) { "合并" }
            a.btn href=(to("move")) { "划转" }
            a.btn href=(to("rename")) { "更名" }
            a.btn href=(to("abolish")) { "撤销" }
        }
    }
}

/// The last edition that had a code, and what it said of it.
async fn last_known(desk: &Divisions, code: &RegionCode) -> Result<Option<(i16, Unit)>> {
    let year: Option<i16> = sqlx::query_scalar("select max(year) from region where code = $1")
        .bind(code.as_str())
        .fetch_one(desk.db().pool())
        .await
        .db("read when a division was last there")?;
    if let Some(year) = year {
        return Ok(edition::one(desk.db(), year, code).await?.map(|unit| (year, unit)));
    }
    // It came and went within one edition: the operation that took it knows it.
    let row: Option<(i16, serde_json::Value)> = sqlx::query_as(
        "select year, jsonb_path_query_first(plan, '$.removed[*] ? (@.code == $code)', jsonb_build_object('code', $1::text))
         from division_operation
         where plan @> jsonb_build_object('removed', jsonb_build_array(jsonb_build_object('code', $1::text)))
           and state = 'done'
         order by id desc limit 1",
    )
    .bind(code.as_str())
    .fetch_optional(desk.db().pool())
    .await
    .db("read when a division was last there")?;
    Ok(row.and_then(|(year, unit)| Some((year, serde_json::from_value(unit).ok()?))))
}

async fn held(desk: &Divisions, code: &RegionCode) -> Result<Markup> {
    let (counts, counted) = desk.counts(&[*code]).await?;
    let held = counts.get(code);
    let items: Vec<Figure> = desk
        .parts_counted()
        .into_iter()
        .map(|(part, title)| Figure {
            label: title.to_owned(),
            value: held.and_then(|h| h.get(part)).map_or("0".to_owned(), |n| thousands((*n).cast_unsigned())),
            note: counted.map_or_else(|| "正在统计".to_owned(), |at| format!("统计于 {}", words::time(at))),
            href: if part == "institutions" {
                Some(format!("/institutions?county={}", code.at(Tier::County)))
            } else {
                desk.holdings.iter().find(|h| h.part() == part).and_then(|h| h.rows_of(code))
            },
        })
        .collect();
    Ok(figures(&items))
}

/// Names by edition, and the operations that touched it.
async fn history(desk: &Divisions, code: &RegionCode, shown: i16) -> Result<Markup> {
    let names = sqlx::query("select year, name, class from region where code = $1 order by year desc")
        .bind(code.as_str())
        .fetch_all(desk.db().pool())
        .await
        .db("read the history of a division")?;
    let operations = sqlx::query(
        "select id, year, kind, title, asked_at, state from division_operation
         where state in ('done', 'undone', 'moving', 'undoing') and (
               plan @> jsonb_build_object('removed', jsonb_build_array(jsonb_build_object('code', $1::text)))
            or plan @> jsonb_build_object('added', jsonb_build_array(jsonb_build_object('code', $1::text)))
            or plan @> jsonb_build_object('changed', jsonb_build_array(jsonb_build_array(jsonb_build_object('code', $1::text))))
            or plan @> jsonb_build_object('divided', $1::text))
         order by id desc limit 20",
    )
    .bind(code.as_str())
    .fetch_all(desk.db().pool())
    .await
    .db("read the history of a division")?;
    let changes = sqlx::query(
        "select year, from_code, to_code, share from division_change
         where from_code = $1 or to_code = $1 order by year desc, id desc limit 40",
    )
    .bind(code.as_str())
    .fetch_all(desk.db().pool())
    .await
    .db("read the history of a division")?;
    let known = desk.directory.regions_now();
    let doing = "read the history of a division";
    let mut rows = Vec::new();
    for row in &changes {
        let (year, from, to): (i16, &str, &str) =
            (row.try_get(0).db(doing)?, row.try_get(1).db(doing)?, row.try_get(2).db(doing)?);
        let share: f64 = row.try_get(3).db(doing)?;
        let (other, words) = if from == code.as_str() { (to, "去向") } else { (from, "来自") };
        let Ok(other) = RegionCode::parse(other) else { continue };
        let edition = if words == "去向" { year } else { year - 1 };
        rows.push(Row::plain(vec![
            html! { (year) },
            html! { (words) },
            html! { a href={ "/divisions/" (other) "?year=" (edition) } { (known.full_name_in(&other, edition)) } " " small.mk-muted { (other) } },
            html! { @if share < 0.999 { (format!("{:.1}%", share * 100.0)) } @else { "全部" } },
        ]));
    }
    let here = Here::default();
    Ok(card_with(
        "沿革",
        html! {},
        html! {
            (table(&here, &[Column::text("版本"), Column::text("名称"), Column::text("城乡分类")], &names.iter().map(|row| {
                let year: i16 = row.try_get(0).unwrap_or(0);
                Row {
                    href: Some(format!("/divisions/{code}?year={year}")),
                    mark: if year == shown { "mk-row-now" } else { "" },
                    cells: vec![
                        html! { (year) " 年版" },
                        html! { (row.try_get::<&str, _>(1).unwrap_or("")) },
                        html! { (words::class_name(row.try_get(2).unwrap_or(""))) },
                    ],
                }
            }).collect::<Vec<_>>()))
            @if !rows.is_empty() {
                (table(&here, &[Column::text("起"), Column::text("变化"), Column::text("区划"), Column::text("份额")], &rows))
            }
            @if !operations.is_empty() {
                ul.mk-waiting {
                    @for row in &operations {
                        li {
                            a href={ "/divisions/operations/" (row.try_get::<i64, _>(0).unwrap_or(0)) } {
                                span { (icon("arrows-exchange")) " " (row.try_get::<&str, _>(3).unwrap_or("")) }
                                small.mk-muted { (kind_name(row.try_get(2).unwrap_or(""))) " · " (row.try_get(4).map(words::time).unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        },
    ))
}

fn upkeep_forms(unit: &Unit) -> Markup {
    let own = unit.code.tier() >= Some(Tier::Township);
    let adds = unit.code.tier().and_then(plan::below).filter(|t| *t >= Tier::Township);
    let class = |value| {
        select_field(
            &Field {
                name: "class", label: "城乡分类", value, hint: "村级区划填写", ..Field::default()
            },
            &words::classes(),
        )
    };
    let reason = || {
        field(&Field {
            name: "reason",
            label: "依据",
            required: true,
            hint: "批复文号或情况说明",
            ..Field::default()
        })
    };
    html! {
        div.mk-columns {
            @if let Some(tier) = adds {
                (card(&format!("增设{}区划", tier.name()), html! {
                    form method="post" action={ "/divisions/" (unit.code) "/add" } {
                        (field(&Field { name: "name", label: "名称", required: true, ..Field::default() }))
                        (field(&Field { name: "number", label: "本级顺序码", hint: "三位数字；留空由系统编排，用过的代码不再使用", ..Field::default() }))
                        (class(""))
                        (reason())
                        (form_acts("增设", None))
                    }
                }))
            }
            @if own {
                (card("更正名称和城乡分类", html! {
                    form method="post" action={ "/divisions/" (unit.code) "/change" } {
                        (field(&Field { name: "name", label: "名称", value: &unit.name, required: true, ..Field::default() }))
                        (class(&unit.class))
                        (reason())
                        (form_acts("保存", None))
                    }
                }))
                (card("注销", html! {
                    p.mk-muted { "名下已没有机构、居民、账号和下级区划时可以直接注销；仍有内容的，请用上方“撤销”选择接收的区划。" }
                    form method="post" action={ "/divisions/" (unit.code) "/abolish" } data-confirm={ "确定注销“" (unit.name) "”？" } {
                        (field(&Field { name: "reason", label: "依据", kind: Kind::Text, required: true, ..Field::default() }))
                        div.mk-form-acts { button.btn type="submit" { "注销" } }
                    }
                }))
            }
        }
    }
}

/// What the forms of upkeep send.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    name: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    class: String,
    #[serde(default)]
    reason: String,
}

async fn keep(desk: &Divisions, reach: &Reach, what: &Upkeep, reason: &str) -> Reply<Redirect> {
    let code = desk.keep(reach, what, reason).await?;
    let year = desk.directory.regions_now().newest().unwrap_or_default();
    let unit = Unit { code, name: String::new(), class: String::new(), origin: String::new() };
    Ok(Redirect::to(&href(&unit, year)))
}

/// `POST /divisions/{code}/add`
pub(super) async fn add(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(code): Path<String>,
    Form(sent): Form<Sent>,
) -> Reply<Redirect> {
    let what =
        Upkeep::Add { under: code_of(&code)?, number: sent.number, name: sent.name, class: sent.class };
    keep(&desk, &reach(&allowed)?, &what, &sent.reason).await
}

/// `POST /divisions/{code}/change`
pub(super) async fn change(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(code): Path<String>,
    Form(sent): Form<Sent>,
) -> Reply<Redirect> {
    let what = Upkeep::Change { code: code_of(&code)?, name: sent.name, class: sent.class };
    keep(&desk, &reach(&allowed)?, &what, &sent.reason).await
}

/// `POST /divisions/{code}/abolish`
pub(super) async fn abolish(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(code): Path<String>,
    Form(sent): Form<Sent>,
) -> Reply<Redirect> {
    keep(&desk, &reach(&allowed)?, &Upkeep::Abolish { code: code_of(&code)? }, &sent.reason).await
}
