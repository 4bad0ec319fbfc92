//! The record inside a hospital's workstation.

use axum::http::StatusCode;
use chrono::TimeDelta;
use kernel::{Caller, Id};

use crate::city::{City, city};

async fn link(city: &City, institution: i64, patient: &str) -> String {
    let operator = Caller::system("运维");
    let issued = city.identity.create_client(Id::new(institution), "工作站", &operator).await.unwrap();
    let link = city.identity.make_embed_link(&issued.client_id, "D007", "李大夫", patient).await.unwrap();
    link.strip_prefix("http://127.0.0.1:8686").unwrap().to_owned()
}

#[tokio::test]
async fn a_link_opens_the_record_once_in_the_name_of_the_doctor() {
    let city = city().await;
    let link = link(&city, 1, "P001").await;
    let mut workstation = city.browser();
    workstation.site = "cross-site";
    let answer = workstation.get(&link).await;
    assert_eq!(
        (answer.status, answer.location.as_str()),
        (StatusCode::SEE_OTHER, "/embed/record/42"),
        "{}",
        answer.text
    );
    let who = workstation.get("/embed/record/42").await.text;
    assert!(who.starts_with("Embedded|李大夫|医院工作站（工号 D007）|平桥县医院（虚构）"), "{who}");
    assert!(who.ends_with("Medical Read Region(411500000000)"), "{who}");
    assert_eq!(workstation.get("/accounts").await.status, StatusCode::FORBIDDEN);

    let again = city.browser().get(&link).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "a link serves once");
    assert!(again.text.contains("已经用过"));
    city.clock.advance(TimeDelta::minutes(20));
    assert_ne!(workstation.get("/embed/record/42").await.status, StatusCode::OK, "twenty minutes");
    assert_eq!(city.outcomes("embed.open").await, ["ok", "embed.used"]);
}

#[tokio::test]
async fn two_at_once_and_one_gets_in() {
    let city = city().await;
    let link = link(&city, 1, "P001").await;
    let opens = (0..6).map(|_| {
        let (mut browser, link) = (city.browser(), link.clone());
        async move { browser.get(&link).await.status }
    });
    let answers = futures::future::join_all(opens).await;
    assert_eq!(answers.iter().filter(|s| **s == StatusCode::SEE_OTHER).count(), 1, "{answers:?}");
}

#[tokio::test]
async fn old_and_tampered_links_open_nothing() {
    let city = city().await;
    let good = link(&city, 1, "P001").await;
    for tampered in [
        good.replace("staff_no=D007", "staff_no=D008"),
        good.replace("patient=P001", "patient=P002"),
        good.replace("client=c-", "client=d-"),
        format!("{}0", &good[..good.len() - 1]).replace("sig=", "sig=00"),
        good.split("&sig=").next().unwrap().to_owned(),
        "/embed/record".to_owned(),
    ] {
        let answer = city.browser().get(&tampered).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{tampered}");
        assert!(answer.cookies.is_empty());
    }
    city.clock.advance(TimeDelta::seconds(61));
    assert!(city.browser().get(&good).await.text.contains("已过期"));
    assert!(city.outcomes("embed.open").await.iter().all(|outcome| outcome != "ok"));
}

#[tokio::test]
async fn patients_are_found_by_the_own_number_or_the_citizen_number() {
    let city = city().await;
    for (institution, patient, to) in [
        (1, "41150319900307123x", "/embed/record/43"),
        (3, "41150319900307123X", "/embed/record/43"),
        (3, "P001", ""),
        (1, "P002", ""),
    ] {
        let link = link(&city, institution, patient).await;
        let answer = city.browser().get(&link).await;
        assert_eq!(answer.location, to, "{patient} of {institution}");
    }
}

#[tokio::test]
async fn closing_the_client_ends_its_workstations() {
    let city = city().await;
    let link = link(&city, 1, "P001").await;
    let mut workstation = city.browser();
    workstation.get(&link).await;
    assert_eq!(workstation.get("/embed/record/42").await.status, StatusCode::OK);
    let id = city.identity.clients_of(Id::new(1)).await.unwrap()[0].id;
    city.identity.close_client(id, &Caller::system("运维")).await.unwrap();
    assert_ne!(workstation.get("/embed/record/42").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_workstation_comes_before_whoever_signed_in_with_the_same_browser() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", crate::city::PASSWORD).await;
    let link = link(&city, 1, "P001").await;
    browser.get(&link).await;
    assert!(browser.get("/embed/record/42").await.text.contains("李大夫"));
    let beside = browser.get("/medical").await;
    assert_eq!(
        beside.status,
        StatusCode::FORBIDDEN,
        "a link opens the embedded record and nothing beside it"
    );
    assert!(!browser.cookies.contains_key("minkang_session"));
}
