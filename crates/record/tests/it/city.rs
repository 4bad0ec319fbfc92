//! A small city for the record's stories: four institutions, a few lives, and callers that come in over HTTP. Facts
//! are written as the intake writes them, so index entries and history are the real ones.

use std::sync::Arc;

use axum::Router;
use catalog::{Catalog, Checker, RawRow};
use contracts::{EndedFact, InstitutionCard, Institutions, NewInstitution, StoredFact, Terminology};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Act, Assurance, Caller, CallerKind, Clock, Factor, Grant, Id, Line, RegionCode, Result, Span};
use record::{Ports, Record};
use store::facts::{FactRow, Facts, Outcome, Target};
use testkit::{TestClock, TestDb};
use web::{Authenticator, Site, build_app};

use crate::people::People;

/// The shipped code tables.
struct Tables(Arc<catalog::CodeTables>);

impl Terminology for Tables {
    fn tables(&self) -> Arc<catalog::CodeTables> {
        self.0.clone()
    }
}

/// Two institutions of one county, one of another county of the city, one of another city.
struct Register(Vec<Arc<InstitutionCard>>);

impl Register {
    fn new() -> Self {
        let card = |id, name: &str, class: &str, region: &str| {
            Arc::new(InstitutionCard {
                id: Id::new(id),
                code: format!("1241150000000000{id}X"),
                name: format!("{name}（虚构）"),
                short_name: name.to_owned(),
                sender_class: class.to_owned(),
                region: RegionCode::parse(region).unwrap(),
                invented: true,
            })
        };
        Self(vec![
            card(1, "平桥县人民医院", "hospital", "411503"),
            card(2, "明港镇卫生院", "township", "411503102"),
            card(3, "浉河区医院", "hospital", "411502"),
            card(4, "驻马店医院", "hospital", "411702"),
        ])
    }
}

impl Institutions for Register {
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>> {
        self.0.iter().find(|card| card.id == id).cloned()
    }
    fn by_code(&self, code: &str) -> Option<Arc<InstitutionCard>> {
        self.0.iter().find(|card| card.code == code).cloned()
    }
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        Arc::new(self.0.clone())
    }
    fn region_name(&self, code: &RegionCode) -> String {
        format!("信阳市{}", if code.as_str().starts_with("411503") { "平桥区明港镇" } else { "" })
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        unreachable!("nothing is registered in these stories")
    }
}

/// The caller is whom the header `x-caller` names.
struct ByHeader;

/// A member of staff of an institution whose clinical right reaches a division.
pub fn staff(name: &str, account: i64, institution: i64, span: Span) -> Caller {
    let grants = [Act::Read].map(|act| Grant { line: Line::Medical, act, span }).to_vec();
    Caller {
        account: Some(Id::new(account)),
        name: name.to_owned(),
        role: "乡镇卫生院医生".to_owned(),
        institution: Some(Id::new(institution)),
        institution_name: "明港镇卫生院（虚构）".to_owned(),
        region: RegionCode::parse("411503102").unwrap(),
        address: "127.0.0.1".to_owned(),
        grants,
        roles: vec!["hospital_doctor".to_owned()],
        ..Caller::blank(CallerKind::Staff)
    }
}

fn caller(name: &str) -> Option<Caller> {
    let city = Span::Region(RegionCode::parse("4115").unwrap());
    Some(match name {
        "township" => staff("王秀英", 7, 2, city),
        "hospital" => staff("刘主任", 8, 1, city),
        "own" => staff("陈护士", 9, 3, Span::Institution(Id::new(3))),
        "workstation" => Caller {
            kind: CallerKind::Embedded,
            account: None,
            role: "医院工作站（工号 0012）".to_owned(),
            ..staff("周医生", 0, 1, city)
        },
        // Of the emergency department: may break the glass in the city.
        "emergency" => {
            let mut caller = staff("孙急诊", 11, 1, city);
            caller.grants.push(Grant { line: Line::Emergency, act: Act::Read, span: city });
            caller
        }
        "psychiatrist" => Caller {
            categories: vec!["psychiatric".to_owned()],
            assurance: Assurance { factor: Factor::Second, fresh: false },
            ..staff("钱心理", 12, 2, city)
        },
        "psychiatrist by password" => {
            Caller { categories: vec!["psychiatric".to_owned()], ..staff("钱心理", 12, 2, city) }
        }
        "auditor" | "reviewer" => {
            let mut caller = staff("审计员", 13, 2, city);
            caller.grants = vec![Grant { line: Line::Audit, act: Act::Read, span: city }];
            if name == "reviewer" {
                caller.grants.push(Grant { line: Line::Audit, act: Act::Approve, span: city });
            }
            caller
        }
        "medical manager" => {
            let mut caller = staff("医政科", 14, 2, city);
            caller.grants.push(Grant { line: Line::Medical, act: Act::Manage, span: city });
            caller.assurance.fresh = true;
            caller
        }
        // Of the county hospital: may see in full what is masked.
        "registrar" => {
            let mut caller = staff("登记员", 15, 1, city);
            caller.grants.push(Grant { line: Line::Medical, act: Act::Reveal, span: city });
            caller
        }
        "manager" => Caller { grants: Vec::new(), ..staff("数据管理员", 10, 2, city) },
        _ => return None,
    })
}

impl Authenticator for ByHeader {
    fn authenticate<'a>(&'a self, asking: web::Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        let headers = asking.headers;
        let name = headers.get("x-caller").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        Box::pin(async move { Ok(caller(&name).map(Arc::new)) })
    }
}

/// The city.
pub struct City {
    pub db: TestDb,
    pub clock: Arc<TestClock>,
    pub catalog: Arc<Catalog>,
    pub record: Record,
    facts: Facts,
    tables: Arc<catalog::CodeTables>,
}

/// An empty city.
pub async fn city() -> City {
    let catalog = Arc::new(catalog::shipped().expect("the shipped definitions are good"));
    let migrations = [store::MIGRATIONS, record::MIGRATIONS].concat();
    let tables: Vec<String> =
        catalog.datasets.iter().map(|d| store::fact_schema::create_table(d, &d.table())).collect();
    let db = TestDb::create(&migrations, &tables).await;
    let clock = testkit::clock();
    let code_tables = Arc::new(catalog.tables.clone());
    let options = store::Settings::defaults(catalog.clone());
    let record = Record::new(Ports {
        db: db.db().clone(),
        catalog: catalog.clone(),
        clock: clock.clone(),
        institutions: Arc::new(Register::new()),
        terminology: Arc::new(Tables(code_tables.clone())),
        persons: Arc::new(People::new()),
        lookup: Arc::new(People::new()),
        matcher: Arc::new(People::new()),
        care: Arc::new(contracts::NoCareRelations),
        options,
        notices: None,
    });
    let facts = Facts::new(db.db().clone(), &catalog);
    City { db, clock, catalog, record, facts, tables: code_tables }
}

impl City {
    /// The application, with every caller at its door.
    pub fn app(&self) -> Router {
        build_app(self.record.routes(), Site::new(Arc::new(ByHeader)))
    }

    /// Writes one row of a data set as the intake does; the fact's identifier, `None` when it was withdrawn.
    /// Required fields that are not given are made up.
    pub async fn write(
        &self,
        dataset: &str,
        institution: i64,
        identity: i64,
        cells: &[(&str, &str)],
    ) -> Option<i64> {
        self.write_all(dataset, institution, identity, &[cells.to_vec()]).await.into_iter().next().flatten()
    }

    /// Writes rows.
    pub async fn write_all(
        &self,
        dataset: &str,
        institution: i64,
        identity: i64,
        rows: &[Vec<(&str, &str)>],
    ) -> Vec<Option<i64>> {
        let dataset = self.catalog.dataset(dataset).expect("the data set is defined").clone();
        let checker = Checker::new(&dataset, self.tables.clone());
        let now = self.clock.now();
        let checked: Vec<catalog::Checked> = rows
            .iter()
            .enumerate()
            .map(|(number, cells)| {
                let mut raw = RawRow { number: number as u64 + 1, cells: vec![None; dataset.fields.len()] };
                for (name, text) in cells {
                    let field =
                        dataset.field(name).unwrap_or_else(|| panic!("{} has no {name}", dataset.code));
                    raw.cells[field] = Some((*text).into());
                }
                let local_no = dataset.person.as_ref().map(|p| p.local_no);
                for (field, definition) in dataset.fields.iter().enumerate() {
                    if definition.required && raw.cells[field].is_none() {
                        let made_up = if Some(field) == local_no {
                            format!("P{identity}")
                        } else {
                            "未填".to_owned()
                        };
                        raw.cells[field] = Some(made_up.into());
                    }
                }
                checker.check(&raw, self.clock.local())
            })
            .collect();
        let institution = InstitutionId::new(institution);
        let index = self.record.index();
        self.db
            .transaction(async |tx| {
                let rows: Vec<FactRow<'_>> = checked
                    .iter()
                    .map(|row| FactRow {
                        checked: row,
                        identity_id: Some(identity),
                        occurred_at: row.values[dataset.occurred].datetime().expect("it happened some time"),
                    })
                    .collect();
                let target = Target { dataset: &dataset, institution, batch: 501, now };
                self.facts.begin_chunk(tx, target).await?;
                let outcomes = self.facts.write(tx, target, &rows).await?;
                let (mut stored, mut ended, mut ids) = (Vec::new(), Vec::new(), Vec::new());
                for (row, outcome) in rows.iter().zip(&outcomes) {
                    let id = match outcome {
                        Outcome::Stored { fact_id } | Outcome::Replaced { fact_id, .. } => {
                            stored.push(StoredFact {
                                fact_id: *fact_id,
                                identity_id: identity,
                                occurred_at: row.occurred_at,
                                values: &row.checked.values,
                            });
                            Some(*fact_id)
                        }
                        _ => None,
                    };
                    if let Outcome::Replaced { fact_id, old_occurred, .. }
                    | Outcome::Withdrawn { fact_id, old_occurred, .. } = outcome
                    {
                        ended.push(EndedFact {
                            fact_id: *fact_id,
                            identity_id: identity,
                            occurred_at: *old_occurred,
                        });
                    }
                    ids.push(id);
                }
                index.index(tx, &dataset, institution, &stored, &ended).await?;
                Ok(ids)
            })
            .await
            .expect("the rows are written")
    }

    /// 张建国's life: hypertension and diabetes, visits with prescriptions, a stay, results, follow-ups, vaccines.
    pub async fn seed_zhang(&self) {
        let w = async |dataset: &str, institution: i64, identity: i64, cells: &[(&str, &str)]| {
            self.write(dataset, institution, identity, cells).await
        };
        w(
            "allergy",
            1,
            11,
            &[
                ("allergy_no", "A1"),
                ("allergen_name", "青霉素"),
                ("severity", "3"),
                ("reaction", "全身皮疹、呼吸困难"),
                ("status", "1"),
                ("recorded_at", "2019-05-02 10:00"),
            ],
        )
        .await;
        w(
            "allergy",
            1,
            11,
            &[
                ("allergy_no", "A2"),
                ("allergen_name", "磺胺"),
                ("status", "2"),
                ("recorded_at", "2018-05-02 10:00"),
            ],
        )
        .await;
        for (i, (day, complaint, systolic, diastolic)) in [
            ("2024-03-08", "头晕 3 天", "168", "98"),
            ("2024-06-11", "复诊取药", "152", "92"),
            ("2024-09-20", "复诊取药", "146", "88"),
            ("2024-12-18", "头晕、口干", "158", "94"),
            ("2025-03-04", "复诊取药", "150", "90"),
            ("2025-05-06", "胸闷 2 天", "162", "96"),
        ]
        .iter()
        .enumerate()
        {
            let visit = format!("V{i}");
            w("outpatient_visit", 2, 12, &[("visit_no", &visit), ("visit_time", &format!("{day} 09:1{i}")), ("visit_kind", "1"), ("department_name", "全科门诊"), ("department_code", "0301"), ("doctor_name", "王秀英"), ("doctor_no", "0012"), ("chief_complaint", complaint), ("present_illness", "患者 8 年前体检发现血压升高，最高 178/102 mmHg，长期口服氨氯地平，血压控制欠佳；近 3 日头晕，无恶心呕吐，无肢体活动障碍，来诊。"), ("systolic", systolic), ("diastolic", diastolic), ("diagnosis_code", "I10.x00x002"), ("diagnosis_name", "高血压"), ("total_fee", "86.40"), ("insurance_fee", "60.00"), ("personal_fee", "26.40")]).await;
            w(
                "visit_diagnosis",
                2,
                12,
                &[
                    ("visit_no", &visit),
                    ("diagnosis_no", "1"),
                    ("diagnosis_kind", "1"),
                    ("diagnosis_code", "I10.x00x002"),
                    ("diagnosis_name", "高血压"),
                    ("diagnosed_at", &format!("{day} 09:20")),
                    ("doctor_name", "王秀英"),
                ],
            )
            .await;
            if i % 2 == 1 {
                w(
                    "visit_diagnosis",
                    2,
                    12,
                    &[
                        ("visit_no", &visit),
                        ("diagnosis_no", "2"),
                        ("diagnosis_code", "E11.900"),
                        ("diagnosis_name", "2型糖尿病"),
                        ("diagnosed_at", &format!("{day} 09:20")),
                        ("doctor_name", "王秀英"),
                    ],
                )
                .await;
            }
            w(
                "prescription",
                2,
                12,
                &[
                    ("prescription_no", &format!("C{i}")),
                    ("visit_no", &visit),
                    ("prescription_kind", "1"),
                    ("prescribed_at", &format!("{day} 09:25")),
                    ("doctor_name", "王秀英"),
                    ("diagnosis_name", "高血压"),
                    ("amount", "54.20"),
                ],
            )
            .await;
            for (n, (drug, spec, dose, unit, frequency)) in [
                ("苯磺酸氨氯地平片", "5mg×28片", "5", "mg", "QD"),
                ("盐酸二甲双胍片", "0.5g×60片", "0.5", "g", "BID"),
                ("阿司匹林肠溶片", "100mg×30片", "100", "mg", "QD"),
            ]
            .iter()
            .enumerate()
            {
                w(
                    "prescription_item",
                    2,
                    12,
                    &[
                        ("prescription_no", &format!("C{i}")),
                        ("item_no", &(n + 1).to_string()),
                        ("visit_no", &visit),
                        ("prescribed_at", &format!("{day} 09:25")),
                        ("drug_name", drug),
                        ("specification", spec),
                        ("dose", dose),
                        ("dose_unit", unit),
                        ("frequency", frequency),
                        ("route", "1"),
                        ("days", "28"),
                        ("quantity", "1"),
                        ("quantity_unit", "盒"),
                        ("unit_price", "18.00"),
                        ("amount", "18.00"),
                    ],
                )
                .await;
            }
            for (n, (class, item, amount)) in [
                ("1", "一般诊疗费", "10.00"),
                ("2", "苯磺酸氨氯地平片", "28.20"),
                ("2", "盐酸二甲双胍片", "26.00"),
                ("3", "空腹血糖", "8.20"),
                ("3", "糖化血红蛋白", "14.00"),
            ]
            .iter()
            .enumerate()
            {
                w(
                    "outpatient_fee_item",
                    2,
                    12,
                    &[
                        ("fee_no", &format!("F{i}{n}")),
                        ("visit_no", &visit),
                        ("charged_at", &format!("{day} 09:40")),
                        ("fee_class", class),
                        ("item_name", item),
                        ("unit_price", amount),
                        ("quantity", "1"),
                        ("amount", amount),
                    ],
                )
                .await;
            }
            let report = format!("L{i}");
            w(
                "lab_report",
                2,
                12,
                &[
                    ("report_no", &report),
                    ("visit_no", &visit),
                    ("report_name", "生化十二项"),
                    ("specimen_name", "血清"),
                    ("reported_at", &format!("{day} 10:30")),
                    ("department_name", "全科门诊"),
                    ("reporter_name", "检验科李"),
                    ("result_flag", "2"),
                    ("conclusion", "血糖、糖化血红蛋白升高"),
                ],
            )
            .await;
            let sugar = ["9.8", "8.6", "7.9", "8.9", "8.2", "9.4"][i];
            let hba1c = ["8.4", "8.0", "7.6", "7.9", "7.4", "8.1"][i];
            let alt = ["38", "42", "36", "78", "51", "40"][i];
            for (n, (name, code, value, unit, low, high)) in [
                ("葡萄糖", "1558-6", sugar, "mmol/L", "3.9", "6.1"),
                ("糖化血红蛋白", "4548-4", hba1c, "%", "4", "6"),
                ("丙氨酸氨基转移酶", "1742-6", alt, "U/L", "9", "50"),
                ("肌酐", "2160-0", "88", "μmol/L", "57", "111"),
                ("总胆固醇", "2093-3", "5.6", "mmol/L", "2.8", "5.18"),
                ("钾", "2823-3", "4.1", "mmol/L", "3.5", "5.3"),
            ]
            .iter()
            .enumerate()
            {
                let v: f64 = value.parse().unwrap();
                let flag = if v > high.parse().unwrap() {
                    "H"
                } else if v < low.parse().unwrap() {
                    "L"
                } else {
                    "N"
                };
                w(
                    "lab_result",
                    2,
                    12,
                    &[
                        ("report_no", &report),
                        ("item_no", &(n + 1).to_string()),
                        ("item_code", code),
                        ("loinc_code", code),
                        ("item_name", name),
                        ("result_text", value),
                        ("result_number", value),
                        ("unit", unit),
                        ("reference_low", low),
                        ("reference_high", high),
                        ("abnormal_flag", flag),
                        ("reported_at", &format!("{day} 10:30")),
                    ],
                )
                .await;
            }
        }
        w(
            "inpatient_stay",
            1,
            11,
            &[
                ("stay_no", "S1"),
                ("admitted_at", "2023-11-02 15:20"),
                ("discharged_at", "2023-11-11 10:00"),
                ("department_name", "神经内科"),
                ("doctor_name", "刘主任"),
                ("diagnosis_code", "I63.900"),
                ("diagnosis_name", "脑梗死"),
                ("days", "9"),
                ("outcome", "2"),
                ("total_fee", "8642.10"),
            ],
        )
        .await;
        w(
            "inpatient_order",
            1,
            11,
            &[
                ("order_no", "O1"),
                ("stay_no", "S1"),
                ("order_term", "1"),
                ("item_kind", "01"),
                ("content", "阿托伐他汀钙片"),
                ("specification", "20mg×7片"),
                ("dose", "20"),
                ("dose_unit", "mg"),
                ("frequency", "QN"),
                ("ordered_at", "2023-11-02 16:00"),
                ("stopped_at", "2023-11-11 09:00"),
                ("doctor_name", "刘主任"),
            ],
        )
        .await;
        w(
            "operation",
            1,
            11,
            &[
                ("operation_no", "OP1"),
                ("stay_no", "S1"),
                ("operation_name", "全脑血管造影术"),
                ("started_at", "2023-11-05 09:00"),
                ("department_name", "神经内科"),
                ("doctor_name", "刘主任"),
            ],
        )
        .await;
        w(
            "discharge_summary",
            1,
            11,
            &[
                ("stay_no", "S1"),
                ("admitted_at", "2023-11-02 15:20"),
                ("discharged_at", "2023-11-11 10:00"),
                ("department_name", "神经内科"),
                ("diagnosis_code", "I63.900"),
                ("diagnosis_name", "脑梗死"),
                ("course", "入院后予抗血小板聚集、调脂稳斑、改善循环等治疗，症状好转。"),
                ("advice", "低盐低脂饮食，规律服药，一月后复诊。"),
                ("outcome", "2"),
            ],
        )
        .await;
        w(
            "exam_report",
            1,
            11,
            &[
                ("report_no", "E1"),
                ("report_name", "头颅MRI平扫"),
                ("body_part", "头颅"),
                ("examined_at", "2023-11-03 08:30"),
                ("reported_at", "2023-11-03 11:00"),
                ("findings", "左侧基底节区见片状长T1长T2信号，DWI呈高信号。"),
                ("conclusion", "左侧基底节区急性脑梗死"),
                ("result_flag", "2"),
                ("department_name", "神经内科"),
            ],
        )
        .await;
        for (i, (day, s, d, result)) in [
            ("2024-02-20", "160", "95", "2"),
            ("2024-05-18", "148", "90", "2"),
            ("2024-08-22", "142", "86", "2"),
            ("2024-11-25", "136", "84", "1"),
            ("2025-02-11", "150", "92", "2"),
        ]
        .iter()
        .enumerate()
        {
            w(
                "hypertension_followup",
                2,
                12,
                &[
                    ("followup_no", &format!("H{i}")),
                    ("followup_on", day),
                    ("way", "1"),
                    ("systolic", s),
                    ("diastolic", d),
                    ("weight", "72.5"),
                    ("result", result),
                    ("doctor_name", "王秀英"),
                    ("drug_1_name", "氨氯地平"),
                    ("next_on", "2025-05-11"),
                ],
            )
            .await;
            w(
                "diabetes_followup",
                2,
                12,
                &[
                    ("followup_no", &format!("D{i}")),
                    ("followup_on", day),
                    ("way", "1"),
                    ("fasting_glucose", ["9.1", "8.2", "7.8", "6.9", "8.4"][i]),
                    ("result", result),
                    ("doctor_name", "王秀英"),
                    ("drug_1_name", "二甲双胍"),
                ],
            )
            .await;
        }
        w(
            "immunization",
            2,
            12,
            &[
                ("immunization_no", "I1"),
                ("vaccine_name", "23价肺炎球菌多糖疫苗"),
                ("dose_no", "1"),
                ("vaccinated_at", "2024-06-15 09:00"),
                ("site", "1"),
                ("batch_no", "202401A05"),
                ("manufacturer", "某生物制品研究所"),
            ],
        )
        .await;
        w(
            "immunization",
            2,
            12,
            &[
                ("immunization_no", "I2"),
                ("vaccine_name", "流感病毒裂解疫苗"),
                ("dose_no", "1"),
                ("vaccinated_at", "2024-10-20 09:30"),
                ("batch_no", "202408B11"),
                ("reaction", "2"),
                ("reaction_text", "低热 37.6℃，一天后自行缓解"),
            ],
        )
        .await;
        w(
            "physical_exam",
            2,
            12,
            &[
                ("exam_no", "T1"),
                ("exam_date", "2024-05-20"),
                ("systolic", "146"),
                ("diastolic", "88"),
                ("bmi", "27.4"),
                ("fasting_glucose", "7.8"),
                ("hbsag", "1"),
                ("conclusion", "2"),
                ("findings", "血压偏高，超重，血糖升高"),
                ("doctor_name", "王秀英"),
            ],
        )
        .await;
        w(
            "report_file",
            1,
            11,
            &[
                ("file_no", "R1"),
                ("kind", "19"),
                ("title", "出院诊断证明书"),
                ("recorded_at", "2023-11-11 10:20"),
                ("doctor_name", "刘主任"),
                ("summary", "诊断：脑梗死。建议休息一个月。"),
            ],
        )
        .await;
    }
}
