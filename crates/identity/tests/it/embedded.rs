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
    assert!(who.ends_with("Medical Read Person(42)"), "{who}");
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

#[tokio::test]
async fn another_persons_record_needs_another_link() {
    let city = city().await;
    let first = link(&city, 1, "P001").await;
    let second = link(&city, 1, "41150319900307123X").await;
    let mut workstation = city.browser();
    workstation.get(&first).await;
    for other in ["/embed/record/43", "/embed/record/43/print", "/embed/record/420", "/embed/record/x"] {
        let refused = workstation.get(other).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{other}");
        assert!(refused.text.contains("从医院工作站重新打开"));
    }
    assert_eq!(workstation.get("/embed/record/42").await.status, StatusCode::OK);
    workstation.get(&second).await;
    assert_eq!(workstation.get("/embed/record/43").await.status, StatusCode::OK);
    assert_eq!(
        workstation.get("/embed/record/42").await.status,
        StatusCode::FORBIDDEN,
        "one person at a time"
    );
}

#[tokio::test]
async fn refused_links_do_not_fill_the_trail() {
    let city = city().await;
    let good = link(&city, 1, "P001").await;
    let bad = good.replace("patient=P001", "patient=P002");
    for round in 0..30 {
        let expected = if round < 20 { StatusCode::FORBIDDEN } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(city.browser().get(&bad).await.status, expected, "round {round}");
    }
    assert_eq!(city.outcomes("embed.open").await.len(), 20);
    assert_eq!(city.browser().get(&good).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        city.browser_at("10.2.2.2").get(&good).await.status,
        StatusCode::SEE_OTHER,
        "others are not held up"
    );
    city.clock.advance(TimeDelta::minutes(16));
    assert_eq!(city.browser().get(&bad).await.status, StatusCode::FORBIDDEN, "written down again");
}

#[tokio::test]
async fn workstations_are_listed_named_and_revoked() {
    let city = city().await;
    city.county_administrator().await;
    city.person("shihe.admin", "浉河管", "county_administrator", None, "411502").await;
    let mut workstation = city.browser();
    workstation.get(&link(&city, 1, "P001").await).await;
    workstation.get(&link(&city, 1, "P001").await).await;
    let mut county = city.browser();
    county.sign_in("county", crate::city::PASSWORD).await;
    let page = county.get("/workstations").await.text;
    assert!(
        page.contains("李大夫（D007）") && page.contains("未登记") && page.contains("平桥县医院"),
        "{page}"
    );
    let ids: Vec<i64> =
        sqlx::query_scalar("select id from workstation").fetch_all(city.db.pool()).await.unwrap();
    assert_eq!(ids.len(), 1, "one cookie, one workstation");
    let base = format!("/workstations/{}", ids[0]);
    assert_eq!(
        county.post(&format!("{base}/register"), &[("name", "内科一诊室")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(county.get("/workstations.csv?state=registered").await.text.contains("内科一诊室"));

    city.set("embed.registered_only", catalog::SettingValue::Flag(true)).await;
    let stranger = city.browser_at("10.8.8.8").get(&link(&city, 1, "P001").await).await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    assert!(stranger.text.contains("未登记"));
    assert_eq!(workstation.get(&link(&city, 1, "P001").await).await.status, StatusCode::SEE_OTHER);

    let mut other = city.browser();
    other.sign_in("shihe.admin", crate::city::PASSWORD).await;
    assert!(!other.get("/workstations").await.text.contains("李大夫"));
    assert_eq!(other.post(&format!("{base}/revoke"), &[]).await.status, StatusCode::NOT_FOUND);
    county.post(&format!("{base}/revoke"), &[]).await;
    assert_ne!(workstation.get("/embed/record/42").await.status, StatusCode::OK, "its session ends at once");
    assert_eq!(workstation.get(&link(&city, 1, "P001").await).await.status, StatusCode::FORBIDDEN);
}
