//! `/clients`: the machine clients of an administrator's region.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use contracts::InstitutionCard;
use kernel::{Error, Id, Purpose, Reach, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Tone, badge, card, describe, fact, notice, page_head};
use web::{Frame, Reply};

use super::{IssuedClient, store};
use crate::Identity;
use crate::page;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ClientForm {
    #[serde(default)]
    institution: String,
    #[serde(default)]
    name: String,
}

fn within(identity: &Identity, reach: &Reach) -> Vec<Arc<InstitutionCard>> {
    identity.institutions.all().iter().filter(|card| reach.covers(card.id, &card.region)).cloned().collect()
}

fn numbers(cards: &[Arc<InstitutionCard>]) -> Vec<i32> {
    cards.iter().filter_map(|card| i32::try_from(card.id.get()).ok()).collect()
}

pub(super) async fn list(State(identity): State<Identity>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    Ok(frame.page("接入客户端", view(&identity, &reach, &ClientForm::default(), None).await?))
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    Form(given): Form<ClientForm>,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let chosen = within(&identity, &reach).into_iter().find(|card| card.id.to_string() == given.institution);
    let issued = match &chosen {
        Some(card) => identity.create_client(card.id, &given.name, reach.caller()).await,
        None => Err(Refusal::invalid("client.unknown_institution", "请选择您辖区内的一个机构。").into()),
    };
    match issued {
        Ok(issued) => {
            let name = chosen.map(|card| card.name.clone()).unwrap_or_default();
            Ok(frame.page("接入凭据", told_once(&issued, &name)).into_response())
        }
        Err(Error::Refused(refusal)) => {
            let body = view(&identity, &reach, &given, Some(&refusal.message)).await?;
            Ok((web::failure::status(refusal.kind), frame.page("接入客户端", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(client): Path<i64>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let institutions = numbers(&within(&identity, &reach));
    if store::list(identity.db.pool(), &[client], &institutions).await?.is_empty() {
        return Err(Refusal::not_found("client.none", "没有这个客户端，或它不在您的辖区内。").into());
    }
    identity.close_client(client, reach.caller()).await?;
    Ok(Redirect::to("/clients"))
}

async fn view(
    identity: &Identity,
    reach: &Reach,
    given: &ClientForm,
    problem: Option<&str>,
) -> kernel::Result<Markup> {
    let cards = within(identity, reach);
    let clients = store::list(identity.db.pool(), &[], &numbers(&cards)).await?;
    let rows: Vec<Vec<Markup>> = clients
        .iter()
        .map(|client| {
            let institution = identity.institutions.by_id(Id::new(i64::from(client.institution_id)));
            let open = client.state == "open";
            vec![
                html! { (client.name) },
                html! { code { (client.client_id) } },
                html! { (institution.map(|card| card.name.clone()).unwrap_or_default()) },
                badge(if open { Tone::Good } else { Tone::Neutral }, if open { "正常" } else { "已停用" }),
                html! { (client.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)) },
                html! { (page::time(client.created_at)) " " (client.created_by) },
                html! {
                    @if open { (page::act_button(&format!("/clients/{}/close", client.id), "停用", "btn-sm")) }
                },
            ]
        })
        .collect();
    Ok(html! {
        (page_head(&[], "接入客户端", "机构的程序用它上传本机构的数据；一个客户端只能写一个机构的数据。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "凭据没有发放", problem)) }
        (card("发放接入凭据", html! {
            form method="post" action="/clients" {
                div.mk-form-grid {
                    (page::control("机构", "institution", "", &html! {
                        select.form-select id="institution" name="institution" required {
                            option value="" { "请选择" }
                            @for card in &cards {
                                option value=(card.id) selected[card.id.to_string() == given.institution] { (card.name) }
                            }
                        }
                    }))
                    (page::control("名称", "name", "用途，如“HIS 数据上传”", &html! {
                        input.form-control id="name" name="name" value=(given.name) required maxlength="50" autocomplete="off";
                    }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "发放" } }
            }
        }))
        section.mk-card.mk-list {
            (page::list_bar(&format!("共 {} 个客户端", clients.len()), &html! {}))
            @if rows.is_empty() {
                (web::ui::empty("还没有客户端", "为机构发放接入凭据后，机构的程序即可上传数据。", None))
            } @else {
                (page::table(&["名称", "客户端编号", "机构", "状态", "最近使用", "发放", ""], &rows))
            }
        }
    })
}

fn told_once(issued: &IssuedClient, institution: &str) -> Markup {
    html! {
        (page_head(&[("接入客户端", "/clients")], "接入凭据", institution, html! {}))
        (notice(Tone::Warn, "密钥只显示这一次", "请现在就通过可靠的方式交给机构的数据工程师。遗失后只能停用并重新发放。"))
        (card("凭据", describe(&[
            fact("客户端编号", &issued.client_id),
            ("密钥（HTTP Basic 密码）".to_owned(), html! { code.mk-secret { (issued.secret) } }),
            ("签名链接密钥（十六进制）".to_owned(), html! { code.mk-secret { (issued.link_key) } }),
        ])))
        div.mk-form-acts { a.btn.btn-primary href="/clients" { "已妥善保存，返回" } }
    }
}
