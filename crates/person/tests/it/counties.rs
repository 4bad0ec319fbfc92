//! Tasks whose two sides lie in two counties: both see them, decide and take back; a third does not.

use axum::http::StatusCode;

use crate::desk::{City, assert_has, reviewer};

#[tokio::test]
async fn both_counties_work_on_what_lies_in_both_and_a_third_sees_nothing() {
    let city = City::new().await;
    // A hospital of 411503 where the patient lives too, and a health centre of 411521 that knows no residence.
    let (a, b) = city.asked().await;
    sqlx::query("update review_task set institutions = array[1, 2]").execute(city.db.pool()).await.unwrap();
    let task: i64 = city.one("select id from review_task").await;
    let path = format!("/index/review/{task}");
    let (li, zhao, third) =
        (reviewer(1, "李核对", "411503"), reviewer(2, "赵核对", "411521"), reviewer(3, "钱核对", "411502"));
    for (who, own) in [(&li, "411503"), (&zhao, "411521")] {
        let (_, page) = city.get("/index/review", who).await;
        assert_has(&page, &["卓文伟", "卓文玮", "机构1", "机构2", "区划411503000000、区划411521000000"], &[]);
        let (status, page) = city.get(&path, who).await;
        assert_eq!(status, StatusCode::OK);
        assert_has(&page, &["登记对照", "卓文伟", "卓文玮", "（外县区）", "data-key=\"1\""], &[]);
        let (_, page) = city.get("/index/figures", who).await;
        assert_has(&page, &[&format!("区划{own}000000")], &[]);
        let (_, next, to) = city.post("/index/review/none/decide", "", who).await;
        assert!(to.is_empty() && !next.is_empty());
    }
    // The filter of either county finds it, that of a third does not.
    let all = reviewer(4, "市核对", "4115");
    for (county, found) in [("411503", true), ("411521", true), ("411502", false)] {
        let (_, page) = city.get(&format!("/index/review?county={county}"), &all).await;
        assert_eq!(page.contains("卓文伟"), found, "{county}");
    }
    let (_, page) = city.get("/index/review", &third).await;
    assert_has(&page, &["没有待核对的登记"], &["卓文"]);
    let decide = format!("{path}/decide");
    let ask = format!("identity={b}&question=请核对姓名");
    assert_eq!(city.get(&path, &third).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.post(&decide, "outcome=apart", &third).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.post(&format!("{path}/ask"), &ask, &third).await.0, StatusCode::NOT_FOUND);
    let (_, page) = city.get("/index/figures", &third).await;
    assert_has(&page, &[], &["区划411503000000", "区划411521000000"]);
    // A person's own page stays with the county that has a registration of the person.
    let other = city.person(a).await;
    assert_eq!(city.get(&format!("/index/persons/{other}"), &zhao).await.0, StatusCode::NOT_FOUND);
    assert_eq!(city.get(&format!("/index/persons/{other}"), &li).await.0, StatusCode::OK);
    // By hand nobody merges with another county's person: only where the question was put.
    let merge = format!("/index/persons/{}/merge", city.person(b).await);
    let form = format!("other={other}&reason=本人电话确认");
    assert_eq!(city.post(&merge, &form, &zhao).await.0, StatusCode::NOT_FOUND);

    // The one county decides, and takes back; the other decides otherwise, and takes that back too.
    let (status, _, to) = city.post(&decide, "outcome=apart&why=两人均到场", &zhao).await;
    assert!(status == StatusCode::SEE_OTHER && to.contains("was=apart"), "{to}");
    let undo = async |who, expected| {
        let operation: i64 = city.one("select max(id) from person_operation").await;
        let path = format!("/index/operations/{operation}/undo");
        assert_eq!(city.post(&path, "reason=误操作", who).await.0, expected);
    };
    undo(&third, StatusCode::NOT_FOUND).await;
    undo(&zhao, StatusCode::SEE_OTHER).await;
    assert_eq!(city.one::<String>("select state from review_task").await, "open");
    assert_eq!(city.post(&decide, "outcome=same&why=", &li).await.0, StatusCode::SEE_OTHER);
    assert_eq!(city.person(a).await, city.person(b).await);
    undo(&third, StatusCode::NOT_FOUND).await;
    undo(&zhao, StatusCode::SEE_OTHER).await;
    assert_ne!(city.person(a).await, city.person(b).await);
}
