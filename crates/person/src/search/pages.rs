//! `/persons` and `/api/v1/persons`.

use axum::Json;
use axum::extract::State;
use catalog::Masks;
use chrono::NaiveDate;
use kernel::{Caller, Purpose, RegionCode};
use maud::{Markup, html};
use serde::Serialize;
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{Column, Filter, Here, List, Paging, Row, Tone, age, badge, list, page_head};
use web::{Frame, Reply};

use super::SearchPages;
use super::find::{Found, PersonFound, search};
use super::query::{Query, TooVague};

/// Results on a page.
const PAGE: u64 = 30;

struct Answer {
    page: u64,
    outcome: Result<Found, TooVague>,
}

/// Searches and writes the audit entry; nothing is looked at, and nothing written, when the text is too vague.
async fn answer(pages: &SearchPages, allowed: &Allowed, here: &Here) -> Reply<Answer> {
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).clamp(1, 1000);
    let query = match Query::parse(here.get("q").unwrap_or("")) {
        Ok(query) => query,
        Err(vague) => return Ok(Answer { page, outcome: Err(vague) }),
    };
    let reach = allowed.reach(Purpose::of("care"))?;
    let found = pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let offset = ((page - 1) * PAGE) as i64;
            let found = search(tx, reach, &*pages.institutions, &query, PAGE as i64, offset).await?;
            let entry = AuditEntry {
                act: "person.search",
                object_kind: "search",
                object_label: query.masked(),
                detail: Some(serde_json::json!({ "found": found.total, "page": page })),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    Ok(Answer { page, outcome: Ok(found) })
}

pub(super) async fn page(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let mut answer = answer(&pages, &allowed, &here).await?;
    if let Ok(found) = &mut answer.outcome {
        for person in &mut found.people {
            *person = masked(person.clone(), &pages.masks, allowed.caller());
        }
    }
    let today = pages.clock.today();
    let name_of = |region: &RegionCode| pages.institutions.region_name(region);
    let by_scraps = allowed.caller().may(super::scraps::NEED);
    Ok(frame.page("居民查询", view(&here, &answer, by_scraps, today, &name_of)))
}

#[derive(Serialize)]
pub(super) struct PersonJson {
    /// For `/record/{id}`.
    id: i64,
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
    /// Masked.
    citizen_id: String,
    /// Masked.
    phone: String,
    region: String,
    region_name: String,
    died_on: Option<NaiveDate>,
}

#[derive(Serialize)]
pub(super) struct FoundJson {
    total: u64,
    /// Whether there may be more than `total`.
    capped: bool,
    page: u64,
    persons: Vec<PersonJson>,
}

pub(super) async fn json(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<FoundJson>> {
    let answer = answer(&pages, &allowed, &here).await?;
    let found = answer.outcome.map_err(|vague| {
        let message = match vague {
            TooVague::Empty => "请在参数 q 中给出证件号、姓名、拼音首字母、电话、卡号或患者编号。",
            TooVague::TooShort => "姓名至少两个字，拼音首字母至少两个字母。",
        };
        kernel::Refusal::invalid("person.search_too_vague", message)
    })?;
    let persons = found
        .people
        .into_iter()
        .map(|p| masked(p, &pages.masks, allowed.caller()))
        .map(|p| PersonJson {
            id: p.person_id,
            sex: p.sex,
            birth_date: p.birth_date,
            citizen_id: p.citizen_id.unwrap_or_default(),
            phone: p.phone,
            region_name: region_name(&p.region, &|r| pages.institutions.region_name(r)),
            region: p.region.as_str().to_owned(),
            died_on: p.died_on,
            name: p.name,
        })
        .collect();
    Ok(Json(FoundJson { total: found.total, capped: found.capped, page: answer.page, persons }))
}

/// A person of the list as this caller sees them: masked by role (`catalog/masks.toml`).
pub(super) fn masked(p: PersonFound, masks: &Masks, caller: &Caller) -> PersonFound {
    let shown = |kind: &str, value: &str| masks.shown_to(caller, kind, value);
    PersonFound {
        name: shown("name", &p.name),
        citizen_id: p.citizen_id.as_deref().map(|number| shown("citizen_id", number)),
        phone: shown("phone", &p.phone),
        address: shown("address", &p.address),
        ..p
    }
}

fn view(
    here: &Here,
    answer: &Answer,
    by_scraps: bool,
    today: NaiveDate,
    name_of: &dyn Fn(&RegionCode) -> String,
) -> Markup {
    let columns = [
        Column::text("姓名"),
        Column::text("性别"),
        Column::text("年龄"),
        Column::text("出生日期"),
        Column::text("证件号"),
        Column::text("电话"),
        Column::text("现住地"),
        Column::number("建档机构数"),
    ];
    let (rows, total, capped) = match &answer.outcome {
        Ok(found) => {
            let rows: Vec<Row> = found.people.iter().map(|p| row(p, today, name_of)).collect();
            (rows, Some(found.total), found.capped)
        }
        Err(_) => (Vec::new(), None, false),
    };
    let empty = match answer.outcome {
        Err(TooVague::Empty) => {
            ("请输入查询条件", "在上方输入一项即可：身份证号、姓名、拼音首字母、电话、卡号或患者编号。")
        }
        Err(TooVague::TooShort) => {
            ("条件太短", "姓名至少输入两个字，拼音首字母至少两个字母，以免找出太多同姓居民。")
        }
        Ok(_) => (
            "没有找到这位居民",
            "请核对输入是否正确；可改用身份证号、电话或姓名加出生年份查询。若居民从未在平台内机构就诊或建档，这里就没有他的档案；超出您权限范围的居民也不会显示。",
        ),
    };
    html! {
        (page_head(&[], "居民查询", "一个查询框：身份证号（18 位或 15 位）、姓名、拼音首字母、电话、卡号、患者编号。同名较多时可在姓名后加出生年份，如“张伟 1965”。每次查询都会记入审计日志。", html! {
            @if by_scraps { a.btn href="/persons/scraps" { "线索查找" } }
            a.btn href="/persons/special" { "特殊登记" }
        }))
        @if capped {
            p.mk-muted role="status" { "符合条件的登记很多，只列出了前一部分。请补充姓名，或在姓名后加出生年份。" }
        }
        (list(here, &List {
            filters: &[Filter::Text { name: "q", label: "查询", hint: "证件号、姓名、首字母、电话、卡号、患者编号" }],
            total: total.filter(|t| *t > 0),
            unit: "位居民",
            columns: &columns,
            rows,
            paging: Paging::Numbered { page: answer.page, per_page: PAGE, total: total.unwrap_or(0) },
            exports: &[],
            empty,
            empty_action: None,
        }))
    }
}

fn row(p: &PersonFound, today: NaiveDate, name_of: &dyn Fn(&RegionCode) -> String) -> Row {
    let name = if p.name.is_empty() { "（未登记姓名）" } else { &p.name };
    let region = region_name(&p.region, name_of);
    let lives = if region.is_empty() { p.address.clone() } else { region };
    Row::to(
        format!("/record/{}", p.person_id),
        vec![
            html! { (name) @if p.died_on.is_some() { " " (badge(Tone::Neutral, "已故")) } },
            html! { (sex(&p.sex)) },
            html! { (p.birth_date.map(|b| age(b, p.died_on.unwrap_or(today))).unwrap_or_default()) },
            html! { (p.birth_date.map(|b| b.to_string()).unwrap_or_default()) },
            html! { (p.citizen_id.as_deref().unwrap_or_default()) },
            html! { (p.phone) },
            html! { (lives) },
            html! { (p.records) },
        ],
    )
}

/// The division's name; nothing where it is unknown.
pub(super) fn region_name(region: &RegionCode, name_of: &dyn Fn(&RegionCode) -> String) -> String {
    if *region == RegionCode::NATION { String::new() } else { name_of(region) }
}

pub(super) fn sex(code: &str) -> &'static str {
    match code {
        "1" => "男",
        "2" => "女",
        _ => "未知",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn results_are_masked_and_lead_to_the_record() {
        let person = PersonFound {
            person_id: 42,
            name: "张伟".into(),
            sex: "1".into(),
            birth_date: Some(day("1980-01-01")),
            citizen_id: Some("34052419800101001X".into()),
            phone: "13800138000".into(),
            region: RegionCode::parse("411503001001").unwrap(),
            address: "五里店街道".into(),
            died_on: None,
            records: 2,
        };
        let masks = catalog::shipped().unwrap().masks;
        let doctor =
            Caller { roles: vec!["township_doctor".into()], ..Caller::blank(kernel::CallerKind::Staff) };
        let person = masked(person, &masks, &doctor);
        let outcome = Ok(Found { people: vec![person], total: 1, capped: false });
        let here = Here::new("/persons", "q=zw");
        let html =
            view(&here, &Answer { page: 1, outcome }, true, day("2025-05-15"), &|_| "信阳市平桥区".into())
                .into_string();
        assert!(html.contains("/record/42") && html.contains("张伟") && html.contains("45 岁"));
        assert!(html.contains("信阳市平桥区") && !html.contains("13800138000") && !html.contains("19800101"));
        for (outcome, words) in [
            (Err(TooVague::Empty), "请输入查询条件"),
            (Err(TooVague::TooShort), "条件太短"),
            (Ok(Found::default()), "没有找到这位居民"),
        ] {
            let html = view(&here, &Answer { page: 1, outcome }, true, day("2025-05-15"), &|_| String::new());
            assert!(html.into_string().contains(words), "{words}");
        }
    }
}
