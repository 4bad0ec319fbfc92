//! One-time codes and recovery codes: enrolment, sign-in, wrong, late, twice, guessed, required.

use axum::http::StatusCode;
use catalog::SettingValue;
use chrono::TimeDelta;
use identity::factor::code;

use crate::city::{Browser, City, PASSWORD, city};

/// The secret that an enrolment page shows.
fn secret_of(page: &str) -> Vec<u8> {
    let shown = page.split("mk-secret\">").nth(1).unwrap().split('<').next().unwrap();
    let mut bits = String::new();
    for letter in shown.bytes().filter(|b| *b != b' ') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            other => other - b'2' + 26,
        };
        bits.push_str(&format!("{value:05b}"));
    }
    bits.as_bytes()
        .chunks_exact(8)
        .map(|eight| u8::from_str_radix(str::from_utf8(eight).unwrap(), 2).unwrap())
        .collect()
}

/// The code that the app shows `seconds` from now.
fn shown(city: &City, key: &[u8], seconds: i64) -> String {
    code::at(key, code::step(kernel::Clock::now(&*city.clock) + TimeDelta::seconds(seconds)))
}

/// Enrols whoever is signed in: the secret and the recovery codes.
pub async fn enrol(city: &City, browser: &mut Browser) -> (Vec<u8>, Vec<String>) {
    let page = browser.get("/account/code").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("<svg class=\"mk-qr\""));
    let key = secret_of(&page.text);
    let wrong = browser.post("/account/code", &[("code", "000000")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(secret_of(&wrong.text), key, "a wrong code does not begin anew");
    let done = browser.post("/account/code", &[("code", &shown(city, &key, 0))]).await;
    assert!(done.text.contains("动态口令已启用"), "{}", done.text);
    let codes: Vec<String> = done
        .text
        .split("mk-secret\">")
        .skip(1)
        .map(|part| part.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), 10);
    (key, codes)
}

#[tokio::test]
async fn a_code_is_asked_for_after_the_password_and_serves_once() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let (key, _) = enrol(&city, &mut browser).await;
    let sealed: String =
        sqlx::query_scalar("select secret from totp").fetch_one(city.db.pool()).await.unwrap();
    assert!(sealed.starts_with('~') && !sealed.contains(&identity::secret::hex(&key)), "sealed at rest");

    city.clock.advance(TimeDelta::seconds(60));
    let mut fresh = city.browser();
    let first = fresh.sign_in("wang.li", PASSWORD).await;
    assert_eq!(first.location, "/sign-in/code?next=%2Fdesk");
    assert!(!fresh.cookies.contains_key("minkang_session"));
    assert_ne!(fresh.get("/medical").await.status, StatusCode::OK, "half a sign-in is none");
    assert!(fresh.get("/sign-in/code").await.text.contains("动态口令"));
    assert_eq!(fresh.post("/sign-in/code", &[("code", "123456")]).await.status, StatusCode::UNAUTHORIZED);
    let right = shown(&city, &key, 0);
    let done = fresh.post("/sign-in/code", &[("code", &right), ("next", "//evil.example")]).await;
    assert_eq!((done.status, done.location.as_str()), (StatusCode::SEE_OTHER, "/desk"));
    assert_eq!(fresh.get("/medical").await.status, StatusCode::OK);
    assert!(fresh.get("/account").await.text.contains("双因素"));

    // Replayed by somebody who saw both.
    let mut thief = city.browser();
    thief.sign_in("wang.li", PASSWORD).await;
    assert_eq!(thief.post("/sign-in/code", &[("code", &right)]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        city.outcomes("sign_in").await,
        ["ok", "wrong_code", "ok", "wrong_code"],
        "every try is written down"
    );
}

#[tokio::test]
async fn clocks_may_be_half_a_minute_off() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let (key, _) = enrol(&city, &mut browser).await;
    for (seconds, good) in [(-90, false), (90, false), (-30, true), (30, true)] {
        city.clock.advance(TimeDelta::minutes(10));
        let mut late = city.browser();
        late.sign_in("wang.li", PASSWORD).await;
        let answer = late.post("/sign-in/code", &[("code", &shown(&city, &key, seconds))]).await;
        assert_eq!(answer.status == StatusCode::SEE_OTHER, good, "{seconds}");
    }
}

#[tokio::test]
async fn guessing_codes_locks_although_the_password_is_right() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let (key, _) = enrol(&city, &mut browser).await;
    city.clock.advance(TimeDelta::minutes(2));
    let mut statuses = Vec::new();
    for round in 0..5 {
        let mut guesser = city.browser();
        // The right password each time does not clear the count of guessed codes.
        assert_eq!(guesser.sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER, "round {round}");
        statuses.push(guesser.post("/sign-in/code", &[("code", "111111")]).await.status);
    }
    assert_eq!(statuses[4], StatusCode::TOO_MANY_REQUESTS, "{statuses:?}");
    let locked = city.browser().sign_in("wang.li", PASSWORD).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    city.clock.advance(TimeDelta::minutes(16));
    let mut owner = city.browser();
    owner.sign_in("wang.li", PASSWORD).await;
    let answer = owner.post("/sign-in/code", &[("code", &shown(&city, &key, 0))]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_waiting_sign_in_ends_and_cannot_be_made_up() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let (key, _) = enrol(&city, &mut browser).await;
    city.clock.advance(TimeDelta::minutes(2));
    let mut slow = city.browser();
    slow.sign_in("wang.li", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(6));
    let late = slow.post("/sign-in/code", &[("code", &shown(&city, &key, 0))]).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert!(late.text.contains("登录已超时"));
    let mut forger = city.browser();
    forger.cookies.insert("minkang_ticket".into(), "b".repeat(64));
    let forged = forger.post("/sign-in/code", &[("code", &shown(&city, &key, 0))]).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
    assert!(!forger.cookies.contains_key("minkang_session"));
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let (_, codes) = enrol(&city, &mut browser).await;
    let mut lost = city.browser();
    lost.sign_in("wang.li", PASSWORD).await;
    let typed = codes[3].to_uppercase().replace('-', " ");
    assert_eq!(lost.post("/sign-in/code", &[("code", &typed)]).await.status, StatusCode::SEE_OTHER);
    assert!(lost.get("/account").await.text.contains("备用码剩 9 个"));
    let mut again = city.browser();
    again.sign_in("wang.li", PASSWORD).await;
    assert_eq!(again.post("/sign-in/code", &[("code", &codes[3])]).await.status, StatusCode::UNAUTHORIZED);
    let renewed = lost.post("/account/recovery", &[]).await;
    assert!(renewed.text.contains("新的备用码"));
    assert_eq!(again.post("/sign-in/code", &[("code", &codes[4])]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_three_administrators_need_one_unless_the_operator_says_otherwise() {
    let city = city().await;
    let none = SettingValue::Text("none".into());
    assert_eq!(city.options.value("sign_in.second_factor"), Some(none), "the stories' own");
    let operator = kernel::Caller::system("运维");
    let now = kernel::Clock::now(&*city.clock);
    city.options.set(city.db.db(), &operator, now, "sign_in.second_factor", None, "恢复缺省").await.unwrap();
    city.county_administrator().await;
    for (login, role, where_to) in [
        ("guanli", "platform_operator", "/account/code"),
        ("anquan", "security_administrator", "/account/code"),
        ("shenji", "auditor", "/account/code"),
        ("county", "county_administrator", "/desk"),
    ] {
        if login != "county" {
            city.person(login, "管理员", role, None, "4115").await;
        }
        assert_eq!(city.browser().sign_in(login, PASSWORD).await.location, where_to, "{role}");
    }
}

#[tokio::test]
async fn whose_ways_to_sign_in_change_is_told() {
    let city = city().await;
    let id = city.doctor().await;
    let mut doctor = city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    enrol(&city, &mut doctor).await;
    doctor.post("/account/recovery", &[]).await;
    doctor.post("/account/code/remove", &[]).await;
    let notices = doctor.get("/notices").await.text;
    for told in ["已启用动态口令", "更换了备用码", "已停用动态口令"] {
        assert!(notices.contains(told), "{told}: {notices}");
    }
    let operator = kernel::Caller::system("运维");
    city.identity.reset_factors(kernel::Id::new(id), "手机丢失", &operator).await.unwrap();
    let change = [("present", PASSWORD), ("wanted", "Hn4%vTz8sQe"), ("again", "Hn4%vTz8sQe")];
    doctor.sign_in("wang.li", PASSWORD).await;
    assert_eq!(doctor.post("/account/password", &change).await.status, StatusCode::SEE_OTHER);
    let notices = doctor.get("/notices").await.text;
    assert!(notices.contains("清除了您的动态口令") && notices.contains("您的登录密码已修改"), "{notices}");
}

#[tokio::test]
async fn who_must_have_a_second_factor_sets_it_up_before_anything_else() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    city.set("sign_in.second_factor", SettingValue::Text("administrators".into())).await;
    let mut doctor = city.browser();
    assert_eq!(doctor.sign_in("wang.li", PASSWORD).await.location, "/desk", "not of doctors");
    let mut county = city.browser();
    assert_eq!(county.sign_in("county", PASSWORD).await.location, "/account/code");
    assert_eq!(county.get("/accounts").await.status, StatusCode::FORBIDDEN, "no rights before");
    assert!(county.get("/desk").await.text.contains("请先设置第二因素"));
    enrol(&city, &mut county).await;
    assert_eq!(county.get("/accounts").await.status, StatusCode::OK);
    let kept = county.post("/account/code/remove", &[]).await;
    assert_eq!(kept.status, StatusCode::CONFLICT, "not the last one");

    // Lost with the telephone: another administrator clears it, and it is asked for anew.
    city.person("security", "周安全", "security_administrator", None, "4115").await;
    let id: i64 = sqlx::query_scalar("select id from account where login = 'county'")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    let operator = kernel::Caller::system("运维");
    city.identity.reset_factors(kernel::Id::new(id), "手机丢失", &operator).await.unwrap();
    assert_ne!(county.get("/accounts").await.status, StatusCode::OK, "sessions end");
    assert_eq!(city.browser().sign_in("county", PASSWORD).await.location, "/account/code");
    city.set("sign_in.second_factor", SettingValue::Text("roles".into())).await;
    city.set("sign_in.second_factor_roles", SettingValue::Text("auditor，township_doctor".into())).await;
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.location, "/account/code");
}
