//! What the browser's script asks for, as JSON; renaming and removing as forms.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use web::{Frame, Reply};

use super::verify::{self, ALGORITHMS};
use super::{ADD, Assertion, SIGN_IN, store};
use crate::account::no_account;
use crate::factor::codes::fresh;
use crate::page::Visitor;
use crate::sign_in::{attempt_of, goal, set_cookies};
use crate::{Identity, account};

#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(flatten)]
    assertion: Assertion,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Made {
    #[serde(default)]
    name: String,
    client: String,
    attestation: String,
}

#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

pub(super) async fn begin_sign_in(State(identity): State<Identity>, visitor: Visitor) -> Reply<Json<Value>> {
    let party = identity.party()?;
    identity.turn_away(&visitor.address).await?;
    let challenge = identity.passkey_challenge(SIGN_IN, None).await?;
    Ok(Json(json!({ "challenge": challenge, "rpId": party.id })))
}

pub(super) async fn sign_in(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    Json(given): Json<SignIn>,
) -> Reply<Response> {
    let opened =
        identity.sign_in_passkey(&given.assertion, attempt_of(&identity, &visitor, &headers)).await?;
    let mut response = Json(json!({ "to": goal(&opened, &given.next) })).into_response();
    set_cookies(&identity, response.headers_mut(), &opened);
    Ok(response)
}

pub(super) async fn begin_add(State(identity): State<Identity>, frame: Frame) -> Reply<Json<Value>> {
    let caller = frame.caller.as_deref().ok_or_else(no_account)?;
    let own = fresh(caller)?;
    let party = identity.party()?;
    let row = account::store::by_id(identity.db.pool(), own).await?.ok_or_else(no_account)?;
    let there = store::of(identity.db.pool(), own).await?;
    if there.len() >= store::MOST {
        return Err(kernel::Refusal::conflict(
            "passkey.too_many",
            format!("最多添加 {} 个通行密钥，请先删除不用的。", store::MOST),
        )
        .into());
    }
    let handle = identity.db.transaction(async |tx| store::handle(tx, own).await).await?;
    let challenge = identity.passkey_challenge(ADD, Some(caller)).await?;
    Ok(Json(json!({
        "challenge": challenge,
        "rp": { "id": party.id, "name": frame.face.platform },
        "user": { "id": verify::encode(&handle), "name": row.login, "displayName": row.name },
        "algorithms": ALGORITHMS,
        "exclude": there.iter().map(|p| verify::encode(&p.credential_id)).collect::<Vec<_>>(),
    })))
}

pub(super) async fn add(
    State(identity): State<Identity>,
    frame: Frame,
    Json(made): Json<Made>,
) -> Reply<Json<Value>> {
    let caller = frame.caller.as_deref().ok_or_else(no_account)?;
    identity.add_passkey(caller, &made.name, &made.client, &made.attestation).await?;
    Ok(Json(json!({ "to": "/account#passkeys" })))
}

pub(super) async fn rename(
    State(identity): State<Identity>,
    Path(passkey): Path<i64>,
    frame: Frame,
    Form(named): Form<Named>,
) -> Reply<Redirect> {
    let caller = frame.caller.as_deref().ok_or_else(no_account)?;
    identity.rename_passkey(caller, passkey, &named.name).await?;
    Ok(Redirect::to("/account#passkeys"))
}

pub(super) async fn remove(
    State(identity): State<Identity>,
    Path(passkey): Path<i64>,
    frame: Frame,
) -> Reply<Redirect> {
    let caller = frame.caller.as_deref().ok_or_else(no_account)?;
    identity.remove_passkey(caller, passkey).await?;
    Ok(Redirect::to("/account#passkeys"))
}
