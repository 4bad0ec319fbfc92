//! `/sign-in/certificate`, binding certificates to accounts, and the list of authorities.

use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use kernel::Id;
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Tone, badge, card, card_with, page_head};
use web::{Frame, PeerCertificate, Reply};

use super::{bytes_of, x509};
use crate::Identity;
use crate::account::manageable;
use crate::page::{self, Visitor};
use crate::sign_in::{attempt_of, let_in, refused};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Signed {
    challenge: String,
    certificate: String,
    signature: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Pasted {
    name: String,
    pem: String,
}

pub(super) async fn form(
    State(identity): State<Identity>,
    peer: Option<Extension<PeerCertificate>>,
    frame: Frame,
) -> Reply<Markup> {
    let challenge = identity.certificate_challenge().await?;
    Ok(frame.lone("数字证书登录", view(&challenge, subject(peer.as_ref()).as_deref(), None)))
}

fn subject(peer: Option<&Extension<PeerCertificate>>) -> Option<String> {
    peer.and_then(|peer| x509::read(&peer.der).ok()).map(|certificate| certificate.subject)
}

pub(super) async fn by_connection(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    peer: Option<Extension<PeerCertificate>>,
    frame: Frame,
) -> Reply<Response> {
    let der = peer.as_ref().map(|peer| peer.der.clone());
    let done = match der {
        Some(der) => identity.sign_in_certificate(&der, attempt_of(&identity, &visitor, &headers)).await,
        None => Err(super::not_believed("the connection has no certificate").into()),
    };
    match done {
        Ok(opened) => Ok(let_in(&identity, &opened, "")),
        Err(error) => {
            let challenge = identity.certificate_challenge().await?;
            let own = subject(peer.as_ref());
            refused(error, &frame, "数字证书登录", |problem| {
                view(&challenge, own.as_deref(), Some(problem))
            })
        }
    }
}

pub(super) async fn by_signature(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    frame: Frame,
    Form(given): Form<Signed>,
) -> Reply<Response> {
    let der = x509::der_of(given.certificate.as_bytes(), "CERTIFICATE").unwrap_or_default();
    // Middleware also gives certificates as bare base64.
    let der = if given.certificate.contains("-----BEGIN") { der } else { bytes_of(&given.certificate) };
    let signature = bytes_of(&given.signature);
    let attempt = attempt_of(&identity, &visitor, &headers);
    match identity.sign_in_sm2(&given.challenge, &der, &signature, attempt).await {
        Ok(opened) => Ok(let_in(&identity, &opened, "")),
        Err(error) => {
            let challenge = identity.certificate_challenge().await?;
            refused(error, &frame, "数字证书登录", |problem| view(&challenge, None, Some(problem)))
        }
    }
}

fn view(challenge: &str, own: Option<&str>, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem { div class="alert alert-danger" role="alert" { (problem) } }
        @match own {
            Some(subject) => form method="post" action="/sign-in/certificate" {
                p { "浏览器出示的证书：" (subject) }
                button class="btn btn-primary w-100" type="submit" { "用这张证书登录" }
            },
            None => p.mk-muted { "浏览器没有出示证书。用国密 UKey 登录时，由证书助手对下面的挑战码签名。" }
        }
        details open[own.is_none()] {
            summary { "国密（SM2）证书" }
            form method="post" action="/sign-in/certificate/sm2" data-sm2 {
                div class="mb-3" {
                    label class="form-label" for="challenge" { "挑战码（5 分钟内有效，用一次）" }
                    input class="form-control" id="challenge" name="challenge" value=(challenge) readonly;
                }
                div class="mb-3" {
                    label class="form-label" for="certificate" { "签名证书" }
                    textarea class="form-control" id="certificate" name="certificate" rows="3" required placeholder="-----BEGIN CERTIFICATE-----" {}
                }
                div class="mb-3" {
                    label class="form-label" for="signature" { "签名值（十六进制或 Base64）" }
                    textarea class="form-control" id="signature" name="signature" rows="2" required {}
                }
                button class="btn btn-primary w-100" type="submit" { "验证并登录" }
            }
        }
        p class="mk-lone-more" { a href="/sign-in" { "用密码登录" } }
    }
}

pub(super) async fn bind(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Pasted>,
) -> Reply<Redirect> {
    let row = manageable(&identity, &allowed, account).await?;
    let der = x509::der_of(given.pem.trim().as_bytes(), "CERTIFICATE")?;
    identity.bind_certificate(Id::new(row.id), &der, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn unbind(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path((account, bound)): Path<(i64, i64)>,
) -> Reply<Redirect> {
    let row = manageable(&identity, &allowed, account).await?;
    identity.unbind_certificate(Id::new(row.id), bound, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn authorities(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let rows = super::store::authorities(identity.db.pool()).await?;
    let now = identity.clock.now();
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            let base = format!("/certificate-authorities/{}", row.id);
            vec![
                html! { (row.name) br; small { (row.subject) } },
                html! { @if row.sm2 { "国密 SM2" } @else { "标准" } },
                html! {
                    span.mk-date { (page::time(row.not_after)) }
                    @if row.not_after <= now { " " (badge(Tone::Bad, "已过期")) }
                },
                html! {
                    (row.crl_at.map(page::time).unwrap_or_else(|| "未上传".to_owned()))
                    @if row.crl_next.is_some_and(|next| next < now) { " " (badge(Tone::Warn, "应更新")) }
                },
                html! {
                    details.mk-act {
                        summary.btn.btn-sm { "更新吊销列表" }
                        form method="post" action={ (base) "/crl" } {
                            textarea.form-control name="pem" rows="4" required placeholder="-----BEGIN X509 CRL-----" aria-label="吊销列表" {}
                            button.btn.btn-primary type="submit" { "更新" }
                        }
                    }
                    (page::asked_button(&format!("{base}/remove"), "移除", "btn-sm", "移除后这个 CA 签发的证书都不能再登录，确定移除？"))
                },
            ]
        })
        .collect();
    let body = html! {
        (page_head(&[], "数字证书 CA", "这些 CA 签发的证书可以绑定账号用于登录。", html! {}))
        (card_with("受信任的 CA", html! {}, html! {
            @if rows.is_empty() {
                (web::ui::empty("还没有登记 CA", "粘贴 CA 证书登记后，管理员可以在账号页绑定它签发的个人证书。", None))
            } @else {
                (page::table(&["名称", "算法", "到期", "吊销列表", ""], &cells))
            }
        }))
        (card("登记 CA", html! {
            form method="post" action="/certificate-authorities" {
                (page::control("名称", "name", "如 省卫生健康 CA；空着用证书中的名称", &html! {
                    input.form-control id="name" name="name" maxlength="100" autocomplete="off";
                }))
                (page::control("CA 证书（PEM）", "pem", "", &html! {
                    textarea.form-control id="pem" name="pem" rows="6" required placeholder="-----BEGIN CERTIFICATE-----" {}
                }))
                div.mk-form-acts { button.btn.btn-primary type="submit" { "登记" } }
            }
        }))
    };
    Ok(frame.page("数字证书 CA", body))
}

pub(super) async fn add_authority(
    State(identity): State<Identity>,
    allowed: Allowed,
    Form(given): Form<Pasted>,
) -> Reply<Redirect> {
    let der = x509::der_of(given.pem.trim().as_bytes(), "CERTIFICATE")?;
    identity.add_authority(&given.name, &der, allowed.caller()).await?;
    Ok(Redirect::to("/certificate-authorities"))
}

pub(super) async fn add_list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(authority): Path<i64>,
    Form(given): Form<Pasted>,
) -> Reply<Redirect> {
    let der = x509::der_of(given.pem.trim().as_bytes(), "X509 CRL")?;
    identity.add_revocations(authority, &der, allowed.caller()).await?;
    Ok(Redirect::to("/certificate-authorities"))
}

pub(super) async fn remove_authority(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(authority): Path<i64>,
) -> Reply<Redirect> {
    identity.remove_authority(authority, allowed.caller()).await?;
    Ok(Redirect::to("/certificate-authorities"))
}

/// The certificates of an account, with what its administrator may do about them.
pub(crate) fn certificates_card(
    rows: &[super::BoundRow],
    base: Option<&str>,
    now: chrono::DateTime<chrono::Utc>,
) -> Markup {
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                html! { (row.subject) br; small { "签发：" (row.issuer) "，序列号 " (row.serial) } },
                html! { @if row.sm2 { "国密 SM2" } @else { "标准" } },
                html! {
                    @if row.revoked { (badge(Tone::Bad, "已吊销")) }
                    @else if row.authority_id.is_none() { (badge(Tone::Bad, "CA 已移除")) }
                    @else if row.not_after <= now { (badge(Tone::Bad, "已过期")) }
                    @else { "至 " (page::time(row.not_after)) }
                },
                html! { (row.last_used_at.map(page::time).unwrap_or_else(|| "从未使用".to_owned())) },
                html! { @if let Some(base) = base { (page::asked_button(&format!("{base}/certificates/{}/remove", row.id), "解除", "btn-sm", "解除后不能再用这张证书登录，确定解除？")) } },
            ]
        })
        .collect();
    card_with(
        "数字证书",
        html! { span.mk-muted { "由管理员绑定" } },
        html! {
            @if rows.is_empty() { div.mk-card-body.mk-muted { "没有绑定证书。" } }
            @else { (page::table(&["证书", "算法", "有效", "最近使用", ""], &cells)) }
            @if let Some(base) = base {
                div.mk-card-body {
                    details.mk-act {
                        summary.btn { "绑定证书" }
                        form method="post" action={ (base) "/certificates" } {
                            textarea.form-control name="pem" rows="5" required placeholder="-----BEGIN CERTIFICATE-----" aria-label="证书" {}
                            button.btn.btn-primary type="submit" { "绑定" }
                        }
                    }
                }
            }
        },
    )
}
