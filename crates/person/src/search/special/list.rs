//! `/persons/special` for those who treat, `/index/special` for those who look after the master index: special
//! registrations, first those of whom nobody knows yet who they are; each with what it waits for.

use axum::extract::State;
use chrono::NaiveDate;
use kernel::{Purpose, Result};
use maud::{Markup, html};
use store::AuditEntry;
use web::download::{Download, csv as download};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter as Choose, Here, List, Paging, Row, Tone, badge, icon, list, page_head,
};
use web::{Frame, Reply};

use super::read::{self, Filter, Place, Special};
use super::{EXPORT, time};
use crate::desk;
use crate::search::SearchPages;
use crate::search::pages::sex;
use crate::search::scraps::REGISTER;

/// Rows on a page.
const PAGE: i64 = 30;
/// Rows of an export.
const EXPORTED: i64 = 20_000;
/// Kinds: code and name.
pub(super) const KINDS: [(&str, &str); 4] = [
    ("newborn", "新生儿"),
    ("unknown", "身份不明"),
    ("foreigner", "境外人员"),
    ("undocumented", "无有效证件"),
];
const STATES: [(&str, &str); 3] = [("open", "待办"), ("settled", "已办结"), ("all", "全部")];

/// The Chinese name of a kind.
pub(super) fn kind(code: &str) -> &'static str {
    KINDS.iter().find(|k| k.0 == code).map_or("", |k| k.1)
}

/// Whether the list is asked for by those who look after the master index.
fn of_index(here: &Here) -> bool {
    here.path().starts_with("/index/")
}

fn filter(here: &Here) -> Filter {
    let text = |key: &str| here.get(key).unwrap_or("").trim().to_owned();
    let day = |key: &str| here.get(key).and_then(|d| d.parse::<NaiveDate>().ok());
    let one_of = |value: String, all: &[(&str, &str)], usual: &str| {
        if all.iter().any(|a| a.0 == value) { value } else { usual.to_owned() }
    };
    Filter {
        kind: one_of(text("kind"), &KINDS, ""),
        state: one_of(text("state"), &STATES, "open"),
        text: text("q").chars().take(40).collect(),
        institution: here.get("institution").and_then(|i| i.parse().ok()).unwrap_or(0),
        from: day("day_from"),
        until: day("day_to"),
        before: here.get("after").and_then(|a| a.parse().ok()),
    }
}

async fn found(
    pages: &SearchPages,
    allowed: &Allowed,
    here: &Here,
    act: &'static str,
    limit: i64,
) -> Result<(Vec<Special>, Place)> {
    let purpose = Purpose::of(if of_index(here) { "identity" } else { "care" });
    let reach = allowed.reach(purpose)?;
    let filter = filter(here);
    pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let place = Place::of(reach, &*pages.institutions);
            let found = read::list(tx, &place, &filter, limit).await?;
            let entry = AuditEntry {
                act,
                object_kind: "identity_record",
                object_label: filter.text.clone(),
                rows: i32::try_from(found.len()).ok(),
                ..AuditEntry::default()
            };
            Ok(((found, place), entry))
        })
        .await
}

/// The buttons of who may register.
fn registering() -> Markup {
    html! {
        a.btn.btn-primary href="/persons/newborn" { (icon("baby-carriage")) "登记新生儿" }
        a.btn href="/persons/unknown" { "登记身份不明患者" }
        a.btn href="/persons/foreigner" { "登记境外人员" }
        a.btn href="/persons/undocumented" { "登记无证件者" }
    }
}

/// What stands beside a registration: the mother and the order, or how somebody was found.
pub(super) fn beside(s: &Special, shown: &dyn Fn(&str, &str) -> String) -> String {
    match &s.mother_name {
        Some(mother) => {
            let order = s.birth_order.map(|o| format!("，本次分娩第 {o} 个")).unwrap_or_default();
            format!("母亲 {}{order}", shown("name", mother))
        }
        None => s.special_note.clone(),
    }
}

/// Day and hour of birth.
pub(super) fn born(s: &Special, shown: &dyn Fn(&str, &str) -> String) -> String {
    let hour = s.born_at.map(|at| at.format(" %H:%M").to_string()).unwrap_or_default();
    match (s.birth_date, s.special.as_str()) {
        (None, _) => String::new(),
        (Some(day), "unknown") if !s.settled() => format!("约 {} 年", day.format("%Y")),
        (Some(day), _) => format!("{}{hour}", shown("birth_date", &day.to_string())),
    }
}

fn row(pages: &SearchPages, allowed: &Allowed, index: bool, s: &Special) -> Row {
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let to =
        if index { format!("/index/persons/{}", s.person_id) } else { format!("/persons/special/{}", s.id) };
    let tone = if s.settled() { Tone::Good } else { Tone::Warn };
    Row::to(
        to,
        vec![
            html! { (shown("name", &s.name)) @if s.died_on.is_some() { " " (badge(Tone::Neutral, "已故")) } },
            html! { (kind(&s.special)) },
            html! { (shown("local_no", &s.local_no)) },
            html! { (sex(&s.sex)) },
            html! { span.mk-date { (born(s, &shown)) } },
            html! { (beside(s, &shown)) },
            html! { span title=(institution(pages, s.institution_id)) { (short(pages, s.institution_id)) } },
            html! { @if let Some(at) = s.special_at { span.mk-date { (time(at)) } } " " small.mk-muted { (s.special_by) } },
            html! { (badge(tone, s.standing())) },
        ],
    )
}

/// The short name for the list.
fn short(pages: &SearchPages, id: i32) -> String {
    let card = pages.institutions.by_id(kernel::access::InstitutionId::new(id.into()));
    card.map(|card| card.short_name.clone())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| institution(pages, id))
}

pub(super) fn institution(pages: &SearchPages, id: i32) -> String {
    pages
        .institutions
        .by_id(kernel::access::InstitutionId::new(id.into()))
        .map_or_else(|| "（已注销的机构）".to_owned(), |card| card.name.clone())
}

pub(crate) async fn page(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (mut all, place) = found(&pages, &allowed, &here, "person.special_list", PAGE + 1).await?;
    let more = all.len() as i64 > PAGE;
    all.truncate(PAGE as usize);
    let after = all.last().filter(|_| more).map(|s| s.id.to_string());
    let caller = allowed.caller();
    let index = of_index(&here);
    let rows: Vec<Row> = all.iter().map(|s| row(&pages, &allowed, index, s)).collect();
    let own = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let (kinds, states) = (own(&KINDS), own(&STATES));
    let institutions: Vec<(String, String)> =
        place.institutions.iter().map(|id| (id.to_string(), institution(&pages, *id))).collect();
    let (exports, path) = if index {
        (caller.may(desk::EXPORT), "/index/special.csv")
    } else {
        (caller.may(EXPORT), "/persons/special.csv")
    };
    let export = [Export { label: "导出 CSV", path }];
    let mut filters = vec![
        Choose::Pick { name: "state", label: "状态", options: &states },
        Choose::Choice { name: "kind", label: "类别", options: &kinds },
        Choose::Text {
            name: "q", label: "姓名、编号", hint: "本人或母亲的姓名，或临时编号"
        },
        Choose::Days { name: "day", label: "登记日期" },
    ];
    if index && institutions.len() > 1 {
        filters.insert(2, Choose::Choice { name: "institution", label: "登记机构", options: &institutions });
    }
    let view = List {
        filters: &filters,
        total: None,
        unit: "人",
        columns: &[
            Column::text("姓名"),
            Column::text("类别"),
            Column::text("临时编号"),
            Column::text("性别"),
            Column::text("出生"),
            Column::text("母亲、经过"),
            Column::text("登记机构"),
            Column::text("登记"),
            Column::text("状态"),
        ],
        rows,
        paging: Paging::Cursor { before: None, after },
        exports: if exports { &export } else { &[] },
        empty: (
            "没有符合条件的特殊登记",
            "待办的是还没有本人证件、也没有并入本人名下的登记。办结的请在“状态”里选择“已办结”或“全部”。",
        ),
        empty_action: None,
    };
    let way: &[(&str, &str)] =
        if index { &[("待核对登记", "/index/review")] } else { &[("居民查询", "/persons")] };
    let registers = !index && caller.may(REGISTER);
    let title = if index { "临时身份" } else { "特殊登记" };
    Ok(frame.page(title, html! {
        (page_head(way, title, "新生儿、身份不明、境外和无证件的患者先用临时编号就诊；证件齐了补登，或由主索引合并到本人名下，期间的记录不会丢失。", html! {
            @if registers { (registering()) }
        }))
        (list(&here, &view))
    }))
}

pub(crate) async fn csv(State(pages): State<SearchPages>, allowed: Allowed, here: Here) -> Reply<Download> {
    let (all, _) = found(&pages, &allowed, &here, "person.special_export", EXPORTED).await?;
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let heads =
        ["姓名", "类别", "临时编号", "性别", "出生", "母亲、经过", "登记机构", "登记时间", "登记人", "状态"];
    let rows = all.iter().map(|s| {
        vec![
            shown("name", &s.name),
            kind(&s.special).to_owned(),
            shown("local_no", &s.local_no),
            sex(&s.sex).to_owned(),
            born(s, &shown),
            beside(s, &shown),
            institution(&pages, s.institution_id),
            s.special_at.map(time).unwrap_or_default(),
            s.special_by.clone(),
            s.standing().to_owned(),
        ]
    });
    Ok(download("special-registrations.csv", &heads, rows.collect::<Vec<_>>()))
}
