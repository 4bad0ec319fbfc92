//! The audit trail's pages.

use axum::http::StatusCode;

use crate::city::{PASSWORD, city};

#[tokio::test]
async fn the_auditor_reads_who_did_what_and_that_is_written_down_too() {
    let city = city().await;
    city.doctor().await;
    city.person("audit", "审计员甲", "auditor", None, "4115").await;
    city.browser().sign_in("wang.li", "wrong").await;
    city.browser_at("10.3.3.3").sign_in("wang.li", PASSWORD).await;
    let mut auditor = city.browser();
    auditor.sign_in("audit", PASSWORD).await;
    let page = auditor.get("/audit").await.text;
    for part in ["王丽华", "明港卫生院（虚构）", "10.3.3.3", "登录", "密码错误", "2025-05-15 09:30:00"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let failed = auditor.get("/audit?outcome=failed").await.text;
    assert!(failed.contains("密码错误") && !failed.contains("10.3.3.3"));
    let other_day = auditor.get("/audit?at_from=2025-05-01&at_to=2025-05-02").await.text;
    assert!(other_day.contains("没有符合条件的记录"));
    assert!(auditor.get("/audit?actor=%E7%8E%8B%E4%B8%BD").await.text.contains("10.3.3.3"));
    let csv = auditor.get("/audit.csv?act=sign_in").await;
    assert!(
        csv.text.starts_with('\u{feff}')
            && csv.text.contains("\"王丽华\"")
            && !csv.text.contains("查看审计日志")
    );
    assert_eq!(city.outcomes("audit.view").await.len(), 4);
    assert_eq!(city.outcomes("audit.export").await, ["ok"]);
    assert_eq!(auditor.get("/medical").await.status, StatusCode::FORBIDDEN, "no clinical content");
}

#[tokio::test]
async fn an_auditor_of_a_county_sees_that_county() {
    let city = city().await;
    city.person("audit", "审计员乙", "county_auditor", None, "411503").await;
    city.person("shihe", "浉河人", "township_doctor", Some(3), "411502").await;
    city.doctor().await;
    city.browser().sign_in("shihe", PASSWORD).await;
    city.browser().sign_in("nobody", PASSWORD).await;
    city.browser().sign_in("wang.li", "wrong").await;
    let mut doctor = city.browser();
    doctor.sign_in("wang.li", PASSWORD).await;
    assert_eq!(doctor.get("/audit").await.status, StatusCode::FORBIDDEN);
    let mut auditor = city.browser();
    auditor.sign_in("audit", PASSWORD).await;
    let page = auditor.get("/audit").await.text;
    assert!(page.contains("王丽华") && page.contains("审计员乙") && page.contains("密码错误"), "{page}");
    assert!(!page.contains("浉河人") && !page.contains("nob…"), "{page}");
    assert_eq!(auditor.get("/audit.csv").await.status, StatusCode::FORBIDDEN, "reading is not taking away");
}

#[tokio::test]
async fn the_trail_is_paged_by_number() {
    let city = city().await;
    city.person("audit", "审计员甲", "auditor", None, "4115").await;
    sqlx::query(
        "insert into audit_entry (at, actor, role, institution_name, address, act, object_kind, object_label)
         select '2025-05-15 01:00:00+00', '系统', '系统', '', 'local', 'record.view', 'person', '被看的人' || n
         from generate_series(1, 120) n",
    )
    .execute(city.db.pool())
    .await
    .unwrap();
    let mut auditor = city.browser();
    auditor.sign_in("audit", PASSWORD).await;
    let (mut path, mut seen) = ("/audit?act=record.view".to_owned(), 0);
    for expected in [50, 50, 20] {
        let page = auditor.get(&path).await.text;
        let rows = page.matches(">被看的人").count();
        assert_eq!(rows, expected, "{path}");
        seen += rows;
        path = page
            .split("href=\"")
            .find(|part| part.starts_with("/audit?") && part.contains("after="))
            .map(|part| part.split('"').next().unwrap().replace("&amp;", "&"))
            .unwrap_or_default();
    }
    assert_eq!((seen, path.as_str()), (120, ""));
}
