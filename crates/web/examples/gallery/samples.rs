//! Samples of every ui piece: empty, typical and extreme. Everything in them is invented.

use maud::{Markup, html};
use serde_json::json;
use web::ui::*;

const LONG: &str = "某某市某某区某某街道社区卫生服务中心（某某市第三人民医院医疗集团某某分院、某某医学院附属教学基地）𠮷𡈽囍";

fn text(value: &str) -> Markup {
    html! { (value) }
}

/// Name of a page and its body.
pub fn pages() -> Vec<(&'static str, &'static str, Markup)> {
    vec![
        ("batches", "上传批次", batches()),
        ("record", "张**的健康档案", record()),
        ("quality", "质量监测", quality()),
        ("form", "登记账号", form()),
        ("empty", "空与极端", extremes()),
    ]
}

/// A typical list.
pub fn batches() -> Markup {
    let here = Here::new("/gallery/batches", "sort=-received&dataset=outpatient_visit&page=3");
    let datasets: Vec<(String, String)> =
        [("patient", "患者登记"), ("outpatient_visit", "门诊就诊记录"), ("lab_report", "检验报告")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec();
    let states = [("good", "已入库"), ("warn", "部分退回"), ("bad", "未入库"), ("", "处理中")];
    let rows = (0..22)
        .map(|n| {
            let (tone, state) = states[[0, 0, 1, 0, 0, 2, 0, 3][n % 8]];
            let tone = match tone {
                "good" => Tone::Good,
                "warn" => Tone::Warn,
                "bad" => Tone::Bad,
                _ => Tone::Info,
            };
            Row {
                href: Some("/gallery/batches".to_owned()),
                mark: if tone == Tone::Bad { "mk-row-bad" } else { "" },
                cells: vec![
                    html! { (format!("2025-03-{:02} 14:{:02}", 28 - n, n * 2)) },
                    text(if n % 3 == 0 {
                        "甲县人民医院（虚构）"
                    } else {
                        "乙镇中心卫生院（虚构）"
                    }),
                    text(if n % 2 == 0 { "门诊就诊记录" } else { "检验报告" }),
                    text(&format!("{}", 1204 + n * 37)),
                    text(&format!("{}", 1200 + n * 37)),
                    text(if n % 3 == 0 { "4" } else { "0" }),
                    text(&format!("{:.1}", 99.6 - n as f64 * 0.9)),
                    badge(tone, state),
                    text("接口上传"),
                ],
            }
        })
        .collect();
    html! {
        (page_head(&[("数据汇聚", "/gallery/batches")], "上传批次", "各机构送来的数据批次；点开看回执和问题清单。", html! {
            a.btn.btn-primary href="/gallery/form" { (icon("upload")) "上传文件" }
            a.btn href="/gallery/form" { "接入说明" }
        }))
        (list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "批次或文件", hint: "文件名、批次号" },
                Filter::Choice { name: "dataset", label: "数据集", options: &datasets },
                Filter::Choice { name: "state", label: "状态", options: &[] },
                Filter::Days { name: "day", label: "接收日期" },
            ],
            total: Some(12_482),
            unit: "个批次",
            columns: &[
                Column::text("接收时间").by("received"), Column::text("机构").by("institution"), Column::text("数据集"),
                Column::number("收到行").by("rows"), Column::number("入库行"), Column::number("退回行").by("rejected"),
                Column::number("得分").by("score"), Column::text("状态"), Column::text("来源"),
            ],
            rows,
            paging: Paging::Numbered { page: 3, per_page: 22, total: 12_482 },
            exports: &[Export { label: "导出 XLSX", path: "/gallery/batches.xlsx" }, Export { label: "导出 CSV", path: "/gallery/batches.csv" }],
            empty: ("", ""),
            empty_action: None,
        }))
    }
}

/// A person's banner, typical.
fn banner() -> PersonBanner {
    PersonBanner {
        name: "张建国".into(),
        href: Some("/gallery/record".into()),
        sex: "男".into(),
        age: "67 岁".into(),
        birth: "1958-11-07".into(),
        credential: web::mask::credential("411503195811071234"),
        phone: web::mask::phone("13812345678"),
        region: "甲县乙镇丙村".into(),
        blood: "A 型 Rh(+)".into(),
        doctor: "王医生（乙镇中心卫生院）".into(),
        reveal: Some("/gallery/record".into()),
        allergies: Allergies::Known(vec!["青霉素（皮疹，重度）".into(), "磺胺类".into()]),
        alerts: vec![
            Alert { tone: Tone::Warn, text: "高血压 3 级 极高危".into() },
            Alert { tone: Tone::Info, text: "家庭医生签约".into() },
        ],
    }
}

/// A record, typical.
pub fn record() -> Markup {
    let tab = |title: &str, count, current| Tab {
        title: title.into(),
        href: "/gallery/record".into(),
        count,
        current,
    };
    let events: Vec<TimelineEvent> = [
        ("2025-03-04", "14:05", "stethoscope", "门诊", "原发性高血压", "血压 168/96 mmHg", "乙镇中心卫生院"),
        (
            "2025-03-04",
            "09:20",
            "microscope",
            "检验",
            "肝功能 12 项",
            "谷丙转氨酶 78 U/L ↑",
            "乙镇中心卫生院",
        ),
        ("2025-02-11", "", "heartbeat", "随访", "高血压随访", "控制不满意，二周后复诊", "丙村卫生室"),
        ("2025-01-02", "16:40", "pill", "处方", "苯磺酸氨氯地平片等 3 种", "", "乙镇中心卫生院"),
        ("2024-11-18", "10:12", "bed", "住院", "脑梗死恢复期", "住院 9 天，好转出院", "甲县人民医院"),
        (
            "2024-11-09",
            "08:31",
            "scan",
            "检查",
            "头颅 MRI 平扫",
            "左侧基底节区陈旧性腔隙性梗死",
            "甲县人民医院",
        ),
        ("2024-06-15", "", "vaccine", "接种", "23 价肺炎球菌多糖疫苗", "第 1 剂", "乙镇中心卫生院"),
        (
            "2023-05-20",
            "",
            "clipboard-heart",
            "体检",
            "老年人健康体检",
            "BMI 27.4，空腹血糖 6.8 mmol/L",
            "乙镇中心卫生院",
        ),
    ]
    .map(|(date, time, icon, kind, title, result, institution)| TimelineEvent {
        date: date.into(),
        time: time.into(),
        icon: icon.into(),
        kind: kind.into(),
        title: title.into(),
        result: (!result.is_empty()).then(|| text(result)),
        institution: institution.into(),
        href: Some("/gallery/record".into()),
        detail: None,
    })
    .to_vec();
    let result = |name: &str, value: &str, flag: &str, range: &str, values: &[Option<f64>], band| {
        Row::plain(vec![
            text(name),
            abnormal(value, flag),
            text(range),
            sparkline(values, band),
            text("乙镇中心卫生院"),
        ])
    };
    let results = vec![
        result(
            "谷丙转氨酶",
            "78",
            "H",
            "9–50 U/L",
            &[Some(31.), Some(40.), None, Some(52.), Some(78.)],
            Some((9., 50.)),
        ),
        result(
            "空腹血糖",
            "6.8",
            "H",
            "3.9–6.1 mmol/L",
            &[Some(5.6), Some(6.2), Some(6.4), Some(6.8)],
            Some((3.9, 6.1)),
        ),
        result("血钾", "3.2", "L", "3.5–5.3 mmol/L", &[Some(4.1), Some(4.0), Some(3.2)], Some((3.5, 5.3))),
        result("肌酐", "82", "N", "57–97 µmol/L", &[Some(80.), Some(79.), Some(82.)], Some((57., 97.))),
    ];
    html! {
        (person_banner(&banner()))
        (tabs(&[
            tab("概览", None, true), tab("就诊", Some(31), false), tab("检验", Some(118), false), tab("检查", Some(9), false),
            tab("用药", Some(46), false), tab("公卫服务", Some(22), false), tab("预防接种", Some(4), false), tab("文书", Some(12), false),
        ]))
        div.mk-side {
            div {
                (card("主要问题", html! { (describe(&[
                    fact("高血压", "2016 年确诊，3 级"), fact("2 型糖尿病", "2021 年疑似"), fact("脑梗死", "2024-11 恢复期"),
                ])) }))
                (card("在用药品", html! { (describe(&[
                    fact("氨氯地平", "5 mg 每日一次"), fact("阿司匹林", "100 mg 每日一次"), fact("阿托伐他汀", "20 mg 每晚一次"),
                ])) }))
                (card("在管计划", html! { (describe(&[fact("高血压", "下次随访 2025-02-25，已过期 7 天")])) }))
            }
            div {
                (card_with("检验要点", html! { small { "近三年，末次值与趋势" } }, table(&Here::default(), &[
                    Column::text("项目"), Column::text("末次"), Column::text("参考范围"), Column::text("趋势"), Column::text("机构"),
                ], &results)))
                (card_with("时间线", html! { small { "2016-05 至今，9 家机构" } }, html! {
                    div.mk-card-body { (chips(&[
                        tab("全部", Some(240), true), tab("门诊", Some(31), false), tab("住院", Some(2), false),
                        tab("检验", Some(118), false), tab("随访", Some(22), false),
                    ])) }
                    (timeline(&events))
                }))
            }
        }
    }
}

/// The quality monitor, typical.
pub fn quality() -> Markup {
    let days: Vec<String> = (1..=24).map(|d| format!("03-{d:02}")).collect();
    let names = [
        "甲县人民医院（虚构）",
        "甲县中医院（虚构）",
        "甲县妇幼保健院（虚构）",
        "乙镇中心卫生院（虚构）",
        "丁镇卫生院（虚构）",
        LONG,
    ];
    let rows: Vec<MatrixRow> = names
        .iter()
        .enumerate()
        .map(|(r, name)| MatrixRow {
            name: (*name).to_owned(),
            href: Some("/gallery/quality".into()),
            cells: (0..24)
                .map(|d| match (r * 7 + d * 5) % 19 {
                    3 => MatrixCell::Missing {
                        explain: "应传 1 个批次，未收到".into(),
                        href: Some("/gallery/batches".into()),
                    },
                    9 if r > 2 => MatrixCell::None,
                    k => MatrixCell::Score {
                        score: 100.0 - (k * k) as f64 / (if r == 4 { 4.0 } else { 14.0 }),
                        explain: "收到 1,204 行，退回 4 行".into(),
                        href: Some("/gallery/batches".into()),
                    },
                })
                .collect(),
        })
        .collect();
    let option = json!({
        "legend": {},
        "xAxis": { "type": "category", "data": days },
        "yAxis": { "type": "value", "min": 0 },
        "tooltip": { "trigger": "axis" },
        "series": [
            { "name": "入库行", "type": "bar", "data": (0..24).map(|d| json!({ "value": 8000 + (d * 977) % 3000, "href": "/gallery/batches" })).collect::<Vec<_>>() },
            { "name": "退回行", "type": "bar", "data": (0..24).map(|d| 200 + (d * 331) % 700).collect::<Vec<_>>() },
        ],
    });
    let trend: Vec<Row> =
        days.iter().map(|d| Row::plain(vec![text(d), text("8,000"), text("200")])).collect();
    let figure = |label: &str, value: &str, note: &str| Figure {
        label: label.into(),
        value: value.into(),
        note: note.into(),
        href: Some("/gallery/batches".into()),
    };
    html! {
        (page_head(&[], "质量监测", "信阳市 · 2025-03-01 至 2025-03-24 · 24 个数据集", html! { a.btn href="/gallery/batches" { (icon("download")) "导出" } }))
        (notice(Tone::Warn, "3 家机构今天还没有上传", "丁镇卫生院（虚构）已连续 3 天未上传检验报告；点矩阵中的“缺”看应传内容。"))
        (figures(&[
            figure("今日收到", "128,420", "行"), figure("入库", "127,310", "99.1%"), figure("退回", "1,110", "行"),
            figure("应传机构", "46", "家"), figure("今日未传", "3", "家"),
        ]))
        div.mk-columns {
            (card("全市得分", score_ring(Some(96.8), &[
                ScorePart { name: "完整性".into(), score: Some(98.1) }, ScorePart { name: "准确性".into(), score: Some(95.96) },
                ScorePart { name: "及时性".into(), score: Some(92.3) }, ScorePart { name: "逻辑性".into(), score: None },
            ])))
            section.mk-card {
                (progress(&Progress { title: "正在导入 lab_result.csv.gz", done: 412_000, total: Some(1_000_000), unit: "行", rate: Some(21_300), again: None }))
                (progress(&Progress { title: "正在核对", done: 3_000, total: None, unit: "行", rate: None, again: None }))
            }
        }
        (card_with("机构 × 日期", html! { small { "门诊就诊记录；数字为当日得分" } }, matrix("机构", &days, &rows)))
        (chart(&Chart {
            id: "daily", title: "每日入库与退回（行）", option: &option,
            table: table(&Here::default(), &[Column::text("日期"), Column::number("入库行"), Column::number("退回行")], &trend),
            download: Some("/gallery/batches.csv"), height: Height::Middle,
        }))
    }
}

/// A form, typical and with errors.
pub fn form() -> Markup {
    let options = vec![("a".to_owned(), "乡镇医生".to_owned()), ("b".to_owned(), "县级管理员".to_owned())];
    let step = |title: &str, note: &str, state| Step { title: title.into(), note: note.into(), state };
    html! {
        (page_head(&[("平台管理", "/gallery/form"), ("账号", "/gallery/form")], "登记账号", "", html! {}))
        (steps(&[
            step("申请", "李主任 2025-03-01", StepState::Done), step("审核", "等待 2 天", StepState::Now), step("开通", "", StepState::Next),
        ]))
        (card("基本信息", html! {
            form method="post" action="/gallery/form" {
                div.mk-form-grid {
                    (field(&Field { name: "name", label: "姓名", required: true, value: "王小明", ..Field::default() }))
                    (field(&Field { name: "login", label: "登录名", required: true, value: "wang xm", error: Some("登录名只能用字母、数字和下划线；请去掉空格。"), ..Field::default() }))
                    (select_field(&Field { name: "role", label: "角色", required: true, value: "a", ..Field::default() }, &options))
                    (field(&Field { name: "birth", label: "出生日期", kind: Kind::Date, value: "1990-01-02", ..Field::default() }))
                    (field(&Field { name: "sbp", label: "收缩压", kind: Kind::Number, value: "168", unit: "mmHg", ..Field::default() }))
                    (field(&Field { name: "password", label: "初始口令", kind: Kind::Password, required: true, hint: "至少 10 个字符；首次登录须改。", ..Field::default() }))
                }
                (field(&Field { name: "note", label: "备注", kind: Kind::Long, value: LONG, ..Field::default() }))
                (form_acts("提交", Some("/gallery/batches")))
            }
        }))
    }
}

/// Everything empty or at its limits.
pub fn extremes() -> Markup {
    let here = Here::new("/gallery/empty", "q=%3Cscript%3E");
    let nothing = List {
        filters: &[Filter::Text { name: "q", label: "查找", hint: "" }],
        total: Some(0),
        unit: "个批次",
        columns: &[Column::text("接收时间")],
        rows: vec![],
        paging: Paging::Cursor { before: None, after: Some("k".into()) },
        exports: &[Export { label: "导出", path: "/x" }],
        empty: ("没有符合条件的批次", "条件可能太窄。去掉一部分条件，或确认机构当天是否应传。"),
        empty_action: Some(("清除条件", "/gallery/empty")),
    };
    let bare = PersonBanner { name: LONG.into(), ..PersonBanner::default() };
    let dead = PersonBanner {
        name: "李".into(),
        sex: "女".into(),
        age: "102 岁".into(),
        allergies: Allergies::Denied,
        alerts: (0..8).map(|n| Alert { tone: Tone::Bad, text: format!("提示 {n} {LONG}") }).collect(),
        ..PersonBanner::default()
    };
    html! {
        (page_head(&[], LONG, LONG, html! {}))
        (notice_closable(Tone::Bad, "没有保存", "第 3 行“身份证件号”的校验位不对；请核对原件后重新提交。"))
        (notice(Tone::Good, "已提交", ""))
        (notice(Tone::Neutral, "", LONG))
        (person_banner(&bare))
        (person_banner(&dead))
        (list(&here, &nothing))
        (card("长", describe(&[fact("空", ""), fact("长", LONG), fact(LONG, "值")])))
        div.mk-columns {
            (card("无评分", score_ring(None, &[])))
            (card("零分", score_ring(Some(0.0), &[ScorePart { name: LONG.into(), score: Some(-1.0) }])))
            (card("满分", score_ring(Some(100.0), &[ScorePart { name: "完整性".into(), score: Some(100.0) }])))
        }
        (sparkline(&[], None)) (sparkline(&[Some(1.0)], None)) (sparkline(&[Some(5.0), Some(5.0)], None))
        (sparkline(&[Some(f64::NAN), Some(1.0), None, Some(-1e9), Some(1e9)], Some((0.0, 1.0))))
        (matrix("机构", &[], &[]))
        (timeline(&[])) (timeline(&[TimelineEvent { date: "?".into(), detail: Some("/x".into()), ..TimelineEvent::default() }]))
        (tabs(&[])) (chips(&[])) (steps(&[])) (figures(&[]))
        (progress(&Progress { title: "完成", done: 9, total: Some(0), unit: "行", rate: Some(0), again: Some("/gallery/empty") }))
        (paging(&here, &Paging::Numbered { page: 999, per_page: 0, total: 3 }))
        (plain_badge("")) (abnormal("12.5", "HH"))
    }
}
