//! Reasons for hospital stays.

use crate::imaging::Image;

/// An illness for which people stay in hospital.
#[derive(Debug)]
pub struct Admission {
    /// ICD-10.
    pub code: &'static str,
    /// How common it is among those concerned.
    pub weight: f64,
    /// Ages, first and last.
    pub ages: (i64, i64),
    /// `Some(true)`: women only.
    pub woman: Option<bool>,
    /// Position in [`CHRONIC`] of the disease that leads to it.
    pub of: Option<usize>,
    /// Whether a township centre can do it.
    pub township: bool,
    /// Department in a hospital.
    pub department: &'static str,
    /// Days, least and greatest.
    pub days: (i64, i64),
    /// Procedure: ICD-9-CM-3, level, incision, anaesthesia, price in fen.
    pub operation: Option<(&'static str, &'static str, &'static str, &'static str, i64)>,
    /// Chief complaint.
    pub complaint: &'static str,
    /// How it went.
    pub course: &'static str,
    /// 0 none, 1 fever, 2 by bacteria.
    pub fever: u8,
    /// Medicines.
    pub drugs: &'static [&'static str],
    /// Imaging.
    pub images: &'static [Image],
}

const STAY: Admission = Admission {
    code: "",
    weight: 1.0,
    ages: (18, 100),
    woman: None,
    of: None,
    township: false,
    department: "普通外科",
    days: (5, 10),
    operation: None,
    complaint: "",
    course: "入院后完善相关检查，予对症支持治疗，病情好转。",
    fever: 0,
    drugs: &["D0268"],
    images: &[],
};

/// The reasons for hospital stays.
pub const ADMISSIONS: &[Admission] = &[
    Admission {
        code: "J18.900",
        weight: 5.0,
        ages: (15, 100),
        township: true,
        department: "呼吸与危重症医学科",
        days: (6, 11),
        complaint: "发热、咳嗽、咳痰5天",
        course: "入院后完善胸部CT等检查，予抗感染、祛痰、补液治疗，体温恢复正常，咳嗽咳痰减轻。",
        fever: 2,
        drugs: &["D0018", "D0216", "D0268"],
        images: &[Image::ChestCt],
        ..STAY
    },
    Admission {
        code: "J18.000",
        weight: 9.0,
        ages: (0, 7),
        township: true,
        department: "儿科",
        days: (5, 8),
        complaint: "咳嗽、发热4天",
        course: "予抗感染、雾化、止咳化痰治疗，热退，肺部啰音消失。",
        fever: 2,
        drugs: &["D0017", "D0216", "D0269"],
        images: &[Image::Chest],
        ..STAY
    },
    Admission {
        code: "J44.100",
        weight: 14.0,
        ages: (40, 100),
        of: Some(4),
        township: true,
        department: "呼吸与危重症医学科",
        days: (7, 13),
        complaint: "反复咳嗽、咳痰、气短，加重1周",
        course: "予吸氧、抗感染、平喘、祛痰治疗，气短明显缓解。",
        fever: 2,
        drugs: &["D0018", "D0216", "D0268", "D0203"],
        images: &[Image::ChestCt, Image::Ecg],
        ..STAY
    },
    Admission {
        code: "I20.000",
        weight: 10.0,
        ages: (40, 100),
        of: Some(3),
        department: "心血管内科",
        days: (6, 10),
        operation: Some(("36.0700", "3", "0", "35", 860_000)),
        complaint: "阵发性胸闷、胸痛3天",
        course: "行冠状动脉造影及支架置入术，术后双联抗血小板治疗，胸痛未再发作。",
        drugs: &["D0106", "D0107", "D0112", "D0111"],
        images: &[Image::Ecg, Image::Chest],
        ..STAY
    },
    Admission {
        code: "I63.900",
        weight: 7.0,
        ages: (45, 100),
        of: Some(0),
        department: "神经内科",
        days: (9, 15),
        complaint: "突发右侧肢体无力1天",
        course: "予抗血小板、稳定斑块、改善循环及康复治疗，肢体肌力较前恢复。",
        drugs: &["D0106", "D0112", "D0268"],
        images: &[Image::HeadCt, Image::Ecg],
        ..STAY
    },
    Admission {
        code: "I10.x05",
        weight: 3.0,
        ages: (40, 100),
        of: Some(0),
        township: true,
        department: "心血管内科",
        days: (5, 9),
        complaint: "头晕、血压升高1周",
        course: "调整降压方案，监测血压，血压降至目标范围。",
        drugs: &["D0066", "D0075", "D0083"],
        images: &[Image::Ecg],
        ..STAY
    },
    Admission {
        code: "E11.800",
        weight: 8.0,
        ages: (30, 100),
        of: Some(1),
        department: "内分泌科",
        days: (7, 12),
        complaint: "口干、多饮、血糖控制不佳1月",
        course: "予胰岛素强化降糖、饮食运动指导，筛查并发症，血糖平稳。",
        drugs: &["D0139", "D0118", "D0250"],
        images: &[Image::Ecg],
        ..STAY
    },
    Admission {
        code: "I50.900",
        weight: 6.0,
        ages: (55, 100),
        of: Some(3),
        department: "心血管内科",
        days: (7, 12),
        complaint: "活动后气短、双下肢水肿2周",
        course: "予利尿、扩血管、控制心室率治疗，水肿消退，气短减轻。",
        drugs: &["D0092", "D0093", "D0083"],
        images: &[Image::Ecg, Image::Chest],
        ..STAY
    },
    Admission {
        code: "K35.800",
        weight: 2.0,
        ages: (6, 75),
        days: (5, 8),
        operation: Some(("47.0100", "2", "2", "1", 260_000)),
        complaint: "转移性右下腹痛1天",
        course: "急诊行腹腔镜阑尾切除术，术后抗感染、换药治疗，切口愈合好。",
        fever: 2,
        drugs: &["D0018", "D0268"],
        images: &[Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "K80.000",
        weight: 2.0,
        ages: (25, 90),
        days: (6, 9),
        operation: Some(("51.2300", "3", "2", "1", 420_000)),
        complaint: "右上腹疼痛2天",
        course: "行腹腔镜胆囊切除术，术后恢复顺利。",
        fever: 2,
        drugs: &["D0018", "D0154", "D0268"],
        images: &[Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "K40.900",
        weight: 1.2,
        ages: (30, 85),
        woman: Some(false),
        days: (4, 7),
        operation: Some(("53.0500", "2", "1", "2", 210_000)),
        complaint: "右腹股沟可复性包块1年",
        course: "行无张力疝修补术，术后恢复好。",
        drugs: &["D0268"],
        images: &[Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "S72.000",
        weight: 2.5,
        ages: (60, 100),
        department: "骨科",
        days: (12, 18),
        operation: Some(("81.5200", "4", "1", "2", 980_000)),
        complaint: "摔伤致左髋部疼痛、活动受限1天",
        course: "行人工股骨头置换术，术后抗凝、功能锻炼。",
        drugs: &["D0111", "D0017", "D0182"],
        images: &[Image::Limb, Image::Ecg],
        ..STAY
    },
    Admission {
        code: "S52.500",
        weight: 1.0,
        ages: (8, 90),
        department: "骨科",
        days: (5, 9),
        operation: Some(("79.3200", "3", "1", "31", 380_000)),
        complaint: "摔伤致右腕肿痛1天",
        course: "行切开复位内固定术，术后复查对位良好。",
        drugs: &["D0017", "D0182"],
        images: &[Image::Limb],
        ..STAY
    },
    Admission {
        code: "M51.202",
        weight: 2.5,
        ages: (30, 80),
        township: true,
        department: "骨科",
        days: (7, 12),
        complaint: "腰痛伴左下肢放射痛1月",
        course: "予卧床、脱水、营养神经及理疗，疼痛减轻。",
        drugs: &["D0182", "D0250", "D0145"],
        images: &[Image::LumbarCt],
        ..STAY
    },
    Admission {
        code: "H25.900",
        weight: 2.0,
        ages: (58, 95),
        department: "眼科",
        days: (2, 4),
        operation: Some(("13.4100", "3", "1", "36", 320_000)),
        complaint: "双眼视物模糊2年",
        course: "行白内障超声乳化联合人工晶状体植入术，术后视力改善。",
        drugs: &["D0298"],
        images: &[Image::Ecg],
        ..STAY
    },
    Admission {
        code: "K92.200",
        weight: 1.2,
        ages: (25, 95),
        department: "消化内科",
        days: (5, 9),
        operation: None,
        complaint: "黑便2天",
        course: "予禁食、抑酸、止血、补液治疗，未再出血。",
        drugs: &["D0154", "D0268", "D0269"],
        images: &[Image::Gastroscopy, Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "N20.100",
        weight: 1.3,
        ages: (20, 75),
        department: "泌尿外科",
        days: (4, 7),
        operation: Some(("56.0x00", "3", "0", "2", 360_000)),
        complaint: "左腰部绞痛1天",
        course: "行经尿道输尿管镜碎石取石术，术后疼痛消失。",
        fever: 0,
        drugs: &["D0034", "D0268"],
        images: &[Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "C34.900",
        weight: 0.7,
        ages: (50, 95),
        department: "肿瘤科",
        days: (6, 10),
        complaint: "咳嗽、痰中带血1月",
        course: "完善检查后予化疗及对症支持治疗，过程顺利。",
        drugs: &["D0154", "D0268"],
        images: &[Image::ChestCt, Image::Abdomen],
        ..STAY
    },
    Admission {
        code: "D25.900",
        weight: 1.0,
        ages: (32, 55),
        woman: Some(true),
        department: "妇产科",
        days: (6, 9),
        operation: Some(("68.4900", "3", "2", "2", 390_000)),
        complaint: "月经量增多半年",
        course: "行全子宫切除术，术后恢复顺利。",
        drugs: &["D0017", "D0268"],
        images: &[Image::Pelvis],
        ..STAY
    },
    Admission {
        code: "A09.900",
        weight: 2.0,
        ages: (0, 100),
        township: true,
        department: "消化内科",
        days: (3, 6),
        complaint: "腹泻、呕吐2天",
        course: "予补液、止泻、调节肠道菌群治疗，症状消失。",
        drugs: &["D0164", "D0269", "D0168"],
        images: &[],
        ..STAY
    },
];

/// Deliveries: natural, and by caesarean section.
pub const DELIVERIES: [Admission; 2] = [
    Admission {
        code: "O80.000",
        woman: Some(true),
        department: "妇产科",
        days: (2, 4),
        complaint: "停经39周余，阵发性腹痛3小时",
        course: "产程进展顺利，自然分娩一活婴，产后恢复好。",
        drugs: &["D0277"],
        images: &[Image::Pelvis],
        ..STAY
    },
    Admission {
        code: "O82.000",
        woman: Some(true),
        department: "妇产科",
        days: (4, 6),
        operation: Some(("74.1x00", "3", "2", "2", 280_000)),
        complaint: "停经39周，要求手术终止妊娠",
        course: "行子宫下段剖宫产术，娩一活婴，术后切口愈合好。",
        drugs: &["D0277", "D0017", "D0268"],
        images: &[Image::Pelvis],
        ..STAY
    },
];
