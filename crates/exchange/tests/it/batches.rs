//! Batches as different people see them: reach, veiled values, the audit trail, request keys.

use axum::http::StatusCode;
use exchange::intake::{Door, Submission};
use kernel::{Act, Error, Id, Line, Need, Purpose, RefusalKind};

use crate::city::{City, city, persona};

// The second row is wrong in a field that names the patient, and the third in one that tells of the illness.
const WRONG: &str = "门诊就诊流水号,患者编号,患者姓名,性别代码,就诊日期时间,联系电话,主要诊断代码,主要诊断名称\n\
    V001,P001,张秀英,2,2025-05-14 09:10,,I10,高血压病\n\
    V002,P002,李建国,1,2025-05-14 10:20,92345678901234567,,糖尿病\n\
    V003,P003,王芳,2,2025-05-14 08:00,,ZZNOCODE,感冒\n";

async fn audited(city: &City, batch: i64) -> Vec<(String, String)> {
    sqlx::query_as(
        "select actor, act from audit_entry where object_kind = 'batch' and object_id = $1 and act <> 'batch.receive'
         order by id",
    )
    .bind(batch)
    .fetch_all(city.db.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn issues_are_whole_for_the_sender_only_and_every_look_is_audited() {
    let city = city().await;
    let batch = city.send("outpatient_visit", WRONG).await;
    let api = format!("/api/v1/batches/{batch}");
    let page = format!("/batches/{batch}");

    let whole = city.page("engineer", &format!("{api}/issues")).await;
    assert!(whole.contains("92345678901234567") && whole.contains("ZZNOCODE"), "{whole}");
    for path in [format!("{api}/issues"), format!("{api}/issues.csv"), page.clone(), format!("{page}/issues")]
    {
        let veiled = city.page("manager", &path).await;
        assert!(!veiled.contains("92345678901234567") && !veiled.contains("ZZNOCODE"), "{path}: {veiled}");
        assert!(veiled.contains("*************4567"), "{path}: {veiled}");
    }
    for path in ["repair.csv", "original"] {
        city.page("engineer", &format!("{api}/{path}")).await;
        assert_eq!(city.get("manager", &format!("{api}/{path}")).await.0, StatusCode::FORBIDDEN);
    }
    let mut expected: Vec<(String, String)> = Vec::new();
    let mut saw = |who: &str, act: &str| expected.push((who.to_owned(), act.to_owned()));
    saw("engineer", "batch.issues");
    (0..4).for_each(|_| saw("manager", "batch.issues"));
    ["batch.issues", "batch.repair", "batch.original"].iter().for_each(|act| saw("engineer", act));
    assert_eq!(audited(&city, batch).await, expected);
}

#[tokio::test]
async fn a_list_holds_what_is_in_reach_on_its_day() {
    let city = city().await;
    let batch = city.send("outpatient_visit", WRONG).await;
    let (row, today) = (format!("/batches/{batch}"), city.today());
    for (who, query, there) in [
        ("engineer", String::new(), true),
        ("manager", String::new(), true),
        ("county", String::new(), true),
        ("manager", format!("?day={today}&dataset=outpatient_visit&state=done"), true),
        ("manager", format!("?day={}", city.ago(1)), false),
        ("manager", "?state=failed".to_owned(), false),
        ("manager", format!("?after={batch}"), false),
    ] {
        let list = city.page(who, &format!("/batches{query}")).await;
        assert_eq!(list.contains(&row), there, "{who} {query}");
    }
    for path in ["/batches", &row] {
        assert_eq!(city.get("doctor", path).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(city.get("manager", "/batches/999999").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_key_gives_its_own_batch_or_a_refusal_never_a_receipt_of_other_rows() {
    let city = city().await;
    let reach =
        persona("engineer").decide(Need::new(Line::Exchange, Act::Write), Purpose::of("upload")).unwrap();
    let send = async |dataset: &str| {
        let submission = Submission {
            institution: Id::new(1),
            dataset: Some(dataset.to_owned()),
            door: Door::Api,
            file_name: "a\u{0}b\n.csv".to_owned(),
            request_key: Some("2025-05-14".to_owned()),
            atomic: false,
            received_at: None,
        };
        let accepted = city.exchange.intake.accept(&reach, submission, WRONG.as_bytes()).await?;
        let repeated = accepted.repeated;
        Ok::<_, Error>((city.exchange.intake.finish(accepted).await?, repeated))
    };
    let (first, _) = send("outpatient_visit").await.unwrap();
    assert_eq!(send("outpatient_visit").await.unwrap(), (first, true));
    let refused = send("patient").await;
    assert!(
        matches!(&refused, Err(Error::Refused(r)) if r.code == "batch.key_used" && r.kind == RefusalKind::Conflict),
        "{refused:?}"
    );
    let receipt = city.exchange.receipt(&reach, first).await.unwrap();
    assert_eq!(receipt.file_name, "ab.csv");
}
