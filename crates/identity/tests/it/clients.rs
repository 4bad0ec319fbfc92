//! Machine clients and their credentials.

use axum::http::StatusCode;
use kernel::{Caller, Id};

use crate::city::{PASSWORD, city};

#[tokio::test]
async fn a_client_is_its_institution_and_nothing_else() {
    let city = city().await;
    let issued =
        city.identity.create_client(Id::new(1), "HIS 数据上传", &Caller::system("运维")).await.unwrap();
    let mut program = city.browser();
    program.basic = Some(format!("{}:{}", issued.client_id, issued.secret));
    for _ in 0..2 {
        let who = program.get("/api/v1/who").await.text;
        assert_eq!(
            who,
            "Client|HIS 数据上传|接入客户端|平桥县医院（虚构）|Exchange Read Institution(#1),Exchange Write Institution(#1)"
        );
    }
    assert_eq!(program.get("/medical").await.status, StatusCode::FORBIDDEN);
    assert_eq!(program.get("/accounts").await.status, StatusCode::FORBIDDEN);

    let id = city.identity.clients_of(Id::new(1)).await.unwrap()[0].id;
    city.identity.close_client(id, &Caller::system("运维")).await.unwrap();
    assert_eq!(
        program.get("/api/v1/who").await.status,
        StatusCode::UNAUTHORIZED,
        "closed at once, also in memory"
    );
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike() {
    let city = city().await;
    let issued = city.identity.create_client(Id::new(1), "LIS 上传", &Caller::system("运维")).await.unwrap();
    let mut texts = Vec::new();
    for basic in [
        format!("{}:{}", issued.client_id, "0".repeat(64)),
        format!("c-0000000000:{}", issued.secret),
        format!("{}:", issued.client_id),
        "no colon".to_owned(),
        String::new(),
    ] {
        let mut program = city.browser();
        program.basic = Some(basic.clone());
        let answer = program.get("/api/v1/who").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{basic}");
        texts.push(answer.text);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
    // A wrong secret does not enter the memory, and the right one still works.
    let mut program = city.browser();
    program.basic = Some(format!("{}:{}", issued.client_id, issued.secret));
    assert_eq!(program.get("/api/v1/who").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_administrator_issues_and_closes_clients_of_the_own_county() {
    let city = city().await;
    city.county_administrator().await;
    let foreign = city.identity.create_client(Id::new(3), "外县上传", &Caller::system("运维")).await.unwrap();
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let told = county.post("/clients", &[("institution", "12411500000000001X"), ("name", "HIS 上传")]).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    let secret = told.text.split("mk-secret\">").nth(1).unwrap()[..64].to_owned();
    let list = county.get("/clients").await.text;
    assert!(list.contains("HIS 上传") && !list.contains(&secret), "told once");
    assert!(!list.contains(&foreign.client_id));
    let refused =
        county.post("/clients", &[("institution", "12411500000000003X"), ("name", "HIS 上传")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let theirs = city.identity.clients_of(Id::new(3)).await.unwrap()[0].id;
    let ours = city.identity.clients_of(Id::new(1)).await.unwrap()[0].id;
    assert_eq!(county.post(&format!("/clients/{theirs}/close"), &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(county.post(&format!("/clients/{ours}/close"), &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(city.outcomes("client.close").await, ["ok"]);
}
