//! `/clients`: the machine clients of an administrator's region.

use std::sync::Arc;

use axum::extract::{Path, RawForm, State};
use axum::response::{IntoResponse, Redirect, Response};
use contracts::InstitutionCard;
use kernel::{Error, Id, Purpose, Reach, Refusal, Result};
use maud::{Markup, html};
use web::download::{Download, csv as csv_file};
use web::route::Allowed;
use web::ui::{
    Column, Export, Field, Filter, Here, Kind, List, Paging, Row, Tone, badge, card, describe, fact, field,
    form_acts, notice, page_head, select_field,
};
use web::{Frame, Reply};

use super::{ClientRow, IssuedClient, NewClient, store};
use crate::provider::credential::{self, Owner};
use crate::provider::credentials_card;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("接入客户端", "/clients")];
const PAGE: usize = 50;

const METHODS: &[(&str, &str)] = &[
    ("secret", "密钥（HTTP Basic，或换取令牌）"),
    ("private_key_jwt", "私钥签名（推荐）"),
    ("tls_client_auth", "客户端证书（双向 TLS）"),
];

fn method_name(code: &str) -> &'static str {
    METHODS.iter().find(|(c, _)| *c == code).map_or("", |(_, name)| name)
}

fn within(identity: &Identity, reach: &Reach) -> Vec<Arc<InstitutionCard>> {
    identity.institutions.all().iter().filter(|card| reach.covers(card.id, &card.region)).cloned().collect()
}

fn numbers(cards: &[Arc<InstitutionCard>]) -> Vec<i32> {
    cards.iter().filter_map(|card| i32::try_from(card.id.get()).ok()).collect()
}

fn owner(identity: &Identity, client: &ClientRow) -> String {
    let card = identity.institutions.by_id(Id::new(i64::from(client.institution_id)));
    card.map(|card| card.name.clone()).unwrap_or_default()
}

/// The clients in reach that the address asks for.
async fn found(identity: &Identity, allowed: &Allowed, here: &Here) -> Reply<Vec<ClientRow>> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let all = store::list(identity.db.pool(), &[], &numbers(&within(identity, &reach))).await?;
    let text = here.get("q").unwrap_or_default().trim();
    let state = here.get("state").unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|client| state.is_empty() || client.state == state)
        .filter(|client| {
            text.is_empty()
                || client.name.contains(text)
                || client.client_id.contains(text)
                || owner(identity, client).contains(text)
        })
        .collect())
}

/// A client in reach; out of reach looks like not found.
async fn one(identity: &Identity, allowed: &Allowed, client: i64) -> Reply<ClientRow> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let institutions = numbers(&within(identity, &reach));
    let found = store::list(identity.db.pool(), &[client], &institutions).await?;
    let none = || Refusal::not_found("client.none", "没有这个客户端，或它不在您的辖区内。");
    Ok(found.into_iter().next().ok_or_else(none)?)
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let clients = found(&identity, &allowed, &here).await?;
    let number = here.get("page").and_then(|p| p.parse::<usize>().ok()).unwrap_or(1).max(1);
    let rows = clients
        .iter()
        .skip((number - 1).saturating_mul(PAGE))
        .take(PAGE)
        .map(|client| {
            let open = client.state == "open";
            Row::to(
                format!("/clients/{}", client.id),
                vec![
                    html! { (client.name) },
                    html! { code { (client.client_id) } },
                    html! { (owner(&identity, client)) },
                    html! { (method_name(&client.auth_method)) },
                    html! { (limits(&identity, client)) },
                    badge(
                        if open { Tone::Good } else { Tone::Neutral },
                        if open { "正常" } else { "已停用" },
                    ),
                    html! { (client.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)) },
                    html! { (page::time(client.created_at)) " " (client.created_by) },
                ],
            )
        })
        .collect();
    let states =
        [("open", "正常"), ("closed", "已停用")].map(|(code, name)| (code.to_owned(), name.to_owned()));
    let columns =
        ["名称", "客户端编号", "机构", "认证方式", "范围", "状态", "最近使用", "发放"].map(Column::text);
    let total = clients.len() as u64;
    let body = html! {
        (page_head(&[], "接入客户端", "机构的程序用它上传本机构的数据；一个客户端只能写一个机构的数据。", html! {
            a.btn.btn-primary href="/clients/new" { "发放接入凭据" }
        }))
        (web::ui::list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "查找", hint: "名称、编号或机构" },
                Filter::Choice { name: "state", label: "状态", options: &states },
            ],
            total: Some(total),
            unit: "个客户端",
            columns: &columns,
            rows,
            paging: Paging::Numbered { page: number as u64, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/clients.csv" }],
            empty: ("没有客户端", "为机构发放接入凭据后，机构的程序即可上传数据。"),
            empty_action: Some(("发放接入凭据", "/clients/new")),
        }))
    };
    Ok(frame.page("接入客户端", body))
}

pub(super) async fn csv(State(identity): State<Identity>, allowed: Allowed, here: Here) -> Reply<Download> {
    let clients = found(&identity, &allowed, &here).await?;
    let heads = ["名称", "客户端编号", "机构", "认证方式", "范围", "状态", "最近使用", "发放时间", "发放人"];
    let rows = clients.iter().map(|client| {
        vec![
            client.name.clone(),
            client.client_id.clone(),
            owner(&identity, client),
            method_name(&client.auth_method).to_owned(),
            limits(&identity, client),
            if client.state == "open" { "正常" } else { "已停用" }.to_owned(),
            client.last_used_at.map(page::time).unwrap_or_default(),
            page::time(client.created_at),
            client.created_by.clone(),
        ]
    });
    Ok(csv_file("clients.csv", &heads, rows))
}

/// What a client is limited to, in words.
fn limits(identity: &Identity, client: &ClientRow) -> String {
    let datasets = match &client.datasets {
        None => "全部数据集".to_owned(),
        Some(own) => {
            let names =
                own.iter().map(|code| identity.catalog.dataset(code).map_or(code.as_str(), |d| &d.name));
            names.collect::<Vec<_>>().join("、")
        }
    };
    if client.reads_records { format!("{datasets}；可读本机构患者档案") } else { datasets }
}

/// Reads the form, with what was chosen or typed as the institution. Data sets are several fields of one name.
fn read(body: &[u8]) -> (NewClient, String) {
    let mut new = NewClient::simple(Id::new(0), "");
    let (mut datasets, mut some, mut institution) = (Vec::new(), false, String::new());
    for (name, value) in form_urlencoded::parse(body) {
        match name.as_ref() {
            "name" => new.name = value.into_owned(),
            "institution" => institution = value.into_owned(),
            "auth_method" if !value.is_empty() => new.auth_method = value.into_owned(),
            "pasted" => new.pasted = value.into_owned(),
            "limited" => some = value == "some",
            "dataset" => datasets.push(value.into_owned()),
            "reads_records" => new.reads_records = value == "yes",
            _ => {}
        }
    }
    new.datasets = some.then_some(datasets);
    (new, institution)
}

pub(super) async fn blank(State(identity): State<Identity>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let new = NewClient::simple(Id::new(0), "");
    Ok(frame.page("发放接入凭据", form(&identity, &reach, &new, "", None)))
}

fn form(
    identity: &Identity,
    reach: &Reach,
    given: &NewClient,
    institution: &str,
    problem: Option<&str>,
) -> Markup {
    let methods: Vec<(String, String)> =
        METHODS.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
    let chosen = |code: &str| given.datasets.as_ref().is_some_and(|all| all.iter().any(|one| one == code));
    html! {
        (page_head(WAY, "发放接入凭据", "", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "凭据没有发放", problem)) }
        form method="post" action="/clients" {
            (card("客户端", html! { div.mk-form-grid {
                (page::institution_field(&Field { name: "institution", label: "机构", value: institution, required: true,
                    ..Field::default() }, &within(identity, reach)))
                (field(&Field { name: "name", label: "名称", value: &given.name, required: true,
                    hint: "用途，如“HIS 数据上传”", ..Field::default() }))
                (select_field(&Field { name: "auth_method", label: "认证方式", value: &given.auth_method,
                    required: true, ..Field::default() }, &methods))
                (field(&Field { name: "pasted", label: "公钥或证书", kind: Kind::Long, value: &given.pasted,
                    hint: "私钥签名：JWKS 或 PEM 公钥；客户端证书：PEM 证书；用密钥时不填", ..Field::default() }))
            } }))
            (card("范围", html! {
                label.form-check {
                    input.form-check-input type="radio" name="limited" value="all" checked[given.datasets.is_none()];
                    span.form-check-label { "全部数据集" }
                }
                label.form-check {
                    input.form-check-input type="radio" name="limited" value="some" checked[given.datasets.is_some()];
                    span.form-check-label { "只限下面选中的数据集" }
                }
                details open[given.datasets.is_some()] {
                    summary { "选择数据集" }
                    @for dataset in &identity.catalog.datasets {
                        label.form-check {
                            input.form-check-input type="checkbox" name="dataset" value=(dataset.code) checked[chosen(&dataset.code)];
                            span.form-check-label { (dataset.name) }
                        }
                    }
                }
                label.form-check {
                    input.form-check-input type="checkbox" name="reads_records" value="yes" checked[given.reads_records];
                    span.form-check-label { "可通过 FHIR 接口读取本机构患者的健康档案（每次调阅都记入审计日志）" }
                }
            }))
            (form_acts("发放", Some("/clients")))
        }
    }
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let (mut given, institution) = read(&body);
    let within = within(&identity, &reach);
    let chosen = page::institution_named(&institution, &within);
    given.institution = chosen.map_or(Id::new(0), |card| card.id);
    let issued = match &chosen {
        Some(_) => identity.open_client(&given, reach.caller()).await,
        None => Err(Refusal::invalid(
            "client.unknown_institution",
            "您的管辖范围内没有这个机构，或有几个机构同名。请从列出的机构中选择，或填写机构代码。",
        )
        .into()),
    };
    match issued {
        Ok(issued) => {
            let name = chosen.map(|card| card.name.clone()).unwrap_or_default();
            Ok(frame.page("接入凭据", told_once(&issued, &name)).into_response())
        }
        Err(Error::Refused(refusal)) => {
            let page = frame
                .page("发放接入凭据", form(&identity, &reach, &given, &institution, Some(&refusal.message)));
            Ok((web::failure::status(refusal.kind), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(client): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let client = one(&identity, &allowed, client).await?;
    Ok(frame.page(&client.name, detail(&identity, &client, &here, None).await?))
}

async fn detail(
    identity: &Identity,
    client: &ClientRow,
    here: &Here,
    problem: Option<&str>,
) -> Result<Markup> {
    let now = identity.clock.now();
    let credentials = credential::of(identity.db.pool(), Owner::Client(client.id), now).await?;
    let (open, action) = (client.state == "open", format!("/clients/{}", client.id));
    Ok(html! {
        (page_head(WAY, &client.name, if open { "" } else { "已停用：凭据和令牌全部失效。" }, html! {
            @if open { (page::act_button(&format!("{action}/close"), "停用", "btn-danger")) }
        }))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有保存", problem)) }
        (card("客户端", describe(&[
            ("客户端编号".to_owned(), html! { code { (client.client_id) } }),
            fact("机构", &owner(identity, client)),
            fact("认证方式", method_name(&client.auth_method)),
            fact("范围", &limits(identity, client)),
            fact("最近使用", &client.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)),
            fact("发放", &format!("{} {}", page::time(client.created_at), client.created_by)),
        ])))
        (credentials_card(here, &client.auth_method, &credentials, &action, open))
    })
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(client): Path<i64>,
) -> Reply<Redirect> {
    let client = one(&identity, &allowed, client).await?;
    identity.close_client(client.id, allowed.caller()).await?;
    Ok(Redirect::to("/clients"))
}

pub(super) async fn secret(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(client): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let client = one(&identity, &allowed, client).await?;
    let told = identity.renew_client_secret(&client, allowed.caller()).await?;
    let body = html! {
        (page_head(WAY, "新的密钥", &client.name, html! {}))
        (notice(Tone::Warn, "密钥只显示这一次", "请现在就通过可靠的方式交给机构的数据工程师。旧密钥继续有效一段时间，便于切换。"))
        (card("凭据", describe(&[
            fact("客户端编号", &client.client_id),
            ("密钥".to_owned(), html! { code.mk-secret { (told) } }),
        ])))
        div.mk-form-acts { a.btn.btn-primary href={ "/clients/" (client.id) } { "已妥善保存，返回" } }
    };
    Ok(frame.page("新的密钥", body))
}

pub(super) async fn credential(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(client): Path<i64>,
    here: Here,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let client = one(&identity, &allowed, client).await?;
    let pasted = form_urlencoded::parse(&body).find(|(n, _)| n == "pasted").map(|(_, v)| v.into_owned());
    match identity.enter_client_credential(&client, &pasted.unwrap_or_default(), allowed.caller()).await {
        Ok(()) => Ok(Redirect::to(&format!("/clients/{}", client.id)).into_response()),
        Err(Error::Refused(refusal)) => {
            let page =
                frame.page(&client.name, detail(&identity, &client, &here, Some(&refusal.message)).await?);
            Ok((web::failure::status(refusal.kind), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn end_credential(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path((client, which)): Path<(i64, i64)>,
) -> Reply<Redirect> {
    let client = one(&identity, &allowed, client).await?;
    identity.end_client_credential(&client, which, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/clients/{}", client.id)))
}

fn told_once(issued: &IssuedClient, institution: &str) -> Markup {
    html! {
        (page_head(WAY, "接入凭据", institution, html! {}))
        (notice(Tone::Warn, "密钥只显示这一次", "请现在就通过可靠的方式交给机构的数据工程师。遗失后可以更换。"))
        (card("凭据", describe(&[
            fact("客户端编号", &issued.client_id),
            ("密钥（HTTP Basic 密码）".to_owned(), html! {
                @if issued.secret.is_empty() { "用登记的公钥或证书认证，没有密钥" } @else { code.mk-secret { (issued.secret) } }
            }),
            ("签名链接密钥（十六进制）".to_owned(), html! { code.mk-secret { (issued.link_key) } }),
        ])))
        div.mk-form-acts { a.btn.btn-primary href="/clients" { "已妥善保存，返回" } }
    }
}
