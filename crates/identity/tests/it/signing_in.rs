//! Signing in, staying in, and being kept out.

use axum::http::StatusCode;
use chrono::TimeDelta;

use crate::city::{PASSWORD, city};

#[tokio::test]
async fn a_doctor_signs_in_works_and_signs_out() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    let page = browser.get("/sign-in?next=/who").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("登录名") && page.text.contains("value=\"/who\""));

    let answer = browser.sign_in(" Wang.Li ", PASSWORD).await;
    assert_eq!((answer.status, answer.location.as_str()), (StatusCode::SEE_OTHER, "/desk"));
    let cookie = &answer.cookies[0];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"));
    let who = browser.get("/medical").await.text;
    assert!(who.contains("王丽华|乡镇卫生院医生|明港卫生院（虚构）"), "{who}");
    assert!(who.contains("Medical Read Region(411503000000)"), "{who}");

    let desk = browser.get("/desk").await.text;
    assert!(
        desk.contains("王丽华，上午好") && desk.contains("居民查询") && !desk.contains("审计日志"),
        "{desk}"
    );

    let token = browser.cookies.clone();
    let out = browser.post("/sign-out", &[]).await;
    assert_eq!(out.location, "/sign-in");
    assert!(out.clears, "the arrow back shows no pages of the session");
    assert!(!browser.cookies.contains_key("minkang_session"));
    browser.cookies = token;
    let refused = browser.get("/medical").await;
    assert_ne!(refused.status, StatusCode::OK, "the token is dead at once, also in memory");
    assert_eq!(city.outcomes("sign_in").await, ["ok"]);
    assert_eq!(city.outcomes("sign_out").await, ["ok"]);
}

#[tokio::test]
async fn whatever_is_wrong_looks_the_same() {
    let city = city().await;
    city.doctor().await;
    let closed = city.person("closed", "赵停用", "township_doctor", Some(2), "411503102").await;
    let operator = kernel::Caller::system("运维");
    city.identity
        .change_account(kernel::Id::new(closed), &identity::account::Change::Close, "离岗", &operator)
        .await
        .unwrap();

    let mut pages = Vec::new();
    for (login, password) in [("wang.li", "wrong"), ("nobody", PASSWORD), ("closed", PASSWORD)] {
        let answer = city.browser().sign_in(login, password).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{login}");
        assert!(answer.cookies.is_empty());
        assert!(answer.text.contains("登录名或密码不正确"));
        assert!(!answer.text.contains(PASSWORD), "a password never comes back");
        let form = answer.text.replace(&format!("value=\"{login}\""), "").replace(" autofocus", "");
        pages.push(form);
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]), "one page for every reason");
    assert_eq!(city.outcomes("sign_in").await, ["wrong_password", "unknown_login", "closed"]);
    let labels: Vec<String> = sqlx::query_scalar(
        "select object_label from audit_entry where outcome = 'unknown_login' order by id",
    )
    .fetch_all(city.db.pool())
    .await
    .unwrap();
    assert_eq!(labels, ["nob…"], "an unknown login may be somebody's password");
}

#[tokio::test]
async fn five_failures_lock_known_and_unknown_logins_alike() {
    let city = city().await;
    city.doctor().await;
    for login in ["wang.li", "no.such.person"] {
        for round in 1..=5 {
            let answer = city.browser().sign_in(login, "wrong").await;
            let expected = if round < 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
            assert_eq!(answer.status, expected, "{login} round {round}");
        }
        let locked = city.browser().sign_in(login, PASSWORD).await;
        assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS, "the right password does not help {login}");
        assert!(locked.text.contains("09:45"), "{}", locked.text);
    }
    city.clock.advance(TimeDelta::minutes(15));
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    // The success has cleared the count.
    for _ in 0..4 {
        assert_eq!(city.browser().sign_in("wang.li", "wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guesses_at_once_do_not_outrun_the_count() {
    let city = city().await;
    city.doctor().await;
    let guesses = (0..12).map(|_| {
        let mut browser = city.browser();
        async move { browser.sign_in("wang.li", "wrong").await.status }
    });
    let answers = futures::future::join_all(guesses).await;
    let looked_at = city.outcomes("sign_in").await.iter().filter(|o| *o == "wrong_password").count();
    assert_eq!(looked_at, 5, "{answers:?}");
}

#[tokio::test]
async fn an_address_that_tries_many_names_is_turned_away() {
    let city = city().await;
    city.doctor().await;
    for n in 0..30 {
        city.browser_at("10.9.9.9").sign_in(&format!("guess{n}"), "wrong").await;
    }
    assert_eq!(
        city.browser_at("10.9.9.9").sign_in("wang.li", PASSWORD).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(city.browser_at("10.9.9.8").sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    city.clock.advance(TimeDelta::minutes(16));
    assert_eq!(city.browser_at("10.9.9.9").sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn sessions_end_when_idle_and_when_old() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    city.clock.advance(TimeDelta::minutes(29));
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK);
    city.clock.advance(TimeDelta::minutes(29));
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK, "use keeps a session alive");
    city.clock.advance(TimeDelta::minutes(30));
    assert_ne!(browser.get("/medical").await.status, StatusCode::OK, "idle for half an hour");

    browser.sign_in("wang.li", PASSWORD).await;
    let begin = kernel::Clock::now(&*city.clock);
    while kernel::Clock::now(&*city.clock) - begin < TimeDelta::hours(12) {
        assert_eq!(browser.get("/medical").await.status, StatusCode::OK);
        city.clock.advance(TimeDelta::minutes(20));
    }
    assert_ne!(browser.get("/medical").await.status, StatusCode::OK, "twelve hours at most");
}

#[tokio::test]
async fn a_session_is_new_at_every_sign_in_and_the_former_one_ends() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    // A token planted by somebody else before sign-in is not taken over.
    browser.cookies.insert("minkang_session".into(), "a".repeat(64));
    browser.sign_in("wang.li", PASSWORD).await;
    let first = browser.cookies.clone();
    assert_ne!(first["minkang_session"], "a".repeat(64));
    browser.sign_in("wang.li", PASSWORD).await;
    assert_ne!(first, browser.cookies);
    let mut old = city.browser();
    old.cookies = first;
    assert_ne!(old.get("/medical").await.status, StatusCode::OK);
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_digest from session").fetch_all(city.db.pool()).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_ne!(
        identity::secret::hex(&stored[0]),
        browser.cookies["minkang_session"],
        "only a digest is kept"
    );
}

#[tokio::test]
async fn sign_in_leads_to_pages_of_ours_only() {
    let city = city().await;
    city.doctor().await;
    for (next, to) in [
        ("/persons?q=x", "/persons?q=x"),
        ("//evil.example/", "/desk"),
        ("https://evil.example/", "/desk"),
        ("/\\evil.example", "/desk"),
        ("/%5Cevil\r\nSet-Cookie: a=b", "/desk"),
    ] {
        let fields = [("login", "wang.li"), ("password", PASSWORD), ("next", next)];
        let answer = city.browser().post("/sign-in", &fields).await;
        assert_eq!(answer.location, to, "{next:?}");
    }
}

#[tokio::test]
async fn another_site_can_neither_sign_in_nor_out() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.site = "cross-site";
    assert_eq!(browser.sign_in("wang.li", PASSWORD).await.status, StatusCode::FORBIDDEN);
    browser.site = "same-origin";
    browser.sign_in("wang.li", PASSWORD).await;
    browser.site = "cross-site";
    assert_eq!(browser.post("/sign-out", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK, "still signed in");
}

#[tokio::test]
async fn a_page_does_not_cost_a_write_and_seldom_a_read() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let seen = async || -> chrono::DateTime<chrono::Utc> {
        sqlx::query_scalar("select last_seen_at from session").fetch_one(city.db.pool()).await.unwrap()
    };
    let first = seen().await;
    browser.get("/medical").await;
    // Straight in the database, behind the back of this process: it follows within seconds, not at once.
    sqlx::query("update account set state = 'closed'").execute(city.db.pool()).await.unwrap();
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK, "served from memory");
    city.clock.advance(TimeDelta::seconds(6));
    assert_ne!(browser.get("/medical").await.status, StatusCode::OK);
    sqlx::query("update account set state = 'open'").execute(city.db.pool()).await.unwrap();
    city.clock.advance(TimeDelta::seconds(20));
    browser.get("/medical").await;
    assert_eq!(seen().await, first, "written down once a minute at most");
    city.clock.advance(TimeDelta::seconds(40));
    browser.get("/medical").await;
    assert_ne!(seen().await, first);
}
