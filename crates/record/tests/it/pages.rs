//! What the pages show.

use axum::http::StatusCode;

use crate::browser::{get, part};
use crate::city::city;
use crate::people::{ZHANG, ZHAO};

#[tokio::test]
async fn the_overview_answers_who_what_matters_what_is_current_what_happened() {
    let city = city().await;
    city.seed_zhang().await;
    let page = get(&city, "township", &format!("/record/{ZHANG}")).await;
    assert_eq!(page.status, StatusCode::OK);
    page.has(&["张建国", "68 岁", "411503********123X", "138****8000", "A型 Rh阳性", "过敏：青霉素"])
        .has(&["高血压", "2型糖尿病", "脑梗死", "苯磺酸氨氯地平片", "葡萄糖", "9.4 ↑"])
        .has(&["高血压随访 150/92mmHg", "2 家机构建档", "2025 年", "2023 年", "明港镇卫生院"])
        .lacks(&["磺胺", "13800138000", "195703121"]);
    assert!(page.body.len() < 60 * 1024, "{} bytes", page.body.len());
}

#[tokio::test]
async fn every_tab_shows_its_own() {
    let city = city().await;
    city.seed_zhang().await;
    for (tab, has, lacks) in [
        ("visit", vec!["脑梗死", "全脑血管造影术", "胸闷 2 天"], vec!["生化十二项"]),
        ("laboratory", vec!["糖化血红蛋白", "8.1 ↑", "4–6", "生化十二项", "mk-spark"], vec!["头颅MRI"]),
        ("examination", vec!["头颅MRI平扫", "健康体检"], vec!["生化十二项"]),
        ("medication", vec!["苯磺酸氨氯地平片", "阿托伐他汀钙片", "住院用药"], vec![]),
        (
            "public_health",
            vec!["血压（mmHg），高血压随访", "空腹血糖（mmol/L）", "data-chart"],
            vec!["头颅MRI"],
        ),
        ("immunization", vec!["23价肺炎球菌多糖疫苗", "第 1 剂", "低热 37.6℃"], vec!["头颅MRI"]),
        ("document", vec!["出院小结", "出院诊断证明书"], vec!["头颅MRI"]),
    ] {
        let page = get(&city, "township", &format!("/record/{ZHANG}?tab={tab}")).await;
        assert_eq!(page.status, StatusCode::OK, "{tab}");
        // What matters stays visible.
        page.has(&has).lacks(&lacks).has(&["过敏：青霉素", "主要问题", "在用药品"]);
    }
    get(&city, "township", &format!("/record/{ZHANG}?disease=I63"))
        .await
        .has(&["神经内科 脑梗死"])
        .lacks(&["复诊取药", "生化十二项"]);
    get(&city, "township", &format!("/record/{ZHANG}?kind=immunization")).await.lacks(&["复诊取药"]);
    get(&city, "township", &format!("/record/{ZHANG}?kind=death")).await.has(&["没有符合条件的记录"]);
    get(&city, "township", &format!("/record/{ZHANG}/result?item=1558-6")).await.has(&[
        "葡萄糖（mmol/L）",
        "markArea",
        "9.8",
    ]);
    get(&city, "township", &format!("/record/{ZHANG}/print")).await.has(&[
        "居民健康档案摘要",
        "王秀英",
        "苯磺酸氨氯地平片",
    ]);
    get(&city, "workstation", &format!("/embed/record/{ZHANG}"))
        .await
        .has(&["张建国", &format!("/embed/record/{ZHANG}/event/")])
        .lacks(&["mk-rail", &format!("\"/record/{ZHANG}")]);
}

#[tokio::test]
async fn an_opened_event_shows_all_that_belongs_to_it() {
    let city = city().await;
    city.seed_zhang().await;
    let page = get(&city, "township", &format!("/record/{ZHANG}?tab=visit")).await;
    let visit = page.link("hx-get", &format!("/record/{ZHANG}/event/outpatient_visit/")).unwrap();
    part(&city, "township", &visit)
        .await
        .has(&["胸闷 2 天", "162 mmHg", "全科门诊", "王秀英", "高血压（I10.x00x002）"])
        .has(&[
            "诊断",
            "处方",
            "苯磺酸氨氯地平片",
            "盐酸二甲双胍片",
            "收费",
            "合计",
            "86.40",
            "批次 501",
            "第 1 版",
        ])
        // Numbers of staff and departments, and who it is, are not repeated.
        .lacks(&["0301", "0012", "P12", "<html"]);
    get(&city, "township", &visit).await.has(&["同日在该机构的其他记录", "生化十二项", "张建国"]);
    let lab = get(&city, "township", &format!("/record/{ZHANG}?tab=laboratory")).await;
    let report = lab.link("hx-get", &format!("/record/{ZHANG}/event/lab_report/")).unwrap();
    part(&city, "township", &report).await.has(&["葡萄糖", "9.4 ↑", "3.9–6.1"]);
    let exam = get(&city, "township", &format!("/record/{ZHANG}?tab=examination")).await;
    let exam = exam.link("hx-get", &format!("/record/{ZHANG}/event/physical_exam/")).unwrap();
    part(&city, "township", &exam).await.has(&["乙型肝炎表面抗原", "受限", "27.4"]);
    let stay = page.link("hx-get", &format!("/record/{ZHANG}/event/inpatient_stay/")).unwrap();
    part(&city, "township", &stay).await.has(&["全脑血管造影术", "阿托伐他汀钙片"]);
    let operation = page.link("hx-get", &format!("/record/{ZHANG}/event/operation/")).unwrap();
    get(&city, "township", &operation).await.has(&["所属住院", "神经内科 脑梗死"]);
}

#[tokio::test]
async fn a_corrected_row_shows_its_new_content_and_a_withdrawn_one_vanishes() {
    let city = city().await;
    let row = |doctor, mark| {
        [
            ("visit_no", "V1"),
            ("visit_time", "2025-05-01 08:00"),
            ("department_name", "内科"),
            ("doctor_name", doctor),
            ("revision_mark", mark),
        ]
    };
    let first = city.write("outpatient_visit", 2, 12, &row("错医生", "0")).await.unwrap();
    let second = city.write("outpatient_visit", 2, 12, &row("对医生", "1")).await.unwrap();
    assert_eq!(first, second);
    let page = format!("/record/{ZHANG}");
    get(&city, "township", &page).await.has(&["对医生"]).lacks(&["错医生"]);
    let event = format!("{page}/event/outpatient_visit/{first}");
    part(&city, "township", &event).await.has(&["第 2 版", "查看历史版本"]);
    get(&city, "township", &format!("{event}/history"))
        .await
        .has(&["第 1 版", "错医生", "对医生"])
        .lacks(&["就诊科室名称"]);
    city.write("outpatient_visit", 2, 12, &row("对医生", "2")).await;
    get(&city, "township", &page).await.lacks(&["对医生"]);
    assert_eq!(get(&city, "township", &event).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_long_life_is_read_page_by_page_and_loses_nothing_that_matters() {
    let city = city().await;
    city.write(
        "allergy",
        3,
        41,
        &[("allergy_no", "A"), ("allergen_name", "头孢"), ("recorded_at", "1990-01-01 08:00")],
    )
    .await;
    city.write(
        "visit_diagnosis",
        3,
        41,
        &[
            ("visit_no", "V"),
            ("diagnosis_no", "1"),
            ("diagnosis_code", "J44.900"),
            ("diagnosis_name", "慢性阻塞性肺疾病"),
            ("diagnosed_at", "1991-01-01 08:00"),
        ],
    )
    .await;
    // 700 visits; many at the same time, so that only the second part of the key tells them apart.
    let cells: Vec<(String, String)> =
        (0..700).map(|i| (format!("N{i}"), format!("20{:02}-03-04 0{}:00", i / 30, i % 3))).collect();
    let rows: Vec<Vec<(&str, &str)>> = cells
        .iter()
        .map(|(no, time)| {
            vec![("visit_no", no.as_str()), ("visit_time", time.as_str()), ("chief_complaint", no.as_str())]
        })
        .collect();
    city.write_all("outpatient_visit", 3, 41, &rows).await;
    let first = get(&city, "own", &format!("/record/{ZHAO}")).await;
    first.has(&["过敏：头孢", "慢性阻塞性肺疾病"]);
    let mut seen = Vec::new();
    let mut page = first;
    loop {
        let mut rest = page.body.as_str();
        while let Some(at) = rest.find("/event/outpatient_visit/") {
            rest = &rest[at + "/event/outpatient_visit/".len()..];
            seen.push(rest[..rest.find('"').unwrap()].to_owned());
        }
        let Some(next) = page.link("hx-get", &format!("/record/{ZHAO}?after=")) else { break };
        page = part(&city, "own", &next).await;
        page.lacks(&["<html", "主要问题"]);
    }
    assert_eq!(seen.len(), 700);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 700, "no event twice");
}
