//! `/index/persons/{person}`: who somebody is to the platform: the best record with where each value comes from, the
//! registrations, the time line, and what can be done: fix a value, split off, merge, disown a number, take back.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Refusal, RegionCode, Result};
use maud::{Markup, html};
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{TimelineEvent, Tone, badge, card_with, icon, notice, page_head, timeline};
use web::{Frame, Reply};

use super::person_read::{self, Event, Person, Pin};
use super::read::{self, Registration, Within};
use super::show::Eyes;
use super::special::{self, Ties};
use super::{Desk, REVEAL, WRITE, compare, history, words};
use crate::best::Field;
use crate::operations::{self, Past};

/// Registrations on the page; whoever has more is suspicious for that alone.
const RECORDS: i64 = 100;
/// Entries of the time line.
const EVENTS: i64 = 300;
/// Operations shown.
const OPERATIONS: i64 = 50;
/// Registrations side by side.
const COLUMNS: usize = 6;

pub(super) fn unknown() -> Refusal {
    Refusal::not_found("index.unknown", "没有找到这个人，或不在您的管辖范围内。请从居民主索引的列表进入。")
}

struct Seen {
    person: Person,
    records: Vec<Registration>,
    events: Vec<Event>,
    pins: Vec<Pin>,
    operations: Vec<Past>,
    waiting: Vec<(i64, String)>,
    ties: Ties,
}

enum Found {
    Here(Box<Seen>),
    /// Its registrations have gone to this person.
    Moved(i64),
}

async fn found(desk: &Desk, allowed: &Allowed, id: &str, act: &'static str) -> Result<Found> {
    let id: i64 = id.parse().map_err(|_| unknown())?;
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let living = person_read::living(tx, id).await?.ok_or_else(unknown)?;
            let person = person_read::person(tx, &within, living).await?.ok_or_else(unknown)?;
            let entry = AuditEntry {
                act,
                object_kind: "person",
                object_id: Some(living),
                object_label: person.name.clone(),
                person_id: Some(living),
                rows: i32::try_from(person.records).ok(),
                ..AuditEntry::default()
            };
            if living != id {
                return Ok((Found::Moved(living), entry));
            }
            let seen = Seen {
                records: read::of_person(tx, id, RECORDS).await?,
                events: person_read::events(tx, id, EVENTS).await?,
                pins: person_read::pins(tx, id).await?,
                operations: operations::history(tx, id, OPERATIONS).await?,
                waiting: person_read::waiting(tx, id).await?,
                ties: special::ties(tx, id).await?,
                person,
            };
            Ok((Found::Here(Box::new(seen)), entry))
        })
        .await
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    frame: Frame,
) -> Reply<Response> {
    Ok(match found(&desk, &allowed, &person, "person.identity_view").await? {
        Found::Here(seen) => frame.page("居民身份", view(&desk, &allowed, &seen, false)).into_response(),
        Found::Moved(to) => Redirect::to(&format!("/index/persons/{to}")).into_response(),
    })
}

/// The same with numbers in full.
pub(super) async fn reveal(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    frame: Frame,
) -> Reply<Response> {
    Ok(match found(&desk, &allowed, &person, "person.reveal").await? {
        Found::Here(seen) => frame.page("居民身份", view(&desk, &allowed, &seen, true)).into_response(),
        Found::Moved(to) => Redirect::to(&format!("/index/persons/{to}")).into_response(),
    })
}

/// The kind of mask of a field of the best record.
fn mask(field: Field) -> &'static str {
    match field {
        Field::Name => "name",
        Field::BirthDate => "birth_date",
        Field::Phone => "phone",
        Field::Address => "address",
        _ => "",
    }
}

/// What a registration says of a field of the best record.
fn said(record: &Registration, field: Field) -> String {
    let day = |d: Option<chrono::NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
    match field {
        Field::Name => record.name.clone(),
        Field::Sex => record.sex.clone(),
        Field::BirthDate => day(record.birth_date),
        Field::Phone => record.phone.clone(),
        Field::Address => record.address.clone(),
        Field::Region => record.region.clone(),
        Field::BloodAbo => record.blood_abo.clone(),
        Field::BloodRh => record.blood_rh.clone(),
        Field::DiedOn => day(record.died_on),
    }
}

fn readable(desk: &Desk, eyes: &Eyes<'_>, field: Field, value: &str) -> String {
    match field {
        Field::Sex if value == "0" => String::new(),
        Field::Sex => words::sex(value).to_owned(),
        Field::BloodAbo => desk.code("cv04_50_005_abo", value),
        Field::BloodRh => desk.code("cv04_50_020_rh", value),
        Field::Region => match RegionCode::parse(value) {
            Ok(code) if code != RegionCode::NATION => desk.institutions.region_name(&code),
            _ => String::new(),
        },
        _ => eyes.shown(mask(field), value),
    }
}

fn view(desk: &Desk, allowed: &Allowed, seen: &Seen, open: bool) -> Markup {
    let caller = allowed.caller();
    let eyes = Eyes { masks: &desk.masks, caller, open };
    let person = &seen.person;
    let acts = caller.may(WRITE);
    let name = match eyes.shown("name", &person.name) {
        name if name.is_empty() => "（未登记姓名）".to_owned(),
        name => name,
    };
    let birth = person.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default();
    let line = format!(
        "{}　{birth}　{}",
        words::sex(&person.sex),
        if person.citizen_id.is_empty() {
            "没有有效的公民身份号码".to_owned()
        } else {
            eyes.shown("citizen_id", &person.citizen_id)
        }
    );
    html! {
        (page_head(&[("待核对登记", "/index/review")], &name, &line, html! {
            @if person.died_on.is_some() { (badge(Tone::Neutral, "已故")) }
            @if caller.may(REVEAL) && !open { form.mk-inline method="post" action={ "/index/persons/" (person.id) "/reveal" } { button.btn type="submit" { (icon("eye")) "显示完整号码" } } }
            @if acts { a.btn href={ "/index/persons/" (person.id) "/merge" } { (icon("git-merge")) "与另一人合并" } }
        }))
        @for (task, kind) in &seen.waiting {
            div.mk-notice role="note" { (icon("git-compare")) span { "有一项待核对：" (words::kind(kind)) "。" } a href={ "/index/review/" (task) } { "去核对" } }
        }
        @if seen.records.is_empty() { (notice(Tone::Info, "名下已没有登记", "登记已归到别的人，见下面的身份时间线。")) }
        (best(desk, &eyes, seen, acts))
        (special::card(desk, &eyes, &seen.ties))
        (registrations(desk, &eyes, seen, acts))
        div.mk-columns {
            (card_with("身份时间线", html! { small.mk-muted { (seen.events.len()) " 条" } }, line_of(desk, &eyes, seen)))
            (card_with("处理记录", html! {}, done(seen, acts)))
        }
    }
}

/// The best record, with where each value comes from and what else is said.
fn best(desk: &Desk, eyes: &Eyes<'_>, seen: &Seen, acts: bool) -> Markup {
    let person = &seen.person;
    let of = |id: i64| seen.records.iter().find(|r| r.id == id);
    let rows: Vec<(Field, String)> = Field::ALL
        .into_iter()
        .map(|field| (field, person.value(field.code())))
        .filter(|(field, value)| !readable(desk, eyes, *field, value).is_empty())
        .collect();
    card_with(
        "最佳记录",
        html! { small.mk-muted { "各机构登记不一致时，按来源信任度、新旧和一致程度取值；人工指定的优先" } },
        html! {
            div.mk-scroll { table.mk-table.mk-best {
                thead { tr { th scope="col" { "项目" } th scope="col" { "取值" } th scope="col" { "出处" } th scope="col" { "依据" } th scope="col" { "其他说法" } } }
                tbody {
                    @for (field, value) in &rows {
                        @let source = person.sources.get(field.code()).and_then(|id| of(*id))
                            .or_else(|| seen.records.iter().find(|r| said(r, *field) == *value));
                        @let pin = source.and_then(|s| seen.pins.iter().find(|p| p.identity_id == s.id && p.field == field.code()));
                        @let agree = seen.records.iter().filter(|r| said(r, *field) == *value).count();
                        @let others: Vec<&Registration> = seen.records.iter()
                            .filter(|r| { let v = said(r, *field); v != *value && !readable(desk, eyes, *field, &v).is_empty() }).collect();
                        tr {
                            th scope="row" { (field.title()) }
                            td { b { (readable(desk, eyes, *field, value)) } }
                            td { @if let Some(s) = source { a href={ "#r" (s.id) } { (desk.institution(s.institution)) } " " small.mk-muted { (words::time(s.updated_at)) } } @else { span.mk-muted { "—" } } }
                            td {
                                @match pin {
                                    Some(pin) => {
                                        (badge(Tone::Info, "人工指定")) " " small.mk-muted title=(pin.reason) { (pin.actor) " " (words::time(pin.at)) "：" (pin.reason) }
                                        @if acts { (pin_form(person.id, pin.identity_id, *field, "unpin", "取消指定")) }
                                    },
                                    None => small.mk-muted { (agree) " 条登记如此" },
                                }
                            }
                            td {
                                @if others.is_empty() { span.mk-muted { "—" } } @else {
                                    details {
                                        summary.mk-link { (others.len()) " 条不同" }
                                        ul.mk-others {
                                            @for r in &others {
                                                li {
                                                    (match field {
                                                        Field::Sex | Field::Region | Field::BloodAbo | Field::BloodRh => html! { (readable(desk, eyes, *field, &said(r, *field))) },
                                                        _ => eyes.compared(mask(*field), Some(value), &said(r, *field)),
                                                    })
                                                    " " small.mk-muted { (desk.institution(r.institution)) " " (words::time(r.updated_at)) }
                                                    @if acts { (pin_form(person.id, r.id, *field, "pin", "改用这个")) }
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            } }
        },
    )
}

fn pin_form(person: i64, record: i64, field: Field, act: &str, label: &str) -> Markup {
    html! {
        details.mk-undo {
            summary.mk-link { (label) }
            form method="post" action={ "/index/persons/" (person) "/pin" } {
                input type="hidden" name="record" value=(record);
                input type="hidden" name="field" value=(field.code());
                input type="hidden" name="act" value=(act);
                input.form-control name="reason" required minlength="2" maxlength="200" placeholder="理由，例如：已核对身份证" aria-label="理由" autocomplete="off";
                button.btn.btn-sm type="submit" { "确定" }
            }
        }
    }
}

/// The registrations, and the form that splits some of them off.
fn registrations(desk: &Desk, eyes: &Eyes<'_>, seen: &Seen, acts: bool) -> Markup {
    let person = seen.person.id;
    let form = format!("split-{person}");
    let several = seen.records.len() > 1;
    let shown = &seen.records[..seen.records.len().min(COLUMNS)];
    card_with(
        &format!("名下的登记（{} 条）", seen.person.records),
        html! { @if several && acts { small.mk-muted { "不是同一人的，勾选后拆分出去" } } },
        html! {
            div.mk-scroll { table.mk-table {
                thead { tr {
                    @if several && acts { th scope="col" { "拆出" } }
                    th scope="col" { "机构" } th scope="col" { "院内编号" } th scope="col" { "姓名" } th scope="col" { "出生日期" }
                    th scope="col" { "证件号码" } th scope="col" { "归属依据" } th scope="col" { "最近更新" }
                    @if acts { th scope="col" { "证件" } }
                } }
                tbody {
                    @for r in &seen.records {
                        tr id={ "r" (r.id) } {
                            @if several && acts { td { input type="checkbox" name="record" value=(r.id) form=(form) aria-label={ "拆出 " (desk.institution(r.institution)) " 的登记" }; } }
                            td { (desk.institution(r.institution)) @if !r.special.is_empty() { " " (badge(Tone::Info, words::special(&r.special))) } @if !r.registered { small.mk-muted { "诊疗记录中提到" } } }
                            td { (eyes.shown("local_no", &r.local_no)) }
                            td { (eyes.compared("name", Some(&seen.person.name), &r.name)) " " small { (words::sex(&r.sex)) } }
                            td { (eyes.compared("birth_date", Some(&seen.person.value("birth_date")), &r.birth_date.map(|d| d.to_string()).unwrap_or_default())) }
                            td { (eyes.compared("citizen_id", Some(&seen.person.citizen_id), &r.credential_no)) @if r.number_disowned { " " (badge(Tone::Warn, "不属本人")) } }
                            td { (words::rule(&r.link_rule)) }
                            td { span.mk-date { (words::time(r.updated_at)) } }
                            @if acts { td { @if !r.citizen_id.is_empty() && !r.number_disowned {
                                details.mk-undo { summary.mk-link { "不属本人" }
                                    form method="post" action={ "/index/records/" (r.id) "/disown" } {
                                        input.form-control name="reason" required minlength="2" maxlength="200" placeholder="理由，例如：借用他人医保卡" aria-label="理由" autocomplete="off";
                                        button.btn.btn-sm type="submit" { "确定" }
                                    } }
                            } } }
                        }
                    }
                }
            } }
            @if several {
                details.mk-card-body {
                    summary.mk-link { "逐项对照" }
                    (compare::side_by_side(desk, eyes, shown, None, None, None))
                }
            }
            @if several && acts {
                form.mk-inline.mk-card-body id=(form) method="post" action={ "/index/persons/" (person) "/split" } data-confirm="勾选的登记将成为另一个人，诊疗记录随登记走。确定拆分吗？" {
                    input.form-control name="reason" required minlength="2" maxlength="200" placeholder="拆分的理由，例如：两人同名，身份证不同" aria-label="拆分的理由" autocomplete="off";
                    button.btn type="submit" { (icon("cut")) "拆分勾选的登记" }
                }
            }
        },
    )
}

fn line_of(desk: &Desk, eyes: &Eyes<'_>, seen: &Seen) -> Markup {
    let here = seen.person.id;
    let events: Vec<TimelineEvent> = seen
        .events
        .iter()
        .map(|e| {
            let (sign, kind) = words::event(&e.kind);
            let when = words::time(e.at);
            let (date, time) = when.split_once(' ').unwrap_or((&when, ""));
            let went = e.from_person == Some(here) && e.to_person != here;
            let other = if went { Some(e.to_person) } else { e.from_person.filter(|p| *p != here) };
            let who = if e.actor.is_empty() { String::new() } else { format!("{}：", e.actor) };
            let why = if e.reason.is_empty() { words::rule(&e.rule).to_owned() } else { e.reason.clone() };
            TimelineEvent {
                date: date.to_owned(),
                time: time.to_owned(),
                icon: if went { "door-exit".into() } else { sign.into() },
                kind: if went { "移出".to_owned() } else { kind.to_owned() },
                title: format!("{} 的登记 {}", desk.institution(e.institution_id), eyes.shown("local_no", &e.local_no)),
                result: Some(html! {
                    " " span.mk-muted { (who) (why) }
                    @if let Some(other) = other { " " a href={ "/index/persons/" (other) } { @if went { "去向" } @else { "来处" } } }
                    @if let Some(weight) = e.weight { " " small.mk-muted { (super::bits::signed(f64::from(weight))) " 比特" } }
                    @if !e.model_version.is_empty() { " " small.mk-muted { "模型 " (e.model_version) } }
                    a.mk-hidden href={ "#r" (e.identity_id) } { "查看这条登记" }
                }),
                ..TimelineEvent::default()
            }
        })
        .collect();
    html! { @if events.is_empty() { div.mk-card-body.mk-muted { "还没有记录。" } } @else { (timeline(&events)) } }
}

/// Whether an operation moved or marked something of this person, and did not only pass a number on to it.
fn about(seen: &Seen, operation: &Past) -> bool {
    let change = &operation.change;
    !change.numbers.contains_key(&seen.person.id)
        || change.moved().contains(&seen.person.id)
        || seen.records.iter().any(|r| operation.identities.contains(&r.id))
}

fn done(seen: &Seen, acts: bool) -> Markup {
    html! {
        @if seen.operations.is_empty() { div.mk-card-body.mk-muted { "没有人工处理过。合并、拆分等处理会列在这里，可以撤销。" } }
        @else {
            ul.mk-asked {
                @for o in &seen.operations {
                    // What was done to somebody else is told there.
                    @if !about(seen, o) { li { div { b { "号码转入" } " " small.mk-muted { "因对其他登记的处理，此人登记上的公民身份号码生效 " (words::time(o.at)) } } } } @else { li {
                        div { b { (o.kind_name()) } " " (o.reason) @if o.undone_by.is_some() { " " (badge(Tone::Neutral, "已撤销")) } }
                        div { small.mk-muted { (o.actor) " " (words::time(o.at)) } @if let Some(task) = o.task_id { " " a href={ "/index/review/" (task) } { small { "核对项" } } }
                            @if acts && o.undone_by.is_none() && o.undoes.is_none() && o.kind != "run" { (history::undo_form(o.id, &format!("person:{}", seen.person.id))) } }
                    } }
                }
            }
        }
    }
}
