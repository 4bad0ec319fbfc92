//! `/index/review/{task}`: registrations side by side, differences marked, each field's evidence as a picture, and what
//! can be done. Keys: 1 the same, 2 not the same, 3 ask the institution, J and K the next and the one before.

use axum::extract::{Path, State};
use kernel::{Refusal, Result};
use maud::{Markup, html};
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{Here, Tone, badge, card, card_with, icon, notice, page_head, plain_badge};
use web::{Frame, Reply};

use super::read::{self, Question, Registration, Whole, Within};
use super::show::Eyes;
use super::{Desk, EXPORT, REVEAL, WRITE, account, bits, words};
use crate::review::{Part, risky};

/// A task that is not there, or not within reach.
pub(super) fn unknown() -> Refusal {
    Refusal::not_found(
        "review.unknown",
        "没有找到这一项，或它涉及您辖区以外的登记，由上级核对。请回到“待核对登记”选择别的。",
    )
}

/// Everything that the page shows.
pub(super) struct Seen {
    pub whole: Whole,
    pub all: Vec<Registration>,
    pub questions: Vec<Question>,
    pub within: Within,
}

/// Reads a task with its registrations; the look is audited for both persons.
pub(super) async fn look(
    desk: &Desk,
    allowed: &Allowed,
    id: i64,
    act: &'static str,
    hold: bool,
) -> Result<Seen> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    let account = account(allowed);
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let whole = read::whole(tx, &within, id, account, now).await?.ok_or_else(unknown)?;
            let all = read::side_by_side(tx, whole.a, whole.b).await?;
            let questions = read::questions_of(tx, id).await?;
            if hold && whole.held_by.is_none() {
                read::hold(tx, id, account, &reach.caller().name, now).await?;
            }
            let entry = |person: Option<i64>, name: &str| AuditEntry {
                act,
                object_kind: "review_task",
                object_id: Some(id),
                object_label: name.to_owned(),
                person_id: person,
                rows: i32::try_from(all.len()).ok(),
                detail: Some(serde_json::json!({ "kind": whole.task.kind })),
                ..AuditEntry::default()
            };
            let person = |record: i64| all.iter().find(|r| r.id == record).map(|r| r.person);
            let (one, other) = (person(whole.a), person(whole.b));
            if one != other {
                let second = entry(other, &whole.task.b.name);
                store::audit::record(tx, reach.caller(), reach.purpose(), now, &second).await?;
            }
            let first = entry(one, &whole.task.a.name);
            Ok((Seen { whole, all, questions, within }, first))
        })
        .await
}

fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| unknown())
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(task): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let hold = allowed.caller().may(WRITE);
    let seen = look(&desk, &allowed, number(&task)?, "person.review_view", hold).await?;
    Ok(frame.page("核对登记", view(&desk, &allowed, &seen, &here, false)))
}

/// The same with numbers in full.
pub(super) async fn reveal(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(task): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let seen = look(&desk, &allowed, number(&task)?, "person.reveal", true).await?;
    Ok(frame.page("核对登记", view(&desk, &allowed, &seen, &here, true)))
}

/// A row of the comparison: title, field of the model, kind of mask, value.
type Line = (&'static str, &'static str, &'static str, fn(&Desk, &Registration) -> String);

const LINES: [Line; 16] = [
    ("姓名", "name", "name", |_, r| r.name.clone()),
    ("性别", "sex", "", |_, r| if r.sex == "0" { String::new() } else { words::sex(&r.sex).to_owned() }),
    ("出生日期", "birth_date", "birth_date", |_, r| day(r.birth_date)),
    ("公民身份号码", "citizen_id", "citizen_id", |_, r| r.citizen_id.clone()),
    ("其他证件号", "credential_no", "citizen_id", |_, r| {
        if r.credential_no == r.citizen_id { String::new() } else { r.credential_no.clone() }
    }),
    ("本人电话", "phone", "phone", |_, r| r.phone.clone()),
    ("住址", "address", "address", |_, r| r.address.clone()),
    ("居住区划", "region", "", |desk, r| match kernel::RegionCode::parse(&r.region) {
        Ok(code) if code != kernel::RegionCode::NATION => desk.institutions.region_name(&code),
        _ => String::new(),
    }),
    ("联系人姓名", "guardian", "name", |_, r| r.contact_name.clone()),
    ("联系人电话", "contact_phone", "phone", |_, r| r.contact_phone.clone()),
    ("卡号", "card_no", "card", |_, r| r.card_no.clone()),
    ("民族", "ethnicity", "", |desk, r| desk.code("gb3304_ethnicity", &r.ethnicity)),
    ("ABO 血型", "blood_abo", "", |desk, r| desk.code("cv04_50_005_abo", &r.blood_abo)),
    ("Rh 血型", "blood_rh", "", |desk, r| desk.code("cv04_50_020_rh", &r.blood_rh)),
    ("死亡日期", "died_on", "", |_, r| day(r.died_on)),
    ("登记种类", "special", "", |_, r| words::special(&r.special).to_owned()),
];

fn day(date: Option<chrono::NaiveDate>) -> String {
    date.map(|d| d.to_string()).unwrap_or_default()
}

/// Registrations side by side: `first` is what the others are compared with; the evidence stands after the first two.
pub(super) fn side_by_side(
    desk: &Desk,
    eyes: &Eyes<'_>,
    all: &[Registration],
    parts: Option<&[Part]>,
    sum: Option<(f64, f32)>,
    within: Option<&Within>,
) -> Markup {
    let Some(first) = all.first() else { return html! {} };
    // Whose page the reader may open: somebody with a registration within reach.
    let near = |person: i64| {
        within.is_none_or(|w| all.iter().any(|r| r.person == person && w.has(r.institution, &r.region)))
    };
    // Of a pair the second stays 乙, though both belong to one person by now.
    let second = within.and(all.get(1)).map(|r| r.id);
    let letter =
        |r: &Registration| if r.person == first.person && Some(r.id) != second { "甲" } else { "乙" };
    let part = |field: &str| parts.and_then(|p| p.iter().find(|p| p.field == field));
    let told: Vec<&str> = LINES.iter().map(|l| l.1).collect();
    let lines: Vec<(&Line, Vec<String>)> = LINES
        .iter()
        .map(|line| (line, all.iter().map(|r| line.3(desk, r)).collect::<Vec<_>>()))
        .filter(|(line, values)| values.iter().any(|v| !v.is_empty()) || part(line.1).is_some())
        .collect();
    let evidence = |p: Option<&Part>| {
        html! {
            @match p {
                Some(p) => { (bits::bar(p.weight)) span.mk-bit-number { (bits::signed(p.weight)) } small { (words::level(&p.level)) } },
                None => {},
            }
        }
    };
    let columns = all.len().min(2);
    html! {
        div.mk-scroll {
            table.mk-table.mk-compare {
                thead {
                    tr {
                        th scope="col" { "项目" }
                        @for (at, r) in all.iter().enumerate() {
                            @if at == columns && parts.is_some() { th.mk-evidence scope="col" { "证据（比特）" } }
                            th scope="col" class=(if letter(r) == "甲" { "mk-side-a" } else { "mk-side-b" }) {
                                span.mk-side-letter { (letter(r)) }
                                (desk.institution(r.institution))
                            }
                        }
                        @if all.len() <= columns && parts.is_some() { th.mk-evidence scope="col" { "证据（比特）" } }
                    }
                }
                tbody {
                    @for (line, values) in &lines {
                        tr {
                            th scope="row" { (line.0) }
                            @for (at, value) in values.iter().enumerate() {
                                @if at == columns && parts.is_some() { td.mk-evidence { (evidence(part(line.1))) } }
                                td data-label=(desk.institution(all[at].institution)) {
                                    // The first two are held against each other, the others against the first.
                                    @let other = if at == 0 { values.get(1) } else { values.first() };
                                    (eyes.compared(line.2, other.map(String::as_str), value))
                                    @if line.1 == "citizen_id" && all[at].number_disowned { " " (badge(Tone::Warn, "已认定不属本人")) }
                                }
                            }
                            @if values.len() <= columns && parts.is_some() { td.mk-evidence { (evidence(part(line.1))) } }
                        }
                    }
                    @if let Some(parts) = parts {
                        @for p in parts.iter().filter(|p| !told.contains(&p.field.as_str())) {
                            tr { th scope="row" { (words::field(&p.field)) } @for _ in 0..columns { td {} } td.mk-evidence { (evidence(Some(p))) }
                                @for _ in columns..all.len() { td {} } }
                        }
                    }
                    @if let Some((weight, probability)) = sum {
                        tr.mk-sum {
                            th scope="row" { "合计" }
                            td colspan=(columns) { "是同一人的可能性 " b { (bits::percent(probability)) } }
                            td.mk-evidence { (bits::bar(weight)) span.mk-bit-number { (bits::signed(weight)) } }
                            @for _ in columns..all.len() { td {} }
                        }
                    }
                }
                tbody.mk-source {
                    (source_row("院内编号", all, parts.is_some(), |r| html! { (eyes.shown("local_no", &r.local_no)) }))
                    (source_row("首次登记", all, parts.is_some(), |r| html! { (r.first_at.map(words::time).unwrap_or_default()) }))
                    (source_row("最近更新", all, parts.is_some(), |r| html! {
                        (words::time(r.updated_at)) @if r.events > 1 { small.mk-muted { "共 " (r.events) " 次变动" } }
                    }))
                    (source_row("来源", all, parts.is_some(), |r| html! { @if r.registered { "患者登记" } @else { "诊疗记录中提到" } }))
                    (source_row("归属依据", all, parts.is_some(), |r| html! { (words::rule(&r.link_rule)) }))
                    (source_row("现归", all, parts.is_some(), |r| html! {
                        @if near(r.person) { a href={ "/index/persons/" (r.person) } { (letter(r)) " 的身份页" } }
                        @else { span.mk-muted title="这个人的登记都在您的辖区以外，身份页由其所在县区查看" { (letter(r)) "（外县区）" } }
                    }))
                }
            }
        }
    }
}

fn source_row(
    title: &str,
    all: &[Registration],
    gap: bool,
    cell: impl Fn(&Registration) -> Markup,
) -> Markup {
    html! {
        tr {
            th scope="row" { (title) }
            @for (at, r) in all.iter().enumerate() {
                @if at == 2 && gap { td.mk-evidence {} }
                td { (cell(r)) }
            }
            @if all.len() <= 2 && gap { td.mk-evidence {} }
        }
    }
}

/// What became of the task before, when one comes from it.
fn done_before(here: &Here) -> Markup {
    let number = |key: &str| here.get(key).and_then(|o| o.parse::<i64>().ok());
    let (operation, from) = (number("done"), number("from").unwrap_or_default());
    html! {
        @match (here.get("was"), operation) {
            (Some(outcome @ ("same" | "apart")), Some(operation)) => {
                div.mk-notice role="status" {
                    (icon("circle-check")) span { "上一项已记为“" (words::outcome(outcome)) "”。" }
                    form.mk-inline method="post" action={ "/index/operations/" (operation) "/undo" } {
                        input type="hidden" name="reason" value="误操作，立即撤销";
                        input type="hidden" name="back" value={ "task:" (from) };
                        button.mk-link type="submit" data-key="u" { "撤销（U）" }
                    }
                }
            },
            (Some("second"), _) => (notice(Tone::Info, "上一项已提交，等另一人复核后生效", "")),
            (Some("disputed"), _) => (notice(Tone::Warn, "上一项两人意见不一致，已退回待核对", "可以请机构核实后再定。")),
            (Some("asked"), _) => (notice(Tone::Info, "上一项已请机构核实，答复后回到待核对", "")),
            (Some("gone"), _) => (notice(Tone::Info, "上一项两边已经归为一人，不用处理", "")),
            _ => {},
        }
    }
}

fn view(desk: &Desk, allowed: &Allowed, seen: &Seen, here: &Here, open: bool) -> Markup {
    let (whole, caller) = (&seen.whole, allowed.caller());
    let task = &whole.task;
    let eyes = Eyes { masks: &desk.masks, caller, open };
    let own_first = task.state == "second" && whole.first_by == account(allowed);
    let waits = matches!(task.state.as_str(), "open" | "second" | "asked");
    let decides = caller.may(WRITE) && waits && !own_first;
    let (tone, state) = words::state(&task.state, &task.outcome);
    let (urgent, priority) = words::priority(task.priority);
    let parts: &[Part] = &whole.parts;
    let more = seen.all.len() as i64 >= read::SIDE_BY_SIDE;
    html! {
        (page_head(&[("待核对登记", "/index/review")], "是不是同一人？", words::why(&task.kind), html! {
            (plain_badge(words::kind(&task.kind))) (badge(urgent, priority)) (badge(tone, state))
            a.btn href={ "/index/review/next?before=" (task.id) } data-key="k" title="快捷键 K" { (icon("chevron-left")) "上一项" }
            a.btn href={ "/index/review/next?after=" (task.id) } data-key="j" title="快捷键 J" { "下一项" (icon("chevron-right")) }
        }))
        (done_before(here))
        @if let Some(name) = &whole.held_by { (notice(Tone::Warn, &format!("{name} 正在核对这一项"), "可以先看下一项，以免重复处理。")) }
        @if task.state == "second" {
            (notice(Tone::Info, &format!("{} 判断“{}”，须另一人复核", task.first_name, words::outcome(&whole.first_outcome)),
                if own_first { "您不能复核自己的结论，请处理下一项。" } else { whole.note.as_str() }))
        } @else if task.state == "asked" || task.state == "open" && !seen.questions.is_empty() && !whole.note.is_empty() {
            (notice(Tone::Neutral, if task.state == "asked" { "已请机构核实，等待答复" } else { "机构已答复" }, if task.state == "asked" { "" } else { whole.note.as_str() }))
        }
        @if task.state == "done" { (outcome(allowed, whole)) }
        section.mk-card {
            div.mk-card-head {
                h2 { "登记对照" }
                div {
                    @if caller.may(REVEAL) && !open {
                        form.mk-inline method="post" action={ "/index/review/" (task.id) "/reveal" } { button.mk-link type="submit" { (icon("eye")) "显示完整号码" } }
                    }
                    small.mk-muted { "底色标出不同的字；条形向右支持是同一人，向左反对。" @if !whole.model_version.is_empty() { " 模型 " (whole.model_version) } }
                }
            }
            (side_by_side(desk, &eyes, &seen.all, Some(parts), Some((f64::from(task.weight), task.probability)), Some(&seen.within)))
            @if more { p.mk-card-body.mk-muted { "登记较多，只列出前 " (read::SIDE_BY_SIDE) " 条，其余见身份页。" } }
        }
        @if !seen.questions.is_empty() { (questions(desk, &seen.questions)) }
        @if decides { (decision(desk, seen, &task.kind, parts)) }
        @if caller.may(EXPORT) && !waits { p.mk-muted { "这一项已处理完毕。" } }
    }
}

fn decision(desk: &Desk, seen: &Seen, kind: &str, parts: &[Part]) -> Markup {
    let task = &seen.whole.task;
    let second = task.state == "second";
    let careful = risky(kind, parts) && !second;
    html! {
        section.mk-card.mk-decide aria-label="结论" {
            form method="post" action={ "/index/review/" (task.id) "/decide" } {
                label.mk-hidden for="why" { "理由" }
                input.form-control id="why" name="why" maxlength="200" autocomplete="off"
                    placeholder=(if careful { "理由（证据有矛盾，请写明依据；提交后由另一人复核）" } else { "理由（可以不写）" });
                button.btn.btn-primary type="submit" name="outcome" value="same" data-key="1" { kbd { "1" } "是同一人" }
                button.btn type="submit" name="outcome" value="apart" data-key="2" { kbd { "2" } "不是同一人" }
            }
            details {
                summary.btn data-key="3" { kbd { "3" } "请机构核实" }
                form method="post" action={ "/index/review/" (task.id) "/ask" } {
                    select.form-select name="identity" aria-label="问哪家机构" {
                        @for r in &seen.all { option value=(r.id) { (desk.institution(r.institution)) "（" (words::time(r.updated_at)) " 的登记）" } }
                    }
                    input.form-control name="question" required minlength="4" maxlength="200" autocomplete="off"
                        placeholder="要核实什么，例如：请核对身份证件上的出生日期";
                    button.btn.btn-primary type="submit" { "发出" }
                }
            }
        }
    }
}

fn outcome(allowed: &Allowed, whole: &Whole) -> Markup {
    let task = &whole.task;
    let who = format!(
        "{}{}　{}",
        task.decided_name,
        if task.first_name.is_empty() { String::new() } else { format!("（{} 初核）", task.first_name) },
        task.decided_at.map(words::time).unwrap_or_default()
    );
    card(
        &format!("结论：{}", words::outcome(&task.outcome)),
        html! {
            p { (who) } @if !whole.note.is_empty() { p { "理由：" (whole.note) } }
            @match whole.operation {
                Some(operation) if allowed.caller().may(WRITE) && !whole.undone => {
                    form.mk-inline method="post" action={ "/index/operations/" (operation) "/undo" } data-confirm="撤销后两边恢复原状，这一项回到待核对。确定撤销吗？" {
                        input type="hidden" name="back" value={ "task:" (task.id) };
                        input.form-control name="reason" required minlength="2" maxlength="200" placeholder="撤销的理由" aria-label="撤销的理由" autocomplete="off";
                        button.btn type="submit" { (icon("arrow-back-up")) "撤销这个结论" }
                    }
                },
                _ => {},
            }
        },
    )
}

fn questions(desk: &Desk, all: &[Question]) -> Markup {
    card_with(
        "机构核实",
        html! {},
        html! {
            ul.mk-asked {
                @for q in all {
                    li {
                        div { b { (desk.institution(q.institution_id)) } " " (q.question) " " small.mk-muted { (q.asked_name) " " (words::time(q.asked_at)) } }
                        @match q.answered_at {
                            Some(at) => div { (super::questions::answer_badge(&q.answer)) " " (q.note) " " small.mk-muted { (q.answered_name) " " (words::time(at)) } },
                            None => div.mk-muted { "等待答复" },
                        }
                    }
                }
            }
        },
    )
}
