//! The page of one entry: what is registered, as it was on a day, what is missing, what belongs to it, what can be done.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::response::{IntoResponse, Response};
use catalog::{Owner, Register};
use contracts::Institutions;
use kernel::{Purpose, Result};
use maud::{Markup, html};
use serde_json::json;
use store::audit::AuditEntry;
use web::route::Allowed;
use web::ui::{
    self, Column, Filter as Choose, Here, Row, Tab, Tone, card, card_with, describe, filter_form, notice,
    page_head, score_ring, table, tabs,
};
use web::{Frame, Reply};

use super::super::Registries;
use super::super::examine::{locates, missing};
use super::super::model::{Entry, State as Standing};
use super::super::read::{Filter, as_on};
use super::{ASK, MANAGE, Place, READ, REVEAL, address, day, id, list, reach, steps, time};

/// Parts of an entry shown on its page; more are on their own list.
const PARTS: i64 = 100;

pub(super) async fn page(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let registries = &place.registries;
    let register = place.register(&params)?;
    let (reach, number) = (reach(&allowed)?, id(&params)?);
    let now = registries.clock.now();
    let found = registries
        .db
        .personal(&reach, now, async |_, reach| {
            let entry = registries.entry(&register, reach, number).await?;
            let seen = AuditEntry {
                act: "registry.view",
                object_kind: "registry_entry",
                object_id: Some(entry.id),
                object_label: entry.name.clone(),
                detail: Some(json!({ "register": register.code() })),
                ..AuditEntry::default()
            };
            Ok((entry, seen))
        })
        .await?;
    let body = view(registries, &register, &allowed, &here, &found, false).await?;
    Ok(frame.page(&found.name, body))
}

/// `POST …/{id}/reveal`: the page with identifying fields in full, this once.
pub(super) async fn reveal(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Response> {
    let registries = &place.registries;
    let register = place.register(&params)?;
    let (reach, number) = (allowed.reach(Purpose::of("registry"))?, id(&params)?);
    let found = registries
        .db
        .personal(&reach, registries.clock.now(), async |_, reach| {
            let entry = registries.entry(&register, reach, number).await?;
            let seen = AuditEntry {
                act: "registry.reveal",
                object_kind: "registry_entry",
                object_id: Some(entry.id),
                object_label: entry.name.clone(),
                detail: Some(json!({ "fields": entry.guarded.keys().collect::<Vec<_>>() })),
                ..AuditEntry::default()
            };
            Ok((entry, seen))
        })
        .await?;
    let here = here.at(&address(&register, &found));
    let body = view(registries, &register, &allowed, &here, &found, true).await?;
    Ok(frame.page(&found.name, body).into_response())
}

/// The sections of an entry with its values.
pub(in super::super) fn sections(registries: &Registries, register: &Register, texts: &[String]) -> Markup {
    html! {
        div.mk-columns {
            @for (title, fields) in &register.sections {
                (card(title, describe(&fields.iter().map(|at| {
                    let field = &register.dataset.fields[*at];
                    let text = registries.shown(register, *at, &texts[*at]);
                    let unit = if text.is_empty() { "" } else { field.unit.as_str() };
                    (field.title.clone(), html! {
                        (text) @if !unit.is_empty() { " " span.mk-muted { (unit) } }
                        @if text != texts[*at] && !text.is_empty() { " " small.mk-muted { (texts[*at]) } }
                    })
                }).collect::<Vec<_>>())))
            }
        }
    }
}

async fn view(
    registries: &Registries,
    register: &Arc<Register>,
    allowed: &Allowed,
    here: &Here,
    entry: &Entry,
    open: bool,
) -> Result<Markup> {
    let today = registries.clock.local().date();
    let caller = allowed.caller();
    let base = address(register, entry);
    let mut shown = entry.clone();
    let mut past = None;
    if let Some(on) = here.get("on") {
        let on = day(on, today)?;
        let versions = registries.versions(entry.id).await?;
        match as_on(&versions, on) {
            Some(version) => {
                shown.content = version.content.clone();
                shown.guarded = version.guarded.clone();
                shown.state = version.state;
                shown.institution = version.institution;
                past = Some(notice(
                    Tone::Info,
                    &format!("{on} 当日的登记内容"),
                    &format!(
                        "第 {} 版，{}由 {} 登记。现在的内容是第 {} 版。",
                        version.version,
                        time(version.recorded_at),
                        version.recorded_by,
                        entry.version
                    ),
                ));
            }
            None => {
                past = Some(notice(
                    Tone::Warn,
                    &format!("{on} 当日还没有登记"),
                    "下面是现在的内容。请选择登记之后的日期。",
                ));
            }
        }
    }
    let texts = registries.texts_of(register, &shown, open)?;
    let parts = parts_of(registries, register, entry).await?;
    let chosen = here.get("tab").and_then(|code| parts.iter().find(|(r, _)| r.code() == code));
    let mut items =
        vec![Tab {
            title: "登记内容".into(), href: base.clone(), count: None, current: chosen.is_none()
        }];
    items.extend(parts.iter().map(|(part, count)| Tab {
        title: part.dataset.name.clone(),
        href: format!("{base}?tab={}", part.code()),
        count: Some(count.unsigned_abs()),
        current: chosen.is_some_and(|(c, _)| c.code() == part.code()),
    }));
    items.push(Tab { title: "变更历史".into(), href: format!("{base}/history"), ..Tab::default() });
    let covers = |need| {
        caller
            .decide(need, Purpose::of("registry"))
            .is_ok_and(|reach| registries.covers(&reach, entry.institution))
    };
    let (manage, ask) = (covers(MANAGE), covers(ASK));
    let acts = html! {
        @if register.code() == "institution" { a.btn href={ "/quality?institution=" (entry.institution) } { "质量监测" } }
        @if !entry.guarded.is_empty() && !open && covers(REVEAL) {
            form method="post" action={ (base) "/reveal" } data-confirm="查看完整的证件号码和电话会记入审计日志。继续吗？" {
                button.btn type="submit" { (ui::icon("eye")) "查看原文" }
            }
        }
        @if manage { a.btn.btn-primary href={ (base) "/edit" } { (ui::icon("edit")) "修改" } }
        @else if ask && entry.state == Standing::Active { a.btn.btn-primary href={ (base) "/ask" } { (ui::icon("edit")) "申请修改" } }
    };
    let owner = registries.directory.by_id(entry.institution);
    let line = html_line(register, entry, owner.as_deref());
    let on_form = html! {
        (filter_form(&here.at(&base), &[Choose::Day { name: "on", label: "查看某日的登记内容" }]))
    };
    Ok(html! {
        (page_head(&[("注册管理", "/registry"), (register.dataset.name.as_str(), register.path().as_str())], &entry.name, &line, acts))
        @if let Some(mark) = list::standing(register, entry.state) { p { (mark) } }
        @if let Some(into) = entry.merged_into.and_then(|into| registries.directory.by_id(into)) {
            (notice(Tone::Info, "已并入其他机构", &format!("由“{}”承接。以前的就诊记录和上传数据仍记在本机构名下，可以照常查阅和更正；新的业务请用承接机构的代码上传。本机构的账号由承接机构的管理员转入或停用。", into.name)))
        }
        (tabs(&items))
        @if let Some((part, _)) = chosen {
            (parts_card(registries, part, allowed, entry, (manage, ask)).await?)
        } @else {
            @if let Some(past) = past { (past) }
            (sections(registries, register, &texts))
            (card("其他日期", on_form))
            (completeness(registries, register, entry, &parts))
            @if manage { (steps::card(register, entry, today)) }
        }
    })
}

fn html_line(register: &Register, entry: &Entry, owner: Option<&contracts::InstitutionCard>) -> String {
    match (register.owner, owner) {
        (Owner::Itself, Some(card)) if card.invented => "演示机构，为演示而虚构，并不存在。".to_owned(),
        (Owner::Itself, _) => format!("机构代码 {}", entry.key),
        (Owner::Staff, Some(card)) => format!("{} · {}", card.name, entry.parent_name),
        (_, Some(card)) => card.name.clone(),
        (_, None) => String::new(),
    }
}

/// The registers of what can belong to an entry, with how many there are.
async fn parts_of(
    registries: &Registries,
    register: &Register,
    entry: &Entry,
) -> Result<Vec<(Arc<Register>, i64)>> {
    let (owner, counts) = match register.code() {
        "institution" => (Owner::Institution, registries.counts_of(Some(entry.institution), None).await?),
        "staff" => (Owner::Staff, registries.counts_of(None, Some(entry.id)).await?),
        _ => return Ok(Vec::new()),
    };
    let of = |code: &str| counts.iter().find(|(kind, _)| kind == code).map_or(0, |(_, count)| *count);
    Ok(registries
        .catalog
        .registers
        .iter()
        .filter(|r| r.owner == owner)
        .map(|r| (Arc::clone(r), of(r.code())))
        .collect())
}

async fn parts_card(
    registries: &Registries,
    part: &Arc<Register>,
    allowed: &Allowed,
    entry: &Entry,
    (manage, ask): (bool, bool),
) -> Result<Markup> {
    let reach = allowed.caller().decide(READ, Purpose::of("registry"))?;
    let of_staff = part.owner == Owner::Staff;
    let filter = Filter {
        institution: (!of_staff).then_some(entry.institution.get()),
        parent: of_staff.then_some(entry.id),
        state: "active".to_owned(),
        ..Filter::default()
    };
    let total = registries.count(part, &reach, &filter).await?;
    let entries = registries.page(part, &reach, &filter, PARTS, 0).await?;
    let fields: Vec<usize> =
        part.list.iter().copied().filter(|p| !locates(part, &part.dataset.fields[*p].name)).collect();
    let shown = registries.rows(part, &entries, &fields, false)?;
    let columns: Vec<Column> = shown.heads.iter().map(|h| Column::text(h)).collect();
    let rows: Vec<Row> = entries
        .iter()
        .zip(shown.cells)
        .map(|(e, cells)| Row::to(address(part, e), cells.into_iter().map(|t| html! { (t) }).collect()))
        .collect();
    let code = registries.directory.by_id(entry.institution).map(|c| c.code.clone()).unwrap_or_default();
    let known = if of_staff {
        format!("institution={code}&staff_no={}", entry.key)
    } else {
        format!("institution={code}")
    };
    let (label, act) = if manage { ("登记", "new") } else { ("申请登记", "ask") };
    let add = format!("{}/{act}?{known}", part.path());
    let all = format!("{}?institution={}", part.path(), entry.institution);
    let beside = html! {
        @if total > PARTS { a.mk-link href=(all) { "查看全部 " (total) " " (part.unit) } " " }
        @if manage || ask { a.mk-link href=(add) { (label) } }
    };
    Ok(card_with(
        &part.dataset.name,
        beside,
        html! {
            @if rows.is_empty() {
                (ui::empty(&format!("还没有登记{}", part.dataset.name), &part.dataset.description, (manage || ask).then_some((label, add.as_str()))))
            } @else {
                (table(&Here::new(&all, ""), &columns, &rows))
            }
        },
    ))
}

fn completeness(
    registries: &Registries,
    register: &Register,
    entry: &Entry,
    parts: &[(Arc<Register>, i64)],
) -> Markup {
    let fields = missing(register, entry);
    // What every place that treats people has; others may well have none.
    let treats = registries
        .directory
        .by_id(entry.institution)
        .is_some_and(|c| matches!(c.sender_class.as_str(), "hospital" | "township" | "maternal_child"));
    let wanted: &[&str] = if treats { &["department", "bed", "licence", "staff"] } else { &["staff"] };
    let absent: Vec<&str> = parts
        .iter()
        .filter(|(part, count)| *count == 0 && wanted.contains(&part.code()))
        .map(|(part, _)| part.dataset.name.as_str())
        .collect();
    card(
        "登记完整度",
        html! {
            div.mk-acts {
                (score_ring(Some(f64::from(entry.score)), &[]))
                div {
                    @if fields.is_empty() && absent.is_empty() { p { "应填的都已填写。" } }
                    @if !fields.is_empty() { p { "还没有填写：" (fields.join("、")) } }
                    @if !absent.is_empty() { p { "还没有登记：" (absent.join("、")) } }
                }
            }
        },
    )
}
