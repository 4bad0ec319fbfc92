//! What administrators do with accounts, and owners with their own.

use axum::http::StatusCode;

use crate::city::{City, PASSWORD, city};

async fn id_of(city: &City, login: &str) -> i64 {
    sqlx::query_scalar("select id from account where login = $1")
        .bind(login)
        .fetch_one(city.db.pool())
        .await
        .unwrap()
}

pub fn first_password(page: &str) -> String {
    let after = page.split("mk-secret\">").nth(1).expect("a first password is shown");
    after.split('<').next().unwrap().to_owned()
}

fn form<'a>(login: &'a str, role: &'a str, institution: &'a str) -> [(&'a str, &'a str); 4] {
    [("login", login), ("name", "刘新人"), ("role", role), ("institution", institution)]
}

#[tokio::test]
async fn a_new_doctor_must_choose_a_password_before_anything_else() {
    let city = city().await;
    city.county_administrator().await;
    let mut administrator = city.browser();
    administrator.sign_in("county", PASSWORD).await;
    let answer = administrator.post("/accounts", &form("liu", "township_doctor", "12411500000000002X")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let first = first_password(&answer.text);

    let mut doctor = city.browser();
    let answer = doctor.sign_in("liu", &first).await;
    assert_eq!(answer.location, "/account");
    assert_eq!(doctor.get("/medical").await.status, StatusCode::FORBIDDEN, "no rights with a told password");
    let weak = [("present", first.as_str()), ("wanted", "short"), ("again", "short")];
    assert_eq!(doctor.post("/account/password", &weak).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let differ = [("present", first.as_str()), ("wanted", PASSWORD), ("again", "other")];
    assert_eq!(doctor.post("/account/password", &differ).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = [("present", "wrong"), ("wanted", PASSWORD), ("again", PASSWORD)];
    assert_eq!(doctor.post("/account/password", &wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut other = doctor.clone();
    let good = [("present", first.as_str()), ("wanted", PASSWORD), ("again", PASSWORD)];
    assert_eq!(doctor.post("/account/password", &good).await.status, StatusCode::SEE_OTHER);
    assert_eq!(doctor.get("/medical").await.status, StatusCode::OK);
    assert_ne!(other.get("/medical").await.status, StatusCode::OK, "other sessions have ended");
    assert_eq!(city.browser().sign_in("liu", &first).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn administrators_stay_within_their_county_and_below_their_level() {
    let city = city().await;
    city.county_administrator().await;
    city.person("shihe", "浉河人", "township_doctor", Some(3), "411502").await;
    city.person("boss", "市平台", "security_administrator", None, "4115").await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;

    let list = county.get("/accounts").await.text;
    assert!(list.contains("陈县管") && !list.contains("浉河人") && !list.contains("市平台"), "{list}");
    let csv = county.get("/accounts.csv").await.text;
    assert!(csv.contains("陈县管") && !csv.contains("浉河人"));
    for login in ["shihe", "boss"] {
        let id = id_of(&city, login).await;
        assert_eq!(county.get(&format!("/accounts/{id}")).await.status, StatusCode::NOT_FOUND, "{login}");
        for act in ["close", "unlock", "reopen", "password"] {
            let answer = county.post(&format!("/accounts/{id}/{act}"), &[]).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{act} {login}");
        }
    }
    let cases = [
        ("township_doctor", "明港卫生院（虚构）", StatusCode::OK),
        ("hospital_engineer", "12411500000000001x", StatusCode::OK),
        ("county_administrator", "", StatusCode::OK),
        ("township_doctor", "12411500000000003X", StatusCode::UNPROCESSABLE_ENTITY),
        ("city_data_manager", "", StatusCode::FORBIDDEN),
        ("platform_operator", "", StatusCode::FORBIDDEN),
        ("auditor", "", StatusCode::FORBIDDEN),
        ("no_such_role", "", StatusCode::FORBIDDEN),
        ("township_doctor", "999", StatusCode::UNPROCESSABLE_ENTITY),
        ("township_doctor", "浉河医院（虚构）", StatusCode::UNPROCESSABLE_ENTITY),
        ("hospital_engineer", "", StatusCode::FORBIDDEN),
    ];
    for (n, (role, institution, expected)) in cases.into_iter().enumerate() {
        let login = format!("new{n}");
        let answer = county.post("/accounts", &form(&login, role, institution)).await;
        assert_eq!(answer.status, expected, "{role} at {institution}: {}", answer.text);
    }
    assert_eq!(
        county.post("/accounts", &form("new0", "township_doctor", "12411500000000002X")).await.status,
        StatusCode::CONFLICT,
        "the login is taken"
    );
    let blank = county.get("/accounts/new").await.text;
    assert!(blank.contains("乡镇卫生院医生") && !blank.contains("安全审计员") && !blank.contains("浉河医院"));

    let mut operator = city.browser();
    operator.sign_in("boss", PASSWORD).await;
    assert_eq!(operator.post("/accounts", &form("aud", "auditor", "")).await.status, StatusCode::OK);
    assert_eq!(operator.get("/medical").await.status, StatusCode::FORBIDDEN, "no clinical content");
}

#[tokio::test]
async fn closing_ends_what_is_open_at_once() {
    let city = city().await;
    let doctor_id = city.doctor().await;
    city.county_administrator().await;
    let (mut doctor, mut county) = (city.browser(), city.browser());
    doctor.sign_in("wang.li", PASSWORD).await;
    county.sign_in("county", PASSWORD).await;
    assert_eq!(doctor.get("/medical").await.status, StatusCode::OK);
    county.post(&format!("/accounts/{doctor_id}/close"), &[("reason", "测试")]).await;
    assert_ne!(doctor.get("/medical").await.status, StatusCode::OK);
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    county.post(&format!("/accounts/{doctor_id}/reopen"), &[("reason", "测试")]).await;
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let own = id_of(&city, "county").await;
    assert_eq!(
        county.post(&format!("/accounts/{own}/close"), &[("reason", "测试")]).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(city.outcomes("account.close").await, ["ok"]);
}

#[tokio::test]
async fn unlocking_and_resetting_help_who_is_locked_out() {
    let city = city().await;
    let doctor_id = city.doctor().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    for _ in 0..5 {
        city.browser().sign_in("wang.li", "wrong").await;
    }
    let page = county.get(&format!("/accounts/{doctor_id}")).await.text;
    assert!(page.contains("输错密码暂停") && page.contains("解除暂停"));
    assert!(county.get("/accounts?state=guarded").await.text.contains("王丽华"));
    county.post(&format!("/accounts/{doctor_id}/unlock"), &[("reason", "测试")]).await;
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let reset = county.post(&format!("/accounts/{doctor_id}/password"), &[("reason", "测试")]).await;
    let first = first_password(&reset.text);
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(city.browser().sign_in("wang.li", &first).await.location, "/account");
}

#[tokio::test]
async fn owners_see_and_revoke_their_own_sessions_only() {
    let city = city().await;
    city.doctor().await;
    city.person("second", "周第二", "township_doctor", Some(2), "411503102").await;
    let (mut here, mut there, mut second) = (city.browser(), city.browser_at("10.7.7.7"), city.browser());
    here.sign_in("wang.li", PASSWORD).await;
    there.sign_in("wang.li", PASSWORD).await;
    second.sign_in("second", PASSWORD).await;
    let page = here.get("/account").await.text;
    assert!(page.contains("10.7.7.7") && page.contains("Chrome（Windows）") && page.contains("本机"));
    let number: i64 = sqlx::query_scalar("select id from session where address = '10.7.7.7'")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    second.post(&format!("/account/sessions/{number}/revoke"), &[]).await;
    assert_eq!(there.get("/medical").await.status, StatusCode::OK, "not somebody else's to revoke");
    here.post(&format!("/account/sessions/{number}/revoke"), &[]).await;
    assert_ne!(there.get("/medical").await.status, StatusCode::OK);
    assert_eq!(here.get("/medical").await.status, StatusCode::OK);
}

#[tokio::test]
async fn lists_are_searched_and_paged() {
    let city = city().await;
    city.county_administrator().await;
    for n in 0..55 {
        sqlx::query(
            "insert into account (login, password_hash, name, role, region, password_changed_at, created_at)
             values ($1, '', $2, 'township_doctor', '411503000000', now(), now())",
        )
        .bind(format!("d{n}"))
        .bind(format!("医生{n}号"))
        .execute(city.db.pool())
        .await
        .unwrap();
    }
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let first = county.get("/accounts?role=township_doctor").await.text;
    assert!(
        first.contains("共 55 个账号") && first.contains("医生54号") && !first.contains("医生4号"),
        "{first}"
    );
    let next = first.split("href=\"").find(|part| part.contains("after=")).expect("a next page");
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let second = county.get(&next).await.text;
    assert!(second.contains("医生4号") && !second.contains("医生54号"));
    let found = county.get("/accounts?q=%E5%8C%BB%E7%94%9F7").await.text;
    assert!(found.contains("医生7号") && found.contains("共 1 个账号"));
    assert!(
        county.get("/accounts?q=%25").await.text.contains("共 0 个账号"),
        "a percent sign is a percent sign"
    );
}
