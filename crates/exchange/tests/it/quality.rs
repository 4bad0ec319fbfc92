//! Monitoring: the matrix, reach, ranking, drilling down, exports, the desk.

use axum::http::StatusCode;
use kernel::Caller;

use crate::city::{City, Seed, city, persona};

fn seed(institution: i64, dataset: &'static str, day: chrono::NaiveDate, broken: f64) -> Seed {
    Seed { institution, dataset, day, received: 100, rejected: 5, broken: [broken; 4] }
}

/// How often a text occurs.
fn count(page: &str, text: &str) -> usize {
    page.matches(text).count()
}

#[tokio::test]
async fn the_matrix_marks_days_that_are_wholly_or_partly_missing() {
    let city = city().await;
    for ago in 1..7 {
        city.seed_whole(1, "hospital", city.ago(ago)).await;
        city.seed_whole(3, "hospital", city.ago(ago)).await;
    }
    // The township centre leaves out one whole day and a part of another.
    for ago in [1, 2, 4, 5] {
        city.seed_whole(2, "township", city.ago(ago)).await;
    }
    city.seed(&[seed(2, "outpatient_visit", city.ago(6), 0.1)]).await;
    let page = city.page("manager", "/quality?days=7").await;
    // One cell of the body and one of the legend.
    assert_eq!(count(&page, "mk-q-missing"), 2, "{page}");
    assert_eq!(count(&page, "mk-q-partial"), 2);
    assert!(page.contains("当日应传，至今没有收到"));
    let missing = city.ago(3);
    assert!(page.contains(&format!("day={missing}")) && page.contains("昨日报送机构"));
    // The present day is not over: nobody is blamed for it.
    assert!(!page.contains(&format!("{} 周四\n当日应传", city.today())));
    // One data set alone: the partly missing day has it and is not marked.
    let visits = city.page("manager", "/quality?days=7&dataset=outpatient_visit").await;
    assert_eq!((count(&visits, "mk-q-missing"), count(&visits, "mk-q-partial")), (2, 1));
    // A data set that is not sent daily is missed by nobody.
    let deaths = city.page("manager", "/quality?days=7&dataset=death").await;
    assert_eq!(count(&deaths, "mk-q-missing"), 1);
    // The export has every institution and day of what is filtered.
    let csv = city.page("manager", "/quality.csv?days=7&class=township").await;
    assert_eq!(csv.lines().count(), 1 + 7);
    assert_eq!((count(&csv, "整日未传"), count(&csv, "部分未传"), count(&csv, "明港")), (1, 1, 7));
}

#[tokio::test]
async fn everybody_sees_only_what_is_in_reach() {
    let city = city().await;
    for id in 1..=3 {
        city.seed(&[seed(id, "outpatient_visit", city.ago(1), 0.0)]).await;
    }
    let code = |id: i64| format!("12411500MB{id:07}X");
    let paths = |id: i64| {
        let day = city.ago(1);
        [
            format!("/quality/day?institution={}&day={day}", code(id)),
            format!("/quality/institutions/{}", code(id)),
            format!("/quality/institutions/{}/rules.csv", code(id)),
            format!("/api/v1/quality/days?institution={}", code(id)),
            format!("/quality/rows?institution={}&day={day}&dataset=outpatient_visit", code(id)),
        ]
    };
    let table: [(&str, &[i64]); 3] = [("manager", &[1, 2, 3]), ("county", &[1, 2]), ("engineer", &[1])];
    for (who, reached) in table {
        let names = ["平桥区人民医院", "明港中心卫生院", "浉河区中医院"];
        for list in [
            "/quality",
            "/quality.csv",
            "/quality/ranking",
            "/quality/ranking.csv",
            "/api/v1/quality/ranking",
        ] {
            let page = city.page(who, list).await;
            for (at, name) in names.iter().enumerate() {
                assert_eq!(page.contains(name), reached.contains(&(at as i64 + 1)), "{who} {list} {name}");
            }
        }
        let days = city.page(who, "/api/v1/quality/days").await;
        assert_eq!(count(&days, "\"day\":"), reached.len(), "{who}: {days}");
        for id in 1..=3 {
            for path in paths(id) {
                let wanted = if reached.contains(&id) { StatusCode::OK } else { StatusCode::NOT_FOUND };
                assert_eq!(city.get(who, &path).await.0, wanted, "{who} {path}");
            }
        }
    }
    for path in ["/quality", "/quality/ranking", "/api/v1/quality/days"]
        .into_iter()
        .map(str::to_owned)
        .chain(paths(2))
    {
        assert_eq!(city.get("doctor", &path).await.0, StatusCode::FORBIDDEN, "{path}");
        assert_ne!(city.get("", &path).await.0, StatusCode::OK, "{path}");
    }
    // Reads the counts, but has no right to the rows.
    assert_eq!(city.get("operator", &paths(1)[0]).await.0, StatusCode::OK);
    assert!(!city.page("operator", &paths(1)[0]).await.contains("/quality/rows"));
    assert_eq!(city.get("operator", &paths(1)[4]).await.0, StatusCode::FORBIDDEN);
    assert_eq!(city.get("doctor", "/datasets").await.0, StatusCode::OK);
    assert_ne!(city.get("", "/datasets").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_ranking_orders_by_score_and_findings_between_data_sets_count() {
    let city = city().await;
    let day = city.ago(2);
    city.seed(&[
        seed(1, "outpatient_visit", day, 0.02),
        seed(2, "outpatient_visit", day, 0.10),
        seed(3, "outpatient_visit", day, 0.01),
    ])
    .await;
    let order = async |city: &City| -> Vec<(Option<i64>, i64, f64)> {
        let answer = city.page("manager", "/api/v1/quality/ranking").await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let of = |r: &serde_json::Value| {
            let code = r["institution"].as_str().unwrap().trim_end_matches('X');
            (r["rank"].as_i64(), code[10..].parse().unwrap(), r["score"]["total"].as_f64().unwrap_or(-1.0))
        };
        answer["ranking"].as_array().unwrap().iter().map(of).collect()
    };
    let before = order(&city).await;
    assert_eq!(
        before.iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(),
        [(Some(1), 3), (Some(2), 1), (Some(3), 2)]
    );
    // Every visit of the best disagrees with its fee items: the logic dimension falls.
    let visits = city.catalog.dataset("outpatient_visit").unwrap();
    let rule = visits.rules.iter().position(|r| r.check.is_cross()).unwrap();
    sqlx::query(
        "insert into cross_finding select 3, $1, $2, n, $3, '12.50', now() from generate_series(1, 95) n",
    )
    .bind(visits.number)
    .bind(rule as i16)
    .bind(day)
    .execute(city.db.pool())
    .await
    .unwrap();
    let after = order(&city).await;
    assert_eq!(after.iter().map(|r| r.1).collect::<Vec<_>>(), [1, 3, 2]);
    // By hand: logic was checked with 1000, and 95 stored rows × weight.
    let weight = visits.rules[rule].weight;
    let logic = 100.0 * (1.0 - (10.0 + 95.0 * weight) / (1000.0 + 95.0 * weight));
    let total = (99.0 * 80.0 + logic * 20.0) / 100.0;
    assert!((after[1].2 - total).abs() < 0.02, "{after:?} {total}");
    let page = city.page("manager", "/quality/ranking").await;
    let at = |name: &str| page.find(name).unwrap();
    assert!(at("平桥区人民医院") < at("浉河区中医院") && at("浉河区中医院") < at("明港中心卫生院"));
    let by_volume = city.page("manager", "/quality/ranking?sort=-score&county=411503000000").await;
    assert!(!by_volume.contains("浉河区中医院"));
    let (status, book) = city.get_bytes("manager", "/quality/ranking.xlsx").await;
    assert!(status == StatusCode::OK && book.starts_with(b"PK"));
    // Who sent nothing has no rank and stands last.
    let one = city.page("manager", "/quality/ranking?day_from=2025-04-01&day_to=2025-04-02").await;
    assert_eq!(count(&one, "无评分"), 3);
}

const VISITS: &str = "门诊就诊流水号,患者编号,患者姓名,性别代码,就诊日期时间,身份证件号码,联系电话,主要诊断名称,门诊费用金额\n\
    V001,P001,张秀英,2,2025-05-14 09:10,41150319581107122X,13812345678,高血压病,120.00\n\
    V002,P002,李建国,1,2025-05-14 10:20,,,糖尿病,80.00\n\
    V003,P003,王芳,2,2025-05-13 08:00,,,感冒,30.00\n";

#[tokio::test]
async fn a_cell_opens_down_to_the_rows_and_the_view_is_audited() {
    let city = city().await;
    let batch = city.send("outpatient_visit", VISITS).await;
    let code = "12411500MB0000001X";
    let day = format!("/quality/day?institution={code}&day=2025-05-14");
    let page = city.page("manager", &day).await;
    assert!(page.contains("门诊就诊记录") && page.contains(&format!("/batches/{batch}")), "{page}");
    assert!(page.contains("应传未传") && page.contains("本日行数"));
    let rows = format!("/quality/rows?institution={code}&day=2025-05-14&dataset=outpatient_visit");
    assert!(page.contains(&rows.replace('&', "&amp;")));

    // The manager has no clinical right: keys, times, what is filled; no contents, no names.
    let outline = city.page("manager", &rows).await;
    assert!(outline.contains("V001") && outline.contains("V002") && !outline.contains("V003"));
    assert!(outline.contains("张**") && !outline.contains("张秀英"));
    assert!(outline.contains("138****5678") && !outline.contains("高血压病") && !outline.contains("120.00"));
    // The sender sees its own rows whole.
    let whole = city.page("engineer", &rows).await;
    assert!(whole.contains("张秀英") && whole.contains("高血压病") && whole.contains("120.00"));
    let seen: Vec<(String, String)> = sqlx::query_as(
        "select actor, detail->>'dataset' from audit_entry where act = 'quality.rows' order by id",
    )
    .fetch_all(city.db.pool())
    .await
    .unwrap();
    let by = |who: &str| (who.to_owned(), "outpatient_visit".to_owned());
    assert_eq!(seen, [by("manager"), by("engineer")]);

    // The same file again: nothing is there twice, and the day knows both batches.
    let again = city.send("outpatient_visit", VISITS).await;
    let page = city.page("manager", &day).await;
    assert!(page.contains(&format!("/batches/{again}")) && page.contains(&format!("/batches/{batch}")));
    assert_eq!(count(&city.page("engineer", &rows).await, ">V001<"), 1);

    let own = city.page("engineer", &format!("/quality/institutions/{code}")).await;
    assert!(own.contains("每条规则扣多少分") && own.contains("扣分最多的问题"));
    let csv = city.page("engineer", &format!("/quality/institutions/{code}/rules.csv")).await;
    assert!(csv.lines().count() > 10);
}

#[tokio::test]
async fn pages_of_data_sets_and_what_is_asked_wrongly() {
    let city = city().await;
    let list = city.page("doctor", "/datasets").await;
    for dataset in &city.catalog.datasets {
        assert!(list.contains(&format!("/datasets/{}", dataset.code)), "{}", dataset.code);
        city.page("doctor", &format!("/datasets/{}", dataset.code)).await;
    }
    let visit = city.page("engineer", "/datasets/outpatient_visit").await;
    for text in [
        "就诊日期时间",
        "DE06.00.062.00",
        "JZKSRQ",
        "curl",
        "/api/v1/datasets/outpatient_visit/batches",
        "跨表",
    ] {
        assert!(visit.contains(text), "{text}");
    }
    let template = city.page("doctor", "/datasets/outpatient_visit/template.csv").await;
    assert!(template.starts_with("\u{feff}\"门诊就诊流水号\",\"患者编号\"") && template.lines().count() == 1);
    let table = [
        ("/datasets/nothing", StatusCode::NOT_FOUND),
        ("/quality/day?institution=12411500MB0000001X&day=yesterday", StatusCode::UNPROCESSABLE_ENTITY),
        ("/quality/day?institution=nobody&day=2025-05-14", StatusCode::NOT_FOUND),
        ("/api/v1/quality/days?from=2025-05-14&to=2025-05-01", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/quality/days?from=2024-05-14&to=2025-05-01", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/quality/days?from=x", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/quality/days?dataset=x", StatusCode::NOT_FOUND),
        ("/quality?days=9999&order=x&dataset=x&to=2999-01-01&page=99", StatusCode::OK),
    ];
    for (path, status) in table {
        assert_eq!(city.get("manager", path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn the_desk_says_what_came_yesterday_and_what_did_not() {
    let city = city().await;
    let panel = exchange::quality::panel(&city.exchange);
    let lines = async |who: &Caller| -> Vec<String> {
        let card = panel.card(who).await.unwrap().unwrap();
        card.lines.iter().map(|l| format!("{} {} {}", l.text, l.figure, l.urgent)).collect()
    };
    city.seed_whole(1, "hospital", city.ago(1)).await;
    city.seed(&[seed(2, "outpatient_visit", city.ago(1), 0.0)]).await;
    let manager = lines(&persona("manager")).await;
    assert!(manager.contains(&"昨日整日未传的机构 1 家 true".to_owned()), "{manager:?}");
    assert!(manager.contains(&"昨日缺部分数据集的机构 1 家 false".to_owned()));
    assert!(manager.contains(&"昨日拒收 5 行 true".to_owned()));
    let engineer = lines(&persona("engineer")).await;
    assert!(!engineer.iter().any(|l| l.contains("未传")), "{engineer:?}");
    sqlx::query("delete from quality_day where institution_id = 1 and dataset = 2")
        .execute(city.db.pool())
        .await
        .unwrap();
    let engineer = lines(&persona("engineer")).await;
    assert!(engineer.contains(&"昨日未传：门诊就诊记录 应每日上传 true".to_owned()));
    assert!(panel.card(&persona("doctor")).await.unwrap().is_none());
    assert!(panel.card(&persona("operator")).await.unwrap().is_none());
}
