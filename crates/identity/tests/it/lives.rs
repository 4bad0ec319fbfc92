//! The life of accounts: registered staff, reasons, moves, dormancy, several from a spreadsheet, password rules.

use axum::http::StatusCode;
use catalog::SettingValue;
use chrono::TimeDelta;
use contracts::StaffMoved;

use crate::city::{City, PASSWORD, city};

async fn state(city: &City, login: &str) -> (String, Option<i64>, Option<i32>) {
    sqlx::query_as("select state, staff_id, institution_id from account where login = $1")
        .bind(login)
        .fetch_one(city.db.pool())
        .await
        .unwrap()
}

async fn id_of(city: &City, login: &str) -> i64 {
    sqlx::query_scalar("select id from account where login = $1")
        .bind(login)
        .fetch_one(city.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_account_belongs_to_one_registered_person() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let open = |login: &'static str, name: &'static str, no: &'static str| {
        [
            ("login", login),
            ("name", name),
            ("staff_no", no),
            ("role", "township_doctor"),
            ("institution", "12411500000000002X"),
        ]
    };
    assert_eq!(county.post("/accounts", &open("liu", "刘新人", "007")).await.status, StatusCode::OK);
    assert_eq!(state(&city, "liu").await.1, Some(1), "registered on the way");
    assert_eq!(city.staff.0.lock().unwrap()[0].staff_no, "007");
    let second = county.post("/accounts", &open("liu2", "刘新人", "007")).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert!(second.text.contains("一人一个账号"));
    let other = county.post("/accounts", &open("ma.bieren", "马别人", "007")).await;
    assert!(other.text.contains("在人员登记中是“刘新人”"), "{}", other.text);
    city.staff.0.lock().unwrap()[0].in_post = false;
    let id = id_of(&city, "liu").await;
    county.post(&format!("/accounts/{id}/close"), &[("reason", "离岗")]).await;
    let back = county.post(&format!("/accounts/{id}/reopen"), &[("reason", "返岗")]).await;
    assert_eq!(back.status, StatusCode::CONFLICT, "the register says that they left");
    city.staff.0.lock().unwrap()[0].in_post = true;
    assert_eq!(
        county.post(&format!("/accounts/{id}/reopen"), &[("reason", "返岗")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(county.post("/accounts", &open("bai", "白无号", "")).await.status, StatusCode::OK);
    assert_eq!(city.staff.0.lock().unwrap()[1].staff_no, "bai", "the login stands for a number");
}

#[tokio::test]
async fn every_step_has_a_reason_and_fits_the_state() {
    let city = city().await;
    let id = city.doctor().await;
    city.county_administrator().await;
    let (mut county, mut doctor) = (city.browser(), city.browser());
    county.sign_in("county", PASSWORD).await;
    doctor.sign_in("wang.li", PASSWORD).await;
    let base = format!("/accounts/{id}");
    let silent = county.post(&format!("{base}/lock"), &[("reason", " ")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        county.post(&format!("{base}/lock"), &[("reason", "异常登录待查")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert_ne!(doctor.get("/medical").await.status, StatusCode::OK);
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        county.post(&format!("{base}/reopen"), &[("reason", "x")]).await.status,
        StatusCode::CONFLICT,
        "locked is not closed"
    );
    assert_eq!(
        county.post(&format!("{base}/confirm"), &[("reason", "x"), ("role", "township_doctor")]).await.status,
        StatusCode::CONFLICT
    );
    county.post(&format!("{base}/unlock"), &[("reason", "核实无误")]).await;
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let page = county.get(&base).await.text;
    for seen in ["异常登录待查", "核实无误", "陈县管", "锁定", "解锁"] {
        assert!(page.contains(seen), "{seen}");
    }
    let xlsx = county.get("/accounts.csv?state=open&second=no&unit=%E6%98%8E%E6%B8%AF&seen=7").await.text;
    assert!(xlsx.contains("王丽华") && !xlsx.contains("陈县管"), "{xlsx}");
    assert!(!county.get("/accounts.csv?second=yes").await.text.contains("王丽华"));
    assert!(county.get("/accounts.csv?seen=never").await.text.lines().count() == 1);
}

#[tokio::test]
async fn who_moves_takes_the_account_along_and_the_new_unit_confirms() {
    let city = city().await;
    let id = city.doctor().await;
    city.county_administrator().await;
    city.person("shihe", "浉河管", "county_administrator", None, "411502").await;
    let staff = state(&city, "wang.li").await.1.unwrap();
    let (mut doctor, mut old, mut new) = (city.browser(), city.browser(), city.browser());
    doctor.sign_in("wang.li", PASSWORD).await;
    old.sign_in("county", PASSWORD).await;
    new.sign_in("shihe", PASSWORD).await;
    let moved = StaffMoved { staff_id: staff, from_institution: 2, to_institution: Some(3) };
    city.identity.staff_moved(&moved).await.unwrap();
    city.identity.staff_moved(&moved).await.unwrap();
    assert_eq!(state(&city, "wang.li").await, ("moved".to_owned(), Some(staff), Some(3)));
    assert_ne!(doctor.get("/medical").await.status, StatusCode::OK, "sessions end");
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    let held: i64 = sqlx::query_scalar(
        "select count(*) from account_role where account_id = $1 and withdrawn_at is null",
    )
    .bind(id)
    .fetch_one(city.db.pool())
    .await
    .unwrap();
    assert_eq!(held, 0, "the roles of the old unit end");
    let confirm = [("reason", "人员调动"), ("role", "hospital_doctor")];
    let path = format!("/accounts/{id}/confirm");
    assert_eq!(old.post(&path, &confirm).await.status, StatusCode::NOT_FOUND, "not theirs any more");
    assert!(new.get(&format!("/accounts/{id}")).await.text.contains("调入本单位，等待确认"));
    let above = [("reason", "人员调动"), ("role", "city_administrator")];
    assert_eq!(new.post(&path, &above).await.status, StatusCode::FORBIDDEN);
    let done = new.post(&path, &confirm).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    doctor.sign_in("wang.li", PASSWORD).await;
    assert!(doctor.get("/api/v1/who").await.text.contains("浉河医院"));
    assert_eq!(city.outcomes("account.moved").await, ["ok"], "told twice, done once");

    let left = StaffMoved { staff_id: staff, from_institution: 3, to_institution: None };
    city.identity.staff_moved(&left).await.unwrap();
    assert_eq!(state(&city, "wang.li").await.0, "closed");
    assert_ne!(doctor.get("/medical").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_signs_in_for_long_and_the_account_rests() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    city.clock.advance(TimeDelta::days(170));
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    assert_eq!(city.identity.make_dormant().await.unwrap(), 0);
    city.clock.advance(TimeDelta::days(20));
    assert_eq!(city.identity.make_dormant().await.unwrap(), 1);
    assert_eq!(state(&city, "wang.li").await.0, "dormant");
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    county.sign_in("county", PASSWORD).await;
    let id = id_of(&city, "wang.li").await;
    county.post(&format!("/accounts/{id}/reopen"), &[("reason", "返岗")]).await;
    assert_eq!(city.identity.make_dormant().await.unwrap(), 0, "not at once again");
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.status, StatusCode::SEE_OTHER);
    city.set("sign_in.dormant_days", SettingValue::Whole(0)).await;
    city.clock.advance(TimeDelta::days(900));
    assert_eq!(city.identity.make_dormant().await.unwrap(), 0);
}

#[tokio::test]
async fn several_accounts_come_from_one_sheet() {
    let city = city().await;
    city.county_administrator().await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let sheet = "姓名,工号,登录名,角色,机构\n\
        钱一,001,qian.yi,乡镇卫生院医生,明港卫生院（虚构）\n\
        孙二,002,sun.er,township_doctor,12411500000000002X\n\
        李三,003,qian.yi,乡镇卫生院医生,明港卫生院（虚构）\n\
        周四,004,zhou.si,没有的角色,明港卫生院（虚构）\n\
        吴五,005,wu.wu,乡镇卫生院医生,浉河医院（虚构）\n";
    let checked = county.post_file("/accounts/import", sheet.as_bytes()).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.text);
    assert!(checked.text.contains("共 5 行，可以开通 2 行"), "{}", checked.text);
    for why in ["在文件中重复", "没有角色“没有的角色”", "超出您的管理范围"] {
        assert!(checked.text.contains(why), "{why}");
    }
    assert!(!checked.text.contains("mk-secret"), "a dry run opens nothing");
    let action = checked.text.split("action=\"/accounts/import/").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("/accounts/import/{action}");
    let opened = county.post(&path, &[]).await;
    assert!(opened.text.contains("已开通 2 个账号") && opened.text.contains("打印"), "{}", opened.text);
    let first = opened.text.split("mk-secret\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(city.browser().sign_in("qian.yi", first).await.location, "/account");
    assert_eq!(county.post(&path, &[]).await.status, StatusCode::NOT_FOUND, "once");
    assert_eq!(state(&city, "sun.er").await.2, Some(2));
    let template = county.get("/accounts/import/template.xlsx").await;
    assert_eq!(template.status, StatusCode::OK);
    let nonsense = county.post_file("/accounts/import", b"\xff\xff\xff").await;
    assert_eq!(nonsense.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn passwords_age_and_do_not_come_back() {
    let city = city().await;
    city.doctor().await;
    city.set("password.age_days", SettingValue::Whole(90)).await;
    let mut doctor = city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    let change = |from: &str, to: &str| {
        [("present", from.to_owned()), ("wanted", to.to_owned()), ("again", to.to_owned())]
    };
    let second = "Hn4%vTz8sQe";
    for (from, to, good) in [
        (PASSWORD, "Woaini1314!", false),
        (PASSWORD, "Wanglihua#88", false),
        (PASSWORD, second, true),
        (second, PASSWORD, false),
        (second, "Kd9&mWx3pRb", true),
    ] {
        let fields = change(from, to);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let answer = doctor.post("/account/password", &fields).await;
        assert_eq!(answer.status == StatusCode::SEE_OTHER, good, "{from} → {to}: {}", answer.text);
    }
    let meter = doctor.post("/account/password/strength", &[("wanted", "abcdefghij")]).await.text;
    assert!(meter.contains("<meter") && meter.contains("很弱") && !meter.contains("abcdefghij"), "{meter}");
    city.clock.advance(TimeDelta::days(91));
    let mut late = city.browser();
    assert_eq!(late.sign_in("wang.li", "Kd9&mWx3pRb").await.location, "/account");
    assert_eq!(late.get("/medical").await.status, StatusCode::FORBIDDEN, "an old password opens nothing");
}

#[tokio::test]
async fn a_first_password_that_lies_about_runs_out() {
    let city = city().await;
    city.county_administrator().await;
    let id = city.doctor().await;
    city.set("sign_in.dormant_days", SettingValue::Whole(0)).await;
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let reset = format!("/accounts/{id}/password");
    let handed_out = async |county: &mut crate::city::Browser| {
        let page = county.post(&reset, &[("reason", "忘记密码")]).await.text;
        crate::accounts::first_password(&page)
    };
    let first = handed_out(&mut county).await;
    city.clock.advance(TimeDelta::days(31));
    let late = city.browser().sign_in("wang.li", &first).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert!(late.text.contains("初始密码") && late.text.contains("重新发放"), "{}", late.text);
    let wrong = city.browser().sign_in("wang.li", "Wrong#Pass99").await.text;
    assert!(!wrong.contains("初始密码"), "said only to who has it");
    assert!(city.outcomes("sign_in").await.contains(&"first_expired".to_owned()));

    county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let again = handed_out(&mut county).await;
    city.clock.advance(TimeDelta::days(29));
    let mut doctor = city.browser();
    assert_eq!(doctor.sign_in("wang.li", &again).await.location, "/account");
    assert!(doctor.get("/notices").await.text.contains("管理员重置了您的登录密码"));
    city.clock.advance(TimeDelta::days(31));
    let used = city.browser().sign_in("wang.li", &again).await;
    assert_eq!(used.location, "/account", "used in time: it must be changed and runs out no more");
}

#[tokio::test]
async fn sessions_are_few_and_new_browsers_are_told_of() {
    let city = city().await;
    city.doctor().await;
    city.set("sign_in.sessions_at_once", SettingValue::Whole(2)).await;
    let mut browsers = vec![city.browser(), city.browser(), city.browser()];
    for browser in &mut browsers {
        browser.sign_in("wang.li", PASSWORD).await;
        city.clock.advance(TimeDelta::minutes(2));
    }
    assert_ne!(browsers[0].get("/medical").await.status, StatusCode::OK, "the oldest ends");
    assert_eq!(browsers[1].get("/medical").await.status, StatusCode::OK);
    assert!(browsers[1].get("/desk").await.text.contains("有新的设备登录了您的账号"));
    browsers[1].post("/account/devices/seen", &[]).await;
    assert!(!browsers[1].get("/desk").await.text.contains("有新的设备登录了您的账号"));
    // The same browser again is no news.
    let mut same = browsers[1].clone();
    same.post("/sign-out", &[]).await;
    same.sign_in("wang.li", PASSWORD).await;
    assert!(!same.get("/desk").await.text.contains("有新的设备登录了您的账号"));
    same.post("/account/sessions/revoke-others", &[]).await;
    assert_ne!(browsers[2].get("/medical").await.status, StatusCode::OK);
    assert_eq!(same.get("/medical").await.status, StatusCode::OK);
}
