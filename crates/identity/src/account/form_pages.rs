//! `/accounts/new`: opening one account.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::InstitutionCard;
use kernel::{AccountId, Error, Purpose, Reach, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Field, Tone, card, notice, page_head};
use web::{Frame, Reply};

use super::NewAccount;
use super::admin_pages::{WAY, givable, out_of_reach, told_once};
use crate::{Identity, page, secret};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountForm {
    login: String,
    name: String,
    staff_no: String,
    role: String,
    institution: String,
}

pub(super) async fn blank(State(identity): State<Identity>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    Ok(frame.page("开通账号", form(&identity, &reach, &AccountForm::default(), None)))
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    Form(given): Form<AccountForm>,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    match open(&identity, &reach, &given).await {
        Ok((account, first)) => Ok(frame
            .page("账号已开通", told_once(account, &given.name, "账号已开通", &first))
            .into_response()),
        Err(Error::Refused(refusal)) => {
            let body = form(&identity, &reach, &given, Some(&refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page("开通账号", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(
    identity: &Identity,
    reach: &Reach,
    given: &AccountForm,
) -> kernel::Result<(AccountId, String)> {
    let by = reach.caller();
    let (institution, region) = match given.institution.trim() {
        "" => (None, by.region),
        text => {
            let within = within(identity, reach);
            let card = page::institution_named(text, &within).ok_or_else(unknown)?;
            (Some(card.id), card.region)
        }
    };
    if !identity.may_open(by, &given.role, institution, &region) {
        return Err(out_of_reach().into());
    }
    let new = NewAccount {
        login: given.login.clone(),
        name: given.name.clone(),
        staff_no: given.staff_no.clone(),
        role: given.role.clone(),
        institution,
        region,
    };
    let first = secret::random_password()?;
    let account = identity.create_account(&new, &first, true, by).await?;
    Ok((account, first))
}

fn within(identity: &Identity, reach: &Reach) -> Vec<Arc<InstitutionCard>> {
    identity.institutions.all().iter().filter(|card| reach.covers(card.id, &card.region)).cloned().collect()
}

fn unknown() -> Refusal {
    Refusal::invalid(
        "account.unknown_institution",
        "您的管辖范围内没有这个机构，或有几个机构同名。请从列出的机构中选择，或填写机构代码。",
    )
}

fn form(identity: &Identity, reach: &Reach, given: &AccountForm, problem: Option<&str>) -> Markup {
    let by = reach.caller();
    let none = format!("{}卫生健康行政部门的人员不选机构", identity.institutions.region_name(&by.region));
    let institution = page::institution_field(
        &Field {
            name: "institution",
            label: "机构",
            value: &given.institution,
            hint: &none,
            ..Field::default()
        },
        &within(identity, reach),
    );
    let text = |id: &str, value: &str, required: bool| {
        html! { input.form-control id=(id) name=(id) value=(value) required[required] maxlength="64" autocomplete="off"; }
    };
    html! {
        (page_head(WAY, "开通账号", "初始密码由系统生成，只显示一次；本人首次登录须修改。", html! { a.btn href="/accounts/import" { "批量开通" } }))
        @if let Some(problem) = problem { (notice(Tone::Bad, "账号没有开通", problem)) }
        (card("账号资料", html! {
            form method="post" action="/accounts" {
                div.mk-form-grid {
                    (page::control("姓名", "name", "真实姓名，会出现在审计日志中；尚未登记的人员同时登记", &text("name", &given.name, true)))
                    (page::control("登录名", "login", "3 位以上字母、数字、点、横线、下划线", &text("login", &given.login, true)))
                    (page::control("工号", "staff_no", "本单位的工号；没有工号的以登录名登记", &text("staff_no", &given.staff_no, false)))
                    (page::control("角色", "role", "", &html! {
                        select.form-select id="role" name="role" required {
                            option value="" { "请选择" }
                            @for role in givable(identity, reach) {
                                option value=(role.code) selected[role.code == given.role] title=(role.description) { (role.name) }
                            }
                        }
                    }))
                    (institution)
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "开通" } a.btn href="/accounts" { "取消" } }
            }
        }))
    }
}
