//! Seals, refusals, protected content and broken glass.

use axum::http::StatusCode;
use chrono::TimeDelta;

use crate::browser::{get, post};
use crate::city::{City, city};
use crate::people::{WANG, ZHANG};

const PAGE: &str = "/record/1";

/// Two visits of 张建国 at the county hospital: one ordinary, one of a psychiatric ward; a drug and a result that tell.
async fn protected(city: &City) -> i64 {
    let visit = |no: &'static str, department: &'static str, code: &'static str, name: &'static str| {
        [
            ("visit_no", no),
            ("visit_time", "2025-05-01 08:00"),
            ("department_name", department),
            ("diagnosis_code", code),
            ("diagnosis_name", name),
        ]
    };
    city.write("outpatient_visit", 1, 11, &visit("V1", "内科", "I10.x00", "高血压")).await;
    city.write("outpatient_visit", 1, 11, &visit("V2", "精神科", "F20.900", "精神分裂症")).await.unwrap()
}

fn reason() -> [(&'static str, &'static str); 3] {
    [("kind", "unconscious"), ("reason", "患者昏迷由救护车送入需了解用药史"), ("back", "/record/1")]
}

#[tokio::test]
async fn protected_content_is_counted_and_not_shown_until_a_role_or_the_glass_opens_it() {
    let city = city().await;
    let fact = protected(&city).await;
    let event = format!("{PAGE}/event/outpatient_visit/{fact}");
    // A doctor of the township: sees that something is protected, nothing of what.
    for path in [PAGE, "/record/1?tab=visit", "/record/1/print"] {
        get(&city, "township", path).await.has(&["高血压"]).lacks(&["精神", "F20"]);
    }
    get(&city, "township", PAGE).await.has(&["有 1 条受保护的记录未显示", "紧急调阅"]);
    assert_eq!(get(&city, "township", &event).await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&city, "township", &format!("{event}/history")).await.status, StatusCode::NOT_FOUND);
    get(&city, "township", "/record/1?disease=F20").await.lacks(&["精神分裂症"]);
    let fhir = get(&city, "township", "/fhir/Patient/1/$everything").await;
    fhir.has(&["I10"]).lacks(&["F20", "精神"]);
    // Even whose own hospital wrote it, for the level is strict.
    get(&city, "hospital", PAGE).await.lacks(&["精神分裂症"]);
    // The role opens it after a purpose was stated and with a second factor only.
    get(&city, "psychiatrist", PAGE).await.lacks(&["精神分裂症"]);
    let purpose = [("code", "care"), ("note", "精神科会诊"), ("back", PAGE)];
    post(&city, "psychiatrist", "/record/1/purpose", &purpose).await;
    get(&city, "psychiatrist", PAGE).await.has(&["精神分裂症"]).lacks(&["受保护"]);
    get(&city, "psychiatrist by password", PAGE).await.lacks(&["精神分裂症"]);

    // Breaking the glass needs the right and a reason.
    let without_right = post(&city, "township", "/record/1/glass", &reason()).await;
    assert_eq!(without_right.status, StatusCode::FORBIDDEN);
    let thin = [("kind", "unconscious"), ("reason", "急救")];
    post(&city, "emergency", "/record/1/glass", &thin).await.has(&["至少 8 个字"]).lacks(&["张建国"]);
    get(&city, "emergency", PAGE).await.lacks(&["精神分裂症"]);
    let broken = post(&city, "emergency", "/record/1/glass", &reason()).await;
    assert_eq!((broken.status, broken.location.as_str()), (StatusCode::SEE_OTHER, PAGE));
    get(&city, "emergency", PAGE).await.has(&["精神分裂症"]);
    assert_eq!(get(&city, "emergency", &event).await.status, StatusCode::OK);
    // It opens for nobody else, for no other person, and closes by itself.
    get(&city, "hospital", PAGE).await.lacks(&["精神分裂症"]);
    city.clock.advance(TimeDelta::minutes(241));
    get(&city, "emergency", PAGE).await.lacks(&["精神分裂症"]);
    // Out of reach stays unfindable.
    let beyond = post(&city, "emergency", &format!("/record/{WANG}/glass"), &reason()).await;
    assert_eq!(beyond.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_breaks_the_glass_is_reviewed_by_somebody_else() {
    let city = city().await;
    protected(&city).await;
    post(&city, "emergency", "/record/1/glass", &reason()).await;
    get(&city, "emergency", PAGE).await;
    assert_eq!(get(&city, "emergency", "/glass").await.status, StatusCode::FORBIDDEN);
    let list = get(&city, "auditor", "/glass?state=waiting").await;
    list.has(&["孙急诊", "张**", "待复核", "患者昏迷由救护车送入需了解用药史"]).lacks(&["张建国"]);
    let href = list.link("href", "/glass/").unwrap();
    get(&city, "auditor", &href).await.has(&["等待复核"]).lacks(&["提交复核"]);
    let verdict = [("verdict", "unjustified"), ("note", "核对急诊登记，当日无此患者")];
    let review = format!("{href}/review");
    assert_eq!(post(&city, "auditor", &review, &verdict).await.status, StatusCode::FORBIDDEN);
    for bad in [[("verdict", "maybe"), ("note", "核对")], [("verdict", "justified"), ("note", "")]] {
        assert_eq!(post(&city, "reviewer", &review, &bad).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(post(&city, "reviewer", &review, &verdict).await.status, StatusCode::SEE_OTHER);
    get(&city, "auditor", &href).await.has(&["理由不成立", "核对急诊登记，当日无此患者"]);
    assert_eq!(post(&city, "reviewer", &review, &verdict).await.status, StatusCode::CONFLICT);
    get(&city, "auditor", "/glass?state=waiting").await.has(&["没有紧急调阅"]);
    get(&city, "auditor", "/glass.csv?state=unjustified").await.has(&["孙急诊", "理由不成立"]);
    // The trail has the act, the looks under it with their reason, and the review.
    let acts: Vec<(String, String)> =
        sqlx::query_as("select act, purpose from audit_entry where person_id = 1 order by id")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    assert!(acts.contains(&("record.break_glass".into(), "emergency".into())), "{acts:?}");
    assert!(acts.contains(&("record.view".into(), "emergency".into())), "{acts:?}");
    assert!(acts.contains(&("glass.review".into(), "audit".into())), "{acts:?}");
    // Overdue when nobody looks.
    post(&city, "emergency", "/record/1/glass", &reason()).await;
    city.clock.advance(TimeDelta::hours(25));
    get(&city, "auditor", "/glass?state=overdue").await.has(&["逾期未复核"]);
}

#[tokio::test]
async fn a_refusal_bars_others_and_a_seal_bars_all_until_lifted() {
    let city = city().await;
    protected(&city).await;
    let restrict =
        |kind, scope| [("person", "1"), ("kind", kind), ("scope", scope), ("reason", "本人书面申请")];
    assert_eq!(
        post(&city, "township", "/restrictions", &restrict("seal", "all")).await.status,
        StatusCode::FORBIDDEN
    );
    // 王外乡 lies outside the manager's reach.
    let beyond = [("person", "3"), ("kind", "seal"), ("scope", "all"), ("reason", "本人书面申请")];
    assert_eq!(post(&city, "medical manager", "/restrictions", &beyond).await.status, StatusCode::NOT_FOUND);

    get(&city, "medical manager", "/restrictions/new?person=1").await.has(&["张**"]);
    post(&city, "medical manager", "/restrictions", &restrict("refusal", "others")).await;
    // In care stays open; others, even with a purpose, are barred.
    get(&city, "hospital", PAGE).await.has(&["高血压"]);
    let others = get(&city, "own", PAGE).await;
    assert_eq!(others.status, StatusCode::NOT_FOUND, "of another county's hospital: out of reach as before");
    post(&city, "medical manager", "/restrictions", &restrict("seal", "all")).await;
    for path in [PAGE, "/record/1?tab=visit", "/record/1/print", "/record/1/result?item=x"] {
        get(&city, "hospital", path).await.has(&["已封存，或居民本人拒绝"]).lacks(&["高血压", "张建国"]);
    }
    let fhir = get(&city, "hospital", "/fhir/Patient/1").await;
    assert_eq!(fhir.status, StatusCode::FORBIDDEN);
    fhir.has(&["已封存"]).lacks(&["张建国"]);
    // The glass opens it.
    post(&city, "emergency", "/record/1/glass", &reason()).await;
    get(&city, "emergency", PAGE).await.has(&["高血压", "精神分裂症"]);
    // Lifting needs a reason, and opens it again.
    let list = get(&city, "medical manager", "/restrictions").await;
    list.has(&["封存", "本人拒绝调阅", "张**"]).lacks(&["张建国"]);
    let lift = list.link("action", "/restrictions/").unwrap();
    let none = post(&city, "medical manager", &lift, &[("reason", "")]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    post(&city, "medical manager", &lift, &[("reason", "申请人撤回")]).await;
    get(&city, "hospital", PAGE).await.has(&["高血压"]);
    get(&city, "medical manager", "/restrictions?state=all").await.has(&["已解除", "申请人撤回"]);
    assert_eq!(
        post(&city, "medical manager", &lift, &[("reason", "再次")]).await.status,
        StatusCode::CONFLICT
    );
}

#[tokio::test]
async fn a_restriction_ends_by_itself() {
    let city = city().await;
    protected(&city).await;
    let today = kernel::clock::to_china(kernel::Clock::now(&*city.clock)).date();
    let until = (today + chrono::Days::new(1)).to_string();
    let past = (today - chrono::Days::new(1)).to_string();
    let form = |until| {
        [("person", "1"), ("kind", "seal"), ("scope", "all"), ("reason", "住院期间"), ("until", until)]
    };
    let refused = post(&city, "medical manager", "/restrictions", &form(&past)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    post(&city, "medical manager", "/restrictions", &form(&until)).await;
    get(&city, "hospital", PAGE).await.lacks(&["高血压"]);
    city.clock.advance(TimeDelta::hours(49));
    get(&city, "hospital", &format!("/record/{ZHANG}")).await.has(&["高血压"]);
}

#[tokio::test]
async fn entries_of_an_earlier_version_are_classified_by_a_job() {
    let city = city().await;
    protected(&city).await;
    // As an earlier version left them.
    sqlx::query("update record_entry set category = ''").execute(city.db.pool()).await.unwrap();
    get(&city, "township", PAGE).await.has(&["精神分裂症"]);
    let mut jobs = store::Jobs::new(city.db.db().clone(), city.clock.clone());
    city.record.register_jobs(&mut jobs);
    city.record.catch_up().await.unwrap();
    testkit::settle(&jobs).await;
    get(&city, "township", PAGE).await.lacks(&["精神分裂症"]).has(&["有 1 条受保护的记录未显示"]);
    // Done once for these definitions.
    city.record.catch_up().await.unwrap();
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from job").fetch_one(city.db.pool()).await.unwrap();
    assert_eq!(waiting, 0);
}

#[tokio::test]
async fn what_is_masked_is_shown_in_full_by_an_audited_act() {
    let city = city().await;
    protected(&city).await;
    get(&city, "hospital", PAGE).await.has(&["张建国", "411503********123X", "138****8000"]);
    get(&city, "hospital", PAGE).await.lacks(&["显示完整信息"]);
    let refused = post(&city, "hospital", "/record/1/reveal", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    refused.lacks(&["13800138000"]);
    get(&city, "registrar", PAGE).await.has(&["显示完整信息"]);
    post(&city, "registrar", "/record/1/reveal", &[]).await.has(&["13800138000", "41150319570312123X"]);
    let acts: Vec<String> =
        sqlx::query_scalar("select act from audit_entry where person_id = 1 and act = 'record.reveal'")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    assert_eq!(acts.len(), 1);
}
