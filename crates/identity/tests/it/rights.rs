//! Giving and taking roles, exceptions, teams, rules of pages: acted over HTTP.

use axum::http::StatusCode;
use chrono::Duration;

use crate::city::{Browser, City, PASSWORD, city};

const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const MOVED: StatusCode = StatusCode::SEE_OTHER;

async fn signed_in(city: &City, login: &str) -> Browser {
    let mut browser = city.browser();
    let answer = browser.sign_in(login, PASSWORD).await;
    assert_eq!(answer.status, MOVED, "{login}: {}", answer.text);
    browser
}

/// Makes the last proof of everybody signed in recent, as step-up does.
async fn proved(city: &City) {
    sqlx::query("update session set proved_at = $1")
        .bind(kernel::Clock::now(&*city.clock))
        .execute(city.db.pool())
        .await
        .unwrap();
    city.clock.advance(Duration::seconds(6));
}

#[tokio::test]
async fn roles_are_given_and_taken_and_take_effect_at_once() {
    let city = city().await;
    let doctor = city.doctor().await;
    let own = city.county_administrator().await;
    let other = city.person("shihe", "浉河人", "county_administrator", None, "411502").await;
    let mut county = signed_in(&city, "county").await;
    let mut wang = signed_in(&city, "wang.li").await;
    proved(&city).await;

    let page = county.get(&format!("/access/accounts/{doctor}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(
        page.text.contains("乡镇卫生院医生")
            && page.text.contains("医疗服务·查看")
            && page.text.contains("没有权限的条线")
    );
    assert_eq!(county.get(&format!("/access/accounts/{other}")).await.status, NOT_FOUND, "another county");
    assert_eq!(wang.get(&format!("/access/accounts/{doctor}")).await.status, FORBIDDEN, "no administrator");

    let give = |role: &'static str| [("role", role), ("reason", "轮岗")];
    let roles = format!("/access/accounts/{doctor}/roles");
    let form = county.get(&format!("/access/accounts/{doctor}/give")).await.text;
    assert!(form.contains("乡镇公卫人员") && form.contains("在其本单位不能授予的角色"));
    assert_eq!(county.post(&roles, &give("township_public_health_officer")).await.status, MOVED);
    assert_eq!(
        county.post(&roles, &give("township_public_health_officer")).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(county.post(&roles, &give("hospital_doctor")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(county.post(&roles, &give("county_auditor")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mine = format!("/access/accounts/{own}/roles");
    assert_eq!(county.post(&mine, &give("statistics_officer")).await.status, FORBIDDEN, "not to oneself");
    let who = wang.get("/medical").await.text;
    assert!(
        who.contains("乡镇卫生院医生、乡镇公卫人员")
            && who.contains("PublicHealth Export Region(411503102000)"),
        "{who}"
    );

    let held: i64 =
        sqlx::query_scalar("select id from account_role where account_id = $1 and role = 'township_doctor'")
            .bind(doctor)
            .fetch_one(city.db.pool())
            .await
            .unwrap();
    let answer = county.post(&format!("{roles}/{held}/withdraw"), &[("reason", "调离门诊")]).await;
    assert_eq!(answer.status, MOVED, "{}", answer.text);
    let who = wang.get("/api/v1/who").await.text;
    assert!(who.contains("|乡镇公卫人员|") && !who.contains("Medical Read Region(411503000000)"), "{who}");
    assert_eq!(city.outcomes("role.give").await.len() + city.outcomes("role.withdraw").await.len(), 2);
    let why = county.get(&format!("/access/accounts/{doctor}")).await.text;
    assert!(why.contains("调离门诊") && why.contains("已撤销"));
}

#[tokio::test]
async fn a_role_ends_by_itself_even_while_the_caller_is_remembered() {
    let city = city().await;
    let doctor = city.doctor().await;
    let mut wang = signed_in(&city, "wang.li").await;
    let until = kernel::Clock::now(&*city.clock) + Duration::seconds(8);
    sqlx::query("update account_role set until = $2 where account_id = $1")
        .bind(doctor)
        .bind(until)
        .execute(city.db.pool())
        .await
        .unwrap();
    city.clock.advance(Duration::seconds(6));
    assert_eq!(wang.get("/medical").await.status, StatusCode::OK);
    city.clock.advance(Duration::seconds(3));
    assert_eq!(wang.get("/medical").await.status, FORBIDDEN, "sooner than the memory would end");
}

#[tokio::test]
async fn an_exception_is_asked_for_approved_by_another_and_over_by_itself() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    city.person("director", "何主任", "county_director", None, "411503").await;
    city.person("elsewhere", "别主任", "county_director", None, "411502").await;
    let mut wang = signed_in(&city, "wang.li").await;
    let mut director = signed_in(&city, "director").await;
    let mut elsewhere = signed_in(&city, "elsewhere").await;
    let mut county = signed_in(&city, "county").await;
    proved(&city).await;
    let day = (kernel::Clock::today(&*city.clock) + Duration::days(1)).to_string();
    let ask = |act: &'static str| {
        [
            ("line", "disease_control".to_owned()),
            ("act", act.to_owned()),
            ("target", "institution".to_owned()),
            ("what", "平桥县医院（虚构）".to_owned()),
            ("until", day.clone()),
            ("reason", "协助流行病学调查".to_owned()),
        ]
    };
    let fields = ask("read");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let asked = wang.post("/access/exceptions", &fields).await;
    assert_eq!(asked.status, MOVED, "{}", asked.text);
    let at = asked.location;
    assert!(!wang.get("/api/v1/who").await.text.contains("DiseaseControl"), "not before it is approved");

    // Nobody decides about their own; nobody without the right, or from elsewhere, sees it.
    assert_eq!(wang.post(&format!("{at}/approve"), &[]).await.status, FORBIDDEN);
    assert_eq!(elsewhere.get(&at).await.status, NOT_FOUND);
    assert_eq!(elsewhere.post(&format!("{at}/approve"), &[]).await.status, NOT_FOUND);
    assert_eq!(
        county.post(&format!("{at}/approve"), &[]).await.status,
        NOT_FOUND,
        "granting is not approving"
    );
    assert!(director.get("/desk").await.text.contains("待我审批的例外授权"));
    let approved = director.post(&format!("{at}/approve"), &[("note", "同意")]).await;
    assert_eq!(approved.status, MOVED, "{}", approved.text);
    assert_eq!(director.post(&format!("{at}/approve"), &[]).await.status, StatusCode::CONFLICT, "once");

    assert!(wang.get("/api/v1/who").await.text.contains("DiseaseControl Read Institution(#1)"));
    assert!(wang.get("/desk").await.text.contains("生效中"));
    let until: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select until from access_exception").fetch_one(city.db.pool()).await.unwrap();
    // To the second: one second before it still holds, at its end no longer, whatever is remembered.
    sqlx::query("update session set last_seen_at = $1, expires_at = $1 + interval '9 hours'")
        .bind(until)
        .execute(city.db.pool())
        .await
        .unwrap();
    city.clock.set(until - Duration::seconds(1));
    assert!(wang.get("/api/v1/who").await.text.contains("DiseaseControl"));
    city.clock.set(until);
    assert!(!wang.get("/api/v1/who").await.text.contains("DiseaseControl"), "over by itself");
    assert_eq!(city.outcomes("exception.approve").await, ["ok"]);
}

#[tokio::test]
async fn an_exception_is_revoked_and_administrators_get_no_clinical_one() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    city.person("director", "何主任", "county_director", None, "411503").await;
    let mut wang = signed_in(&city, "wang.li").await;
    let mut director = signed_in(&city, "director").await;
    let mut county = signed_in(&city, "county").await;
    proved(&city).await;
    let day = (kernel::Clock::today(&*city.clock) + Duration::days(1)).to_string();
    let far = (kernel::Clock::today(&*city.clock) + Duration::days(400)).to_string();
    let ask = |target: &'static str, what: &'static str, until: &str| -> Vec<(&'static str, String)> {
        vec![
            ("line", "medical".to_owned()),
            ("act", "read".to_owned()),
            ("target", target.to_owned()),
            ("what", what.to_owned()),
            ("until", until.to_owned()),
            ("reason", "多学科会诊需要".to_owned()),
        ]
    };
    fn fields<'a>(form: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
        form.iter().map(|(k, v)| (*k, v.as_str())).collect()
    }
    for (form, who) in [
        (ask("region", "411503", &day), "administrator"),
        (ask("institution", "没有的医院", &day), "doctor"),
        (ask("region", "4115031", &day), "doctor"),
        (ask("region", "411503", &far), "doctor"),
        (ask("region", "411503", ""), "doctor"),
        (ask("person", "nobody", &day), "doctor"),
    ] {
        let browser = if who == "administrator" { &mut county } else { &mut wang };
        let answer = browser.post("/access/exceptions", &fields(&form)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{form:?}");
    }
    let form = ask("region", "411503102", &day);
    let at = wang.post("/access/exceptions", &fields(&form)).await.location;
    assert_eq!(
        director.post(&format!("{at}/refuse"), &[]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "say why"
    );
    assert_eq!(director.post(&format!("{at}/approve"), &[]).await.status, MOVED);
    assert!(wang.get("/medical").await.text.contains("Medical Read Region(411503102000)"));
    assert_eq!(director.post(&format!("{at}/end"), &[("note", "会诊结束")]).await.status, MOVED);
    assert!(!wang.get("/medical").await.text.contains("Medical Read Region(411503102000)"));
    assert!(wang.get(&at).await.text.contains("已撤销"));
}

#[tokio::test]
async fn granting_wants_a_fresh_proof() {
    let city = city().await;
    city.doctor().await;
    city.county_administrator().await;
    let mut county = signed_in(&city, "county").await;
    sqlx::query("update session set proved_at = $1")
        .bind(kernel::Clock::now(&*city.clock) - Duration::hours(1))
        .execute(city.db.pool())
        .await
        .unwrap();
    city.clock.advance(Duration::seconds(6));
    let doctor: i64 = sqlx::query_scalar("select id from account where login = 'wang.li'")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    let answer = county
        .post(
            &format!("/access/accounts/{doctor}/roles"),
            &[("role", "family_doctor"), ("reason", "签约服务")],
        )
        .await;
    assert_ne!(answer.location, format!("/access/accounts/{doctor}"), "{}", answer.text);
    let given: i64 = sqlx::query_scalar("select count(*) from account_role where role = 'family_doctor'")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    assert_eq!(given, 0, "step-up first");
}

#[tokio::test]
async fn pages_are_narrowed_shown_and_opened_again() {
    let city = city().await;
    city.doctor().await;
    city.person("boss", "安主任", "security_administrator", None, "4115").await;
    let mut wang = signed_in(&city, "wang.li").await;
    let mut boss = signed_in(&city, "boss").await;
    proved(&city).await;
    assert_eq!(wang.get("/access/pages").await.status, FORBIDDEN);
    let pages = boss.get("/access/pages?q=/medical").await;
    assert!(pages.text.contains("医疗服务·查看"), "{}", pages.text);
    let one = boss.get("/access/pages/one?route=GET%20/medical").await.text;
    assert!(one.contains("乡镇卫生院医生") && one.contains("1 个账号"), "{one}");

    let rule = |what: &'static str, audience: &'static str| {
        [
            ("kind", "page"),
            ("subject", "GET /medical"),
            ("audience", audience),
            ("what", what),
            ("extra", "security.read"),
            ("reason", "专项检查期间"),
        ]
    };
    let preview = boss.post("/access/policy/preview", &rule("closed", "role:township_doctor")).await;
    assert!(preview.text.contains("不再能用") && preview.text.contains("乡镇卫生院医生"), "{}", preview.text);
    assert_eq!(wang.get("/medical").await.status, StatusCode::OK, "a preview changes nothing");
    assert_eq!(boss.post("/access/policy", &rule("closed", "role:township_doctor")).await.status, MOVED);
    assert_eq!(wang.get("/medical").await.status, FORBIDDEN);
    assert!(boss.get("/access/pages?state=changed").await.text.contains("/medical"));
    let change: i64 = sqlx::query_scalar("select max(id) from access_policy_change")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    assert_eq!(boss.post(&format!("/access/policy/{change}/undo"), &[]).await.status, MOVED);
    assert_eq!(wang.get("/medical").await.status, StatusCode::OK);

    // A kind of unit; and what may never be closed.
    assert_eq!(boss.post("/access/policy", &rule("extra", "unit:township")).await.status, MOVED);
    assert_eq!(wang.get("/medical").await.status, FORBIDDEN);
    assert_eq!(boss.post("/access/policy", &rule("declared", "unit:township")).await.status, MOVED);
    assert_eq!(wang.get("/medical").await.status, StatusCode::OK);
    let mut shut = rule("closed", "");
    shut[1].1 = "GET /access/policy";
    assert_eq!(boss.post("/access/policy", &shut).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let hide =
        [("kind", "menu"), ("subject", "/persons"), ("audience", ""), ("what", "closed"), ("reason", "演练")];
    assert!(wang.get("/desk").await.text.contains("href=\"/persons\""));
    assert_eq!(boss.post("/access/policy", &hide).await.status, MOVED);
    assert!(!wang.get("/desk").await.text.contains("href=\"/persons\""));
    assert_eq!(city.outcomes("policy.change").await.len(), 5);
}

#[tokio::test]
async fn a_team_brings_its_members_to_its_people() {
    let city = city().await;
    city.person("family", "孙家医", "family_doctor", Some(2), "411503102").await;
    city.county_administrator().await;
    city.person("shihe", "浉河人", "county_administrator", None, "411502").await;
    let mut county = signed_in(&city, "county").await;
    let mut family = signed_in(&city, "family").await;
    let mut shihe = signed_in(&city, "shihe").await;
    assert!(family.get("/medical").await.text.contains("Medical Read OwnPatients"));
    let made = county
        .post(
            "/access/teams",
            &[("name", "明港一队"), ("kind", "family_doctor"), ("unit", "明港卫生院（虚构）")],
        )
        .await;
    assert_eq!(made.status, MOVED, "{}", made.text);
    let at = made.location;
    assert_eq!(shihe.get(&at).await.status, NOT_FOUND);
    assert_eq!(
        shihe.post(&format!("{at}/members"), &[("staff_no", "x"), ("name", "外人")]).await.status,
        NOT_FOUND
    );
    let joined = county.post(&format!("{at}/members"), &[("staff_no", "family-1"), ("name", "孙家医")]).await;
    assert_eq!(joined.status, MOVED, "{}", joined.text);
    city.clock.advance(Duration::seconds(6));
    assert!(family.get("/medical").await.text.contains("Medical Read Team(#"));
    let leave = [("institution", "2"), ("staff_no", "family-1")];
    assert_eq!(county.post(&format!("{at}/members/leave"), &leave).await.status, MOVED);
    assert!(!family.get("/medical").await.text.contains("Medical Read Team(#"));
    assert!(county.get(&at).await.text.contains("孙家医"), "who was a member stays to be seen");
}

#[tokio::test]
async fn everybody_sees_what_a_post_may_do() {
    let city = city().await;
    city.doctor().await;
    let mut wang = signed_in(&city, "wang.li").await;
    for (path, words) in [
        ("/access", "安全审计员"),
        ("/access?tier=county&act=grant", "县（区）管理员"),
        ("/access/roles?q=医生", "乡村医生"),
        ("/access/roles.csv", "township_doctor"),
        ("/access/roles/auditor", "三员之一"),
        ("/access/roles/compare?a=auditor&b=platform_operator", "不能由同一人担任"),
        ("/access/exceptions", "申请例外授权"),
        ("/access/exceptions/new", "有效期至"),
    ] {
        let answer = wang.get(path).await;
        assert!(answer.status == StatusCode::OK && answer.text.contains(words), "{path}: {}", answer.text);
    }
    assert_eq!(wang.get("/access/roles/none").await.status, NOT_FOUND);
    assert_eq!(wang.get("/access/roles/auditor/accounts").await.status, FORBIDDEN);
}
