//! `/persons/newborn`: first the mother is found, then the child is registered: order of the birth, sex, day and hour.

use axum::Form;
use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use kernel::{Purpose, Refusal, RegionCode, Result};
use maud::{Markup, html};
use serde::Deserialize;
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{
    Column, Field, Here, Kind, Row, Tone, age, card, card_with, describe, empty, fact, field, form_acts,
    notice, page_head, select_field, table,
};
use web::{Frame, Reply};

use super::list::{beside, born};
use super::read::{self, Mother, Place, Special as Child};
use super::{LIST, answer, day, hour, issued, own, problem, sex_of, sexes};
use crate::search::SearchPages;
use crate::search::find::{PersonFound, search};
use crate::search::pages::{masked, region_name};
use crate::search::query::Query;
use crate::special::Special;

const TITLE: &str = "登记新生儿";
/// Mothers that are shown.
const FOUND: i64 = 30;

/// Ages at which nobody is asked to look again.
const FERTILE: std::ops::RangeInclusive<u32> = 13..=58;

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    /// The mother, as a person.
    mother: String,
    order: String,
    sex: String,
    birth_date: String,
    born_at: String,
    name: String,
}

impl Said {
    fn special(&self, mother: i64) -> Result<Special, Refusal> {
        let order =
            self.order.trim().parse().map_err(|_| {
                Refusal::invalid("newborn.order", "本次分娩顺序应为 1 至 9 的整数，单胎填 1。")
            })?;
        let birth_date = day(&self.birth_date, "出生日期")?
            .ok_or_else(|| Refusal::invalid("newborn.birth", "请填写出生日期。"))?;
        Ok(Special::Newborn {
            mother,
            order,
            sex: sex_of(&self.sex),
            birth_date,
            born_at: hour(&self.born_at)?,
            name: self.name.trim().chars().take(50).collect(),
        })
    }
}

fn no_mother() -> Refusal {
    Refusal::not_found(
        "newborn.mother",
        "没有找到这位母亲，或不在您的管辖范围内。请重新查找；还没有登记的请先登记母亲。",
    )
}

/// A mother within reach, with her newborns.
async fn known(pages: &SearchPages, allowed: &Allowed, person: &str) -> Result<(Mother, Vec<Child>)> {
    let person: i64 = person.parse().map_err(|_| no_mother())?;
    let at = own(allowed)?;
    let reach = allowed.reach(Purpose::of("care"))?;
    pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let place = Place::of(reach, &*pages.institutions);
            let mother = read::mother(tx, &place, person, at.get()).await?.ok_or_else(no_mother)?;
            let children = read::children(tx, &place, person).await?;
            let entry = AuditEntry {
                act: "person.special_view",
                object_kind: "person",
                object_id: Some(person),
                object_label: TITLE.to_owned(),
                person_id: Some(person),
                ..AuditEntry::default()
            };
            Ok(((mother, children), entry))
        })
        .await
}

/// Women of this text, the list of whom one is chosen.
async fn women(pages: &SearchPages, allowed: &Allowed, text: &str) -> Result<Option<Vec<PersonFound>>> {
    let Ok(query) = Query::parse(text) else { return Ok(None) };
    let reach = allowed.reach(Purpose::of("care"))?;
    let found = pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let found = search(tx, reach, &*pages.institutions, &query, FOUND, 0).await?;
            let entry = AuditEntry {
                act: "person.search",
                object_kind: "search",
                object_label: query.masked(),
                detail: Some(serde_json::json!({ "found": found.total, "by": "newborn" })),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    let women = found.people.into_iter().filter(|p| p.sex != "1");
    Ok(Some(women.map(|p| masked(p, &pages.masks, allowed.caller())).collect()))
}

pub(crate) async fn form(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    if let Some(person) = here.get("mother").filter(|m| !m.is_empty()) {
        let known = known(&pages, &allowed, person).await?;
        let said = Said {
            mother: person.to_owned(),
            order: "1".to_owned(),
            birth_date: pages.clock.today().to_string(),
            ..Said::default()
        };
        return Ok(frame.page(TITLE, view(&pages, &allowed, &known, &said, None)));
    }
    let text = here.get("q").unwrap_or("").trim();
    let found = if text.is_empty() { None } else { women(&pages, &allowed, text).await? };
    let name_of = |region: &RegionCode| pages.institutions.region_name(region);
    Ok(frame.page(TITLE, choose(text, found.as_deref(), pages.clock.today(), &name_of)))
}

/// `POST /persons/newborn`.
pub(crate) async fn register(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let known = known(&pages, &allowed, &said.mother).await?;
    let asked = async {
        let special = said.special(known.0.record)?;
        let at = own(&allowed)?;
        let reach = allowed.reach(Purpose::of("care"))?;
        pages.index.register_special(&reach, at, &special, pages.clock.now()).await
    };
    let asked = asked.await;
    answer(
        &frame,
        TITLE,
        asked,
        |done| {
            let next = "孩子有了姓名和身份证号码，在“特殊登记”里打开这条登记补登；孩子在别处按本人证件登记时，主索引会提出核对。";
            issued(
                TITLE,
                &done,
                next,
                html! {
                    a.btn href={ "/persons/newborn?mother=" (known.0.person_id) } { "双胎、多胎：登记下一个" }
                },
            )
        },
        |wrong| view(&pages, &allowed, &known, &said, Some(wrong)),
    )
}

fn choose(
    text: &str,
    found: Option<&[PersonFound]>,
    today: NaiveDate,
    name_of: &dyn Fn(&RegionCode) -> String,
) -> Markup {
    html! {
        (page_head(&[LIST], TITLE, "第一步：找到母亲。母亲还没有登记的，先在分娩机构登记母亲。", html! {}))
        section.mk-card.mk-list {
            form.mk-filters method="get" action="/persons/newborn" role="search" {
                label.mk-filter-wide {
                    "母亲的证件号、姓名、电话、卡号或住院号"
                    input.form-control name="q" value=(text) maxlength="60" autocomplete="off" autofocus placeholder="如 李芳 1996、身份证号、电话";
                }
                button.btn.btn-primary type="submit" { "查找母亲" }
            }
            @match found {
                None if text.is_empty() => (empty("请先查找母亲", "按母亲的证件号最准；同名较多时在姓名后加出生年份。", None)),
                None => (empty("条件太短", "姓名至少输入两个字，拼音首字母至少两个字母。", None)),
                Some([]) => (empty("没有找到这位母亲", "请核对输入；男性不会列出，超出您权限范围的居民也不会显示。母亲身份不明的，先按身份不明患者登记母亲。", Some(("登记身份不明患者", "/persons/unknown")))),
                Some(all) => (women_table(all, today, name_of)),
            }
        }
    }
}

fn women_table(all: &[PersonFound], today: NaiveDate, name_of: &dyn Fn(&RegionCode) -> String) -> Markup {
    let columns = [
        Column::text("姓名"),
        Column::text("年龄"),
        Column::text("出生日期"),
        Column::text("证件号"),
        Column::text("电话"),
        Column::text("现住地"),
    ];
    let rows: Vec<Row> = all
        .iter()
        .map(|p| {
            let region = region_name(&p.region, name_of);
            Row::to(
                format!("/persons/newborn?mother={}", p.person_id),
                vec![
                    html! { (p.name) },
                    html! { (p.birth_date.map(|b| age(b, p.died_on.unwrap_or(today))).unwrap_or_default()) },
                    html! { (p.birth_date.map(|b| b.to_string()).unwrap_or_default()) },
                    html! { (p.citizen_id.as_deref().unwrap_or_default()) },
                    html! { (p.phone) },
                    html! { (if region.is_empty() { p.address.clone() } else { region }) },
                ],
            )
        })
        .collect();
    html! {
        div.mk-list-bar { span { "点选母亲，继续登记孩子" } }
        (table(&Here::default(), &columns, &rows))
    }
}

fn view(
    pages: &SearchPages,
    allowed: &Allowed,
    (mother, children): &(Mother, Vec<Child>),
    said: &Said,
    wrong: Option<&str>,
) -> Markup {
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let birth = mother.birth_date.map(|b| shown("birth_date", &b.to_string())).unwrap_or_default();
    html! {
        (page_head(&[LIST, (TITLE, "/persons/newborn")], TITLE, "第二步：登记孩子。登记后立即得到临时编号，孩子与母亲的关系会一直保留。", html! {
            a.btn href="/persons/newborn" { "换一位母亲" }
        }))
        @if mother.sex == "1" { (notice(Tone::Bad, "所选的人登记为男性", "请换一位，或先更正母亲的登记。")) }
        @if let Some(died) = mother.died_on { (notice(Tone::Warn, "母亲已故", &format!("死亡日期 {died}。请核对是不是同一人。"))) }
        @if let Some(years) = mother.birth_date.and_then(|b| pages.clock.today().years_since(b)).filter(|y| !FERTILE.contains(y)) {
            (notice(Tone::Warn, "请核对母亲", &format!("所选的人 {years} 岁，可能不是母亲本人。")))
        }
        (card("母亲", describe(&[fact("姓名", &shown("name", &mother.name)), fact("出生日期", &birth)])))
        @if !children.is_empty() { (card_with("已登记的新生儿", html! { small.mk-muted { "请勿重复登记" } }, born_table(pages, allowed, children))) }
        (card("孩子", html! {
            (problem(wrong))
            form.mk-form method="post" action="/persons/newborn" {
                input type="hidden" name="mother" value=(said.mother);
                (field(&Field { name: "order", label: "本次分娩顺序", kind: Kind::Number, value: &said.order, required: true, hint: "单胎填 1；双胎、多胎按出生先后填 1、2、3", ..Field::default() }))
                (select_field(&Field { name: "sex", label: "性别", value: &said.sex, required: true, ..Field::default() }, &sexes("不能辨别")))
                (field(&Field { name: "birth_date", label: "出生日期", kind: Kind::Date, value: &said.birth_date, required: true, ..Field::default() }))
                div.mk-field {
                    label for="born_at" { "出生时间" }
                    div.mk-field-line { input.form-control.mk-short type="time" id="born_at" name="born_at" value=(said.born_at); }
                    small { "24 小时制，精确到分" }
                }
                (field(&Field { name: "name", label: "姓名", value: &said.name, hint: "还没有取名的不填，按“母亲姓名之子（女）”称呼", ..Field::default() }))
                (form_acts("登记", Some("/persons/special")))
            }
        }))
    }
}

fn born_table(pages: &SearchPages, allowed: &Allowed, children: &[Child]) -> Markup {
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let columns = [
        Column::text("姓名"),
        Column::text("临时编号"),
        Column::text("母亲、分娩顺序"),
        Column::text("出生"),
    ];
    let rows: Vec<Row> = children
        .iter()
        .map(|c| {
            Row::to(
                format!("/persons/special/{}", c.id),
                vec![
                    html! { (shown("name", &c.name)) },
                    html! { (c.local_no) },
                    html! { (beside(c, &shown)) },
                    html! { (born(c, &shown)) },
                ],
            )
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}
