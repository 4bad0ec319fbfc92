//! Step-up: sensitive acts want a fresh proof, and nothing typed is lost on the way.

use axum::http::StatusCode;
use catalog::SettingValue;
use chrono::TimeDelta;

use crate::city::{PASSWORD, city};

#[tokio::test]
async fn a_sensitive_page_asks_again_and_leads_back() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    assert_eq!(county.get("/sensitive").await.status, StatusCode::OK, "just signed in");
    city.clock.advance(TimeDelta::minutes(11));
    let asked = county.get("/sensitive?page=2").await;
    assert_eq!(
        (asked.status, asked.location.as_str()),
        (StatusCode::SEE_OTHER, "/step-up?back=%2Fsensitive%3Fpage%3D2")
    );
    let page = county.get(&asked.location).await.text;
    assert!(page.contains("请再次验证身份") && page.contains("value=\"/sensitive?page=2\""), "{page}");
    let back = ("back", "/sensitive?page=2");
    let wrong = county.post("/step-up", &[back, ("password", "wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = county.post("/step-up", &[back, ("password", PASSWORD)]).await;
    assert_eq!(done.location, "/sensitive?page=2");
    assert_eq!(county.get("/sensitive?page=2").await.status, StatusCode::OK);
    city.clock.advance(TimeDelta::minutes(11));
    assert_eq!(county.get("/sensitive").await.status, StatusCode::SEE_OTHER, "for some minutes only");
    city.set("sign_in.step_up_minutes", SettingValue::Whole(30)).await;
    city.clock.advance(TimeDelta::seconds(6));
    assert_eq!(county.get("/sensitive").await.status, StatusCode::OK, "as long as the operator says");
    assert_eq!(city.outcomes("step_up").await, ["wrong_password", "ok"]);
}

#[tokio::test]
async fn a_form_that_was_being_sent_is_sent_on() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(11));
    let fields = [("note", "写了很久 & 很多"), ("n", "1")];
    let held = county.post("/sensitive", &fields).await;
    assert_eq!(held.status, StatusCode::FORBIDDEN);
    assert!(held.text.contains("您填写的内容已保留") && held.text.contains("action=\"/step-up\""));
    let typed = held.text.split("name=\"held\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let typed = typed.replace("&amp;", "&");
    let going = [("act", "/sensitive"), ("held", typed.as_str()), ("back", "/desk")];
    let form = county.post("/step-up", &going).await.text;
    assert!(form.contains("name=\"held\"") && form.contains("name=\"password\""));
    let with = |more: (&'static str, &'static str)| {
        let mut all = going.to_vec();
        all.push(more);
        all
    };
    let on = county.post("/step-up", &with(("password", PASSWORD))).await;
    assert_eq!(on.status, StatusCode::OK);
    assert!(on.text.contains("data-go") && on.text.contains("action=\"/sensitive\""));
    assert!(on.text.contains("name=\"note\" value=\"写了很久 &amp; 很多\""), "{}", on.text);
    assert!(county.post("/sensitive", &fields).await.text.starts_with("done with note="));

    // Nobody is sent elsewhere with what they typed.
    for act in ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        let answer = county
            .post("/step-up", &[("act", act), ("held", "a=b"), ("back", act), ("password", PASSWORD)])
            .await;
        assert_eq!((answer.status, answer.location.as_str()), (StatusCode::SEE_OTHER, "/desk"), "{act}");
    }
}

#[tokio::test]
async fn a_program_is_told_by_a_code() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(11));
    let answer = county.get("/api/v1/sensitive").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("access.step_up") && answer.text.contains("\"step_up\":\"/step-up\""));
}

#[tokio::test]
async fn a_stolen_token_does_not_share_the_fresh_proof() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(11));
    let mut thief = city.browser();
    thief.cookies = county.cookies.clone();
    assert_eq!(thief.get("/accounts").await.status, StatusCode::OK, "the token is as good as its owner's");
    let done = county.post("/step-up", &[("password", PASSWORD)]).await;
    assert_eq!(done.location, "/desk");
    assert_ne!(county.cookies["minkang_session"], thief.cookies["minkang_session"]);
    assert_ne!(thief.get("/sensitive").await.status, StatusCode::OK);
    assert_ne!(thief.get("/accounts").await.status, StatusCode::OK, "and it is dead altogether");
    assert_eq!(county.get("/sensitive").await.status, StatusCode::OK);
    // Another session of the same account is not fresh by it either.
    let mut second = city.browser();
    second.sign_in("county", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(11));
    county.post("/step-up", &[("password", PASSWORD)]).await;
    assert_eq!(county.get("/sensitive").await.status, StatusCode::OK);
    assert_eq!(second.get("/sensitive").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_at_an_open_screen_locks() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(11));
    for _ in 0..5 {
        county.post("/step-up", &[("password", "wrong")]).await;
    }
    let locked = county.post("/step-up", &[("password", PASSWORD)]).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(county.get("/sensitive").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn who_has_codes_proves_by_both() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let (_, codes) = crate::second_factor::enrol(&city, &mut county).await;
    city.clock.advance(TimeDelta::minutes(11));
    let only = county.post("/step-up", &[("password", PASSWORD)]).await;
    assert_eq!(only.status, StatusCode::UNPROCESSABLE_ENTITY, "the password alone is not enough");
    // Changing the factors themselves wants a fresh proof as well.
    assert_eq!(county.post("/account/code/remove", &[]).await.location, "/step-up?back=%2Fdesk");
    county.post("/step-up", &[("password", PASSWORD), ("code", &codes[0])]).await;
    assert_eq!(county.get("/sensitive").await.status, StatusCode::OK);
    assert_eq!(county.post("/account/code/remove", &[]).await.location, "/account#factors");
    assert_eq!(city.browser().sign_in("county", PASSWORD).await.location, "/desk");
}
