//! Closing, merging, moving …: the forms on an entry's page and what they do.

use axum::Form;
use axum::extract::{RawPathParams, State};
use axum::response::{IntoResponse, Redirect, Response};
use catalog::Register;
use chrono::NaiveDate;
use contracts::Institutions;
use kernel::Refusal;
use kernel::access::InstitutionId;
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Field, Kind, field, form_acts};
use web::{Frame, Reply};

use super::super::life::Step;
use super::super::model::{Entry, State as Standing};
use super::{Place, address, day, id, reach};

#[derive(Debug, Default, Deserialize)]
pub(super) struct StepForm {
    #[serde(default)]
    step: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    into: String,
    #[serde(default)]
    with_staff: String,
    #[serde(default)]
    staff_no: String,
    #[serde(default)]
    department: String,
}

fn one(
    entry: &Entry,
    base: &str,
    step: &str,
    title: &str,
    line: &str,
    confirm: &str,
    more: Markup,
    today: NaiveDate,
) -> Markup {
    let (day_id, reason_id) = (format!("{step}-day"), format!("{step}-reason"));
    html! {
        details.mk-step {
            summary { (title) }
            p.mk-muted { (line) }
            form method="post" action={ (base) "/step" } data-confirm=(confirm) {
                input type="hidden" name="step" value=(step);
                (more)
                div.mk-field { label for=(day_id) { "生效日期 " em { "*" } }
                    div.mk-field-line { input.form-control type="date" id=(day_id) name="day" value=(today) required; } }
                div.mk-field { label for=(reason_id) { "原因、文号 " em { "*" } }
                    div.mk-field-line { input.form-control type="text" id=(reason_id) name="reason" required maxlength="200" autocomplete="off"; } }
                (form_acts(&format!("{title}“{}”", entry.name), None))
            }
        }
    }
}

/// What can be done with the entry as a whole.
pub(super) fn card(register: &Register, entry: &Entry, today: NaiveDate) -> Markup {
    let base = address(register, entry);
    let open = entry.state == Standing::Active;
    let target = |name: &str, label: &str| {
        field(&Field {
            name,
            label,
            required: true,
            pick: "/registry/pick/institution",
            hint: "输入名称、拼音首字母或代码选择",
            ..Field::default()
        })
    };
    let ended = register.ended.as_str();
    web::ui::card(
        "办理",
        html! {
            @match (register.code(), open) {
                ("institution", true) => {
                    (one(entry, &base, "end", "注销", "机构停止开办。登记内容和历史记录都保留，可以恢复。", "确定注销这家机构吗？", html! {}, today))
                    (one(entry, &base, "merge", "并入其他机构", "历史的就诊记录、上传数据仍记在本机构名下；新业务由承接机构上传。", "确定并入吗？", html! {
                        (target("into", "承接机构"))
                        div.mk-field { label { input type="checkbox" name="with_staff" value="1" checked; " 在职人员一并转入承接机构" } }
                    }, today))
                },
                ("staff", true) => {
                    (one(entry, &base, "move", "调动", "调到另一家机构，登录账号随之转移。", "确定调动吗？", html! {
                        (target("into", "调入机构"))
                        (field(&Field { name: "staff_no", label: "新工号", required: true, value: &entry.key, ..Field::default() }))
                        (field(&Field { name: "department", label: "新科室", kind: Kind::Text, ..Field::default() }))
                    }, today))
                    (one(entry, &base, "end", "离职", "账号随之停用；登记内容保留。", "确定办理离职吗？", html! {}, today))
                },
                ("institution", false) => (one(entry, &base, "resume", "恢复开办", "撤销注销或合并，机构恢复正常。", "确定恢复开办吗？", html! {}, today)),
                ("staff", false) => (one(entry, &base, "resume", "复职", "恢复在职。账号需要另行开通。", "确定办理复职吗？", html! {}, today)),
                (_, true) => (one(entry, &base, "end", ended, "不再出现在列表和统计中；历史保留，可以恢复。", "确定吗？", html! {}, today)),
                (_, false) => (one(entry, &base, "resume", "恢复", "恢复为正常状态。", "确定恢复吗？", html! {}, today)),
            }
        },
    )
}

pub(super) async fn carry_out(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    frame: Frame,
    Form(asked): Form<StepForm>,
) -> Reply<Response> {
    let registries = &place.registries;
    let register = place.register(&params)?;
    let reach = reach(&allowed)?;
    let entry = registries.entry(&register, &reach, id(&params)?).await?;
    let institution = |code: &str| -> Result<InstitutionId, Refusal> {
        registries.directory.by_code(code).map(|card| card.id).ok_or_else(|| {
            Refusal::invalid("registry.no_target", format!("没有登记代码为“{code}”的机构。请从提示中选择。"))
        })
    };
    let step = match (asked.step.as_str(), register.code()) {
        ("end", _) => Step::End,
        ("resume", _) => Step::Resume,
        ("merge", "institution") => {
            Step::Merge { into: institution(&asked.into)?, with_staff: !asked.with_staff.is_empty() }
        }
        ("move", "staff") => Step::Move {
            to: institution(&asked.into)?,
            staff_no: asked.staff_no.clone(),
            department: asked.department.clone(),
        },
        _ => return Err(Refusal::invalid("registry.no_step", "没有这种办理事项。请从详情页操作。").into()),
    };
    let from = day(&asked.day, registries.clock.local().date())?;
    let outcome = registries.step(allowed.caller(), &reach, &entry, &step, from, &asked.reason).await?;
    let back = address(&register, &entry);
    if !outcome.stayed.is_empty() {
        let text = format!(
            "以下 {} 人的工号在承接机构已被占用，仍留在原机构，请逐人办理调动：{}",
            outcome.stayed.len(),
            outcome.stayed.join("、")
        );
        let body = html! {
            (web::ui::page_head(&[], "已经办理", &entry.name, html! { a.btn.btn-primary href=(back) { "返回" } }))
            (web::ui::notice(web::ui::Tone::Warn, "有人员没有转入", &text))
        };
        return Ok(frame.page("已经办理", body).into_response());
    }
    Ok(Redirect::to(&back).into_response())
}
