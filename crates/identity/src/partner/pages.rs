//! `/sign-in/partners` for everybody, `/partners` for the platform's administrators.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Error, Id, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::download::{Download, csv as csv_file};
use web::route::Allowed;
use web::ui::{
    Column, Export, Field, Filter as Choose, Here, Kind, List, Paging, Row, Tone, badge, card, field,
    form_acts, notice, page_head, select_field,
};
use web::{Frame, Reply};

use super::NewPartner;
use super::store::{self, Partner};
use crate::provider::with_query;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("合作认证源", "/partners")];
/// The most that a list shows; a city has some hundreds of institutions.
const MOST: i64 = 1000;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
    #[serde(default)]
    q: String,
}

fn institution(identity: &Identity, partner: &Partner) -> String {
    identity
        .institutions
        .by_id(Id::new(i64::from(partner.institution_id)))
        .map(|card| card.name.clone())
        .unwrap_or_default()
}

/// The entries of all institutions, for whoever is about to sign in.
pub(super) async fn choose(
    State(identity): State<Identity>,
    Query(wanted): Query<Wanted>,
    frame: Frame,
) -> Reply<Markup> {
    let partners = store::list(identity.db.pool(), &wanted.q, true, 50).await?;
    let body = html! {
        @if partners.len() > 8 || !wanted.q.is_empty() {
            form method="get" action="/sign-in/partners" role="search" {
                input type="hidden" name="next" value=(wanted.next);
                input class="form-control mb-3" type="search" name="q" value=(wanted.q) placeholder="输入单位名称" autofocus;
            }
        }
        @if partners.is_empty() {
            p { "没有可用的单位登录入口。请用登录名和密码登录；如需开通，请联系本单位管理员。" }
        }
        @for partner in &partners {
            @let to = with_query(&format!("/sign-in/partner/{}", partner.id), &[("next", &wanted.next)]);
            p { a class="btn w-100" href=(to) { (partner.name) } small.mk-muted { (institution(&identity, partner)) } }
        }
        p class="mk-lone-more" { a href=(with_query("/sign-in", &[("next", &wanted.next)])) { "用登录名和密码登录" } }
    };
    Ok(frame.lone("用本单位账号登录", body))
}

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let partners = store::list(identity.db.pool(), here.get("q").unwrap_or_default(), false, MOST).await?;
    let total = u64::try_from(partners.len()).ok();
    let rows = partners
        .iter()
        .map(|partner| {
            let open = partner.state == "open";
            Row::plain(vec![
                html! { b { (partner.name) } small { (institution(&identity, partner)) } },
                html! { code { (partner.issuer) } },
                html! { code { (partner.client_id) } },
                html! { code { (partner.staff_claim) } },
                badge(if open { Tone::Good } else { Tone::Neutral }, if open { "正常" } else { "已停用" }),
                html! { (partner.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)) },
                html! { (page::time(partner.created_at)) " " (partner.created_by) },
                html! { @if open { (page::act_button(&format!("/partners/{}/close", partner.id), "停用", "btn-sm")) } },
            ])
        })
        .collect();
    let columns =
        ["名称", "颁发者", "客户端编号", "工号声明", "状态", "最近登录", "登记", ""].map(Column::text);
    let body = html! {
        (page_head(&[], "合作认证源", "机构自己的统一认证；该机构的职工可以用本单位账号登录平台。", html! {
            a.btn.btn-primary href="/partners/new" { "登记认证源" }
        }))
        (web::ui::list(&here, &List {
            filters: &[Choose::Text { name: "q", label: "查找", hint: "名称或颁发者" }],
            total,
            unit: "个认证源",
            columns: &columns,
            rows,
            paging: Paging::Whole,
            exports: &[Export { label: "导出 CSV", path: "/partners.csv" }],
            empty: ("没有合作认证源", "登记后，登录页的“用本单位账号登录”里会出现这家机构。"),
            empty_action: Some(("登记认证源", "/partners/new")),
        }))
    };
    Ok(frame.page("合作认证源", body))
}

pub(super) async fn csv(State(identity): State<Identity>, here: Here) -> Reply<Download> {
    let partners = store::list(identity.db.pool(), here.get("q").unwrap_or_default(), false, MOST).await?;
    let rows = partners.into_iter().map(|partner| {
        vec![
            partner.name.clone(),
            institution(&identity, &partner),
            partner.issuer,
            partner.client_id,
            partner.staff_claim,
            if partner.state == "open" { "正常" } else { "已停用" }.to_owned(),
            partner.last_used_at.map(page::time).unwrap_or_default(),
            page::time(partner.created_at),
            partner.created_by,
        ]
    });
    let heads =
        ["名称", "机构", "颁发者", "客户端编号", "工号声明", "状态", "最近登录", "登记时间", "登记人"];
    Ok(csv_file("partners.csv", &heads, rows))
}

#[derive(Default, Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    institution: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    staff_claim: String,
    #[serde(default)]
    authority: String,
}

fn view(identity: &Identity, given: &Given, problem: Option<&str>) -> Markup {
    let institutions: Vec<(String, String)> =
        identity.institutions.all().iter().map(|card| (card.id.to_string(), card.name.clone())).collect();
    let text = |name, label, value, hint| {
        field(&Field { name, label, value, hint, required: true, ..Field::default() })
    };
    html! {
        (page_head(WAY, "登记认证源", "平台作为对方的应用接入；请先在对方系统登记平台，回调地址见下。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有保存", problem)) }
        (notice(Tone::Info, "在对方系统登记时填写的回调地址", &format!("{}/sign-in/partner-return", identity.issuer())))
        form method="post" action="/partners" {
            (card("认证源", html! { div.mk-form-grid {
                (select_field(&Field { name: "institution", label: "机构", value: &given.institution, required: true,
                    hint: "只能登录这家机构的账号", ..Field::default() }, &institutions))
                (text("name", "名称", &given.name, "显示在登录页上，如“市一院统一认证”"))
                (text("issuer", "颁发者（issuer）", &given.issuer, "https 地址，与对方发现文档中的完全一致"))
                (text("client_id", "客户端编号（client_id）", &given.client_id, "对方分配给平台的"))
                (field(&Field { name: "secret", label: "客户端密钥", kind: Kind::Password,
                    hint: "加密保存，不再显示；对方不用密钥时留空", ..Field::default() }))
                (text("staff_claim", "存放工号的声明", &given.staff_claim, "如 preferred_username、employee_no"))
            }
            (field(&Field { name: "authority", label: "对方服务器证书的签发机构", kind: Kind::Long, value: &given.authority,
                hint: "PEM；公共证书机构签发的留空", ..Field::default() })) }))
            (form_acts("登记", Some("/partners")))
        }
    }
}

pub(super) async fn blank(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let given = Given { staff_claim: "preferred_username".to_owned(), ..Given::default() };
    Ok(frame.page("登记认证源", view(&identity, &given, None)))
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    Form(given): Form<Given>,
) -> Reply<Response> {
    let outcome = match given.institution.parse::<i64>() {
        Ok(id) => {
            let new = NewPartner {
                institution: Id::new(id),
                name: given.name.clone(),
                issuer: given.issuer.trim().to_owned(),
                client_id: given.client_id.clone(),
                secret: given.secret.clone(),
                staff_claim: given.staff_claim.clone(),
                authority: given.authority.clone(),
            };
            identity.enter_partner(&new, allowed.caller()).await
        }
        Err(_) => Err(Refusal::invalid("partner.institution", "请选择机构。").into()),
    };
    match outcome {
        Ok(_) => Ok(Redirect::to("/partners").into_response()),
        Err(Error::Refused(refusal)) => {
            let page = frame.page("登记认证源", view(&identity, &given, Some(&refusal.message)));
            Ok((web::failure::status(refusal.kind), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Redirect> {
    identity.close_partner(id, allowed.caller()).await?;
    Ok(Redirect::to("/partners"))
}
