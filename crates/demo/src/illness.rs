//! What people fall ill with, by season, age and sex, and what is done about it.

use crate::imaging::Image;
use crate::laboratory::Panel;

/// When in the year an illness comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// Any time.
    Always,
    /// Cold months.
    Winter,
    /// Warm months.
    Summer,
    /// Early summer and autumn.
    Children,
}

impl Season {
    /// How much commoner than on average it is in a month (1 to 12).
    #[must_use]
    pub fn weight(self, month: u32) -> f64 {
        let month = (month as usize + 11) % 12;
        match self {
            Season::Always => 1.0,
            Season::Winter => [2.4, 1.9, 1.2, 0.8, 0.5, 0.3, 0.3, 0.3, 0.4, 0.7, 1.2, 2.0][month],
            Season::Summer => [0.4, 0.4, 0.6, 0.8, 1.1, 1.6, 2.1, 2.0, 1.4, 0.8, 0.5, 0.3][month],
            Season::Children => [0.2, 0.2, 0.5, 1.4, 2.5, 2.6, 1.3, 0.6, 0.9, 1.1, 0.5, 0.2][month],
        }
    }
}

/// An illness for which people see a doctor.
#[derive(Debug)]
pub struct Ailment {
    /// ICD-10.
    pub code: &'static str,
    /// How common it is among those concerned.
    pub weight: f64,
    /// Ages, first and last.
    pub ages: (i64, i64),
    /// `Some(true)`: women only.
    pub woman: Option<bool>,
    /// Season.
    pub season: Season,
    /// 0 a village clinic will do, 1 a township centre, 2 a hospital.
    pub level: u8,
    /// Department in a hospital and in a township centre.
    pub departments: [&'static str; 2],
    /// Chief complaint; `{}` is the time it has lasted.
    pub complaint: &'static str,
    /// What the doctor finds.
    pub findings: &'static str,
    /// Advice.
    pub advice: &'static str,
    /// 0 none, 1 fever, 2 fever by bacteria.
    pub fever: u8,
    /// Medicines of which some are given.
    pub drugs: &'static [&'static str],
    /// Laboratory panels that may be asked for.
    pub panels: &'static [Panel],
    /// Imaging that may be asked for.
    pub image: Option<Image>,
    /// Code in `notifiable_disease` if it must be reported.
    pub notifiable: Option<&'static str>,
}

const NONE: Ailment = Ailment {
    code: "",
    weight: 1.0,
    ages: (0, 120),
    woman: None,
    season: Season::Always,
    level: 0,
    departments: ["急诊科", "内科"],
    complaint: "",
    findings: "一般情况可，心肺听诊未见明显异常，腹软无压痛。",
    advice: "注意休息，规律用药，不适随诊。",
    fever: 0,
    drugs: &[],
    panels: &[],
    image: None,
    notifiable: None,
};

const BREATH: [&str; 2] = ["呼吸与危重症医学科", "内科"];
const GUT: [&str; 2] = ["消化内科", "内科"];
const BONE: [&str; 2] = ["骨科", "外科"];
const SKIN: [&str; 2] = ["皮肤科", "外科"];
const WOMEN: [&str; 2] = ["妇产科", "妇产科"];
const SURGERY: [&str; 2] = ["普通外科", "外科"];
const CHILDREN: [&str; 2] = ["儿科", "儿科"];

/// The acute illnesses.
pub const AILMENTS: &[Ailment] = &[
    Ailment {
        code: "J06.900",
        weight: 22.0,
        season: Season::Winter,
        departments: BREATH,
        complaint: "咽痛、流涕、咳嗽{}",
        findings: "咽部充血，双肺呼吸音清，未闻及干湿啰音。",
        fever: 1,
        drugs: &["D0308", "D0309", "D0001", "D0194", "D0214"],
        panels: &[Panel::Blood, Panel::Crp],
        ..NONE
    },
    Ailment {
        code: "J00.x00",
        weight: 10.0,
        season: Season::Winter,
        departments: BREATH,
        complaint: "鼻塞、流清涕{}",
        findings: "鼻黏膜充血，咽稍红，双肺呼吸音清。",
        drugs: &["D0308", "D0194", "D0309"],
        ..NONE
    },
    Ailment {
        code: "J02.900",
        weight: 6.0,
        season: Season::Winter,
        departments: ["耳鼻喉科", "内科"],
        complaint: "咽痛、咽干{}",
        findings: "咽部充血，咽后壁淋巴滤泡增生。",
        drugs: &["D0001", "D0311"],
        ..NONE
    },
    Ailment {
        code: "J03.900",
        weight: 5.0,
        ages: (2, 45),
        season: Season::Winter,
        level: 1,
        departments: ["耳鼻喉科", "内科"],
        complaint: "咽痛伴发热{}",
        findings: "双侧扁桃体Ⅱ度肿大，表面可见脓点。",
        fever: 2,
        drugs: &["D0011", "D0024", "D0178", "D0311"],
        panels: &[Panel::Blood, Panel::Crp],
        ..NONE
    },
    Ailment {
        code: "J20.900",
        weight: 9.0,
        season: Season::Winter,
        departments: BREATH,
        complaint: "咳嗽、咳痰{}",
        findings: "双肺呼吸音粗，可闻及散在干啰音。",
        fever: 2,
        drugs: &["D0009", "D0214", "D0314", "D0203"],
        panels: &[Panel::Blood, Panel::Crp],
        image: Some(Image::Chest),
        ..NONE
    },
    Ailment {
        code: "J11.100",
        weight: 5.0,
        season: Season::Winter,
        level: 1,
        departments: BREATH,
        complaint: "发热、全身酸痛{}",
        findings: "急性热病容，咽充血，双肺呼吸音粗。",
        advice: "居家隔离，多饮水，持续高热及时就诊。",
        fever: 1,
        drugs: &["D0055", "D0178", "D0308"],
        panels: &[Panel::Blood, Panel::Flu],
        notifiable: Some("3500"),
        ..NONE
    },
    Ailment {
        code: "J18.900",
        weight: 2.0,
        season: Season::Winter,
        level: 2,
        departments: BREATH,
        complaint: "发热、咳嗽、咳黄痰{}",
        findings: "右下肺可闻及湿啰音。",
        fever: 2,
        drugs: &["D0034", "D0214", "D0017"],
        panels: &[Panel::Blood, Panel::Crp, Panel::Liver],
        image: Some(Image::ChestCt),
        ..NONE
    },
    Ailment {
        code: "J18.000",
        weight: 4.0,
        ages: (0, 8),
        season: Season::Winter,
        level: 1,
        departments: CHILDREN,
        complaint: "咳嗽、气促、发热{}",
        findings: "呼吸稍促，双肺可闻及中细湿啰音。",
        fever: 2,
        drugs: &["D0025", "D0014", "D0178"],
        panels: &[Panel::Blood, Panel::Crp],
        image: Some(Image::Chest),
        ..NONE
    },
    Ailment {
        code: "B08.400",
        weight: 6.0,
        ages: (0, 6),
        season: Season::Children,
        level: 1,
        departments: CHILDREN,
        complaint: "手足皮疹、口腔疱疹{}",
        findings: "手掌、足底散在红色斑丘疹及疱疹，口腔黏膜见疱疹。",
        advice: "居家隔离14天，注意精神反应，高热不退或抽搐立即就诊。",
        fever: 1,
        drugs: &["D0178", "D0313"],
        panels: &[Panel::Blood],
        notifiable: Some("4000"),
        ..NONE
    },
    Ailment {
        code: "B08.500",
        weight: 4.0,
        ages: (0, 8),
        season: Season::Children,
        departments: CHILDREN,
        complaint: "发热、流涎、拒食{}",
        findings: "咽峡部可见数个灰白色疱疹。",
        fever: 1,
        drugs: &["D0178", "D0313"],
        panels: &[Panel::Blood],
        ..NONE
    },
    Ailment {
        code: "A09.900",
        weight: 7.0,
        season: Season::Summer,
        departments: GUT,
        complaint: "腹泻、腹痛{}",
        findings: "脐周轻压痛，无反跳痛，肠鸣音活跃。",
        advice: "清淡饮食，注意补液。",
        drugs: &["D0164", "D0166", "D0168"],
        panels: &[Panel::Blood],
        ..NONE
    },
    Ailment {
        code: "A09.000",
        weight: 2.0,
        season: Season::Summer,
        level: 1,
        departments: ["感染性疾病科", "内科"],
        complaint: "腹泻、发热{}",
        findings: "皮肤弹性稍差，脐周压痛，肠鸣音亢进。",
        fever: 2,
        drugs: &["D0034", "D0164", "D0166"],
        panels: &[Panel::Blood, Panel::Electrolytes],
        notifiable: Some("3900"),
        ..NONE
    },
    Ailment {
        code: "K29.700",
        weight: 6.0,
        ages: (15, 100),
        departments: GUT,
        complaint: "上腹部胀痛、反酸{}",
        findings: "上腹部轻压痛，无反跳痛。",
        advice: "规律饮食，忌辛辣刺激。",
        drugs: &["D0150", "D0157", "D0159"],
        panels: &[Panel::Blood],
        image: Some(Image::Gastroscopy),
        ..NONE
    },
    Ailment {
        code: "K21.900",
        weight: 2.0,
        ages: (25, 90),
        level: 1,
        departments: GUT,
        complaint: "烧心、反酸{}",
        drugs: &["D0150", "D0159"],
        image: Some(Image::Gastroscopy),
        ..NONE
    },
    Ailment {
        code: "M54.500",
        weight: 5.0,
        ages: (25, 95),
        departments: BONE,
        complaint: "腰痛{}",
        findings: "腰椎棘突旁压痛，直腿抬高试验阴性。",
        advice: "避免久坐弯腰，局部热敷。",
        drugs: &["D0177", "D0250"],
        ..NONE
    },
    Ailment {
        code: "M17.900",
        weight: 4.0,
        ages: (48, 95),
        departments: BONE,
        complaint: "双膝关节疼痛{}",
        findings: "双膝关节活动弹响，局部压痛。",
        drugs: &["D0182", "D0177"],
        image: Some(Image::Limb),
        ..NONE
    },
    Ailment {
        code: "M51.202",
        weight: 2.5,
        ages: (28, 80),
        level: 1,
        departments: BONE,
        complaint: "腰痛伴左下肢放射痛{}",
        findings: "左直腿抬高试验50°阳性。",
        drugs: &["D0182", "D0250"],
        image: Some(Image::LumbarCt),
        ..NONE
    },
    Ailment {
        code: "N39.000",
        weight: 3.0,
        ages: (15, 95),
        woman: Some(true),
        departments: ["肾内科", "内科"],
        complaint: "尿频、尿急、尿痛{}",
        findings: "双肾区无叩痛，耻骨上轻压痛。",
        fever: 2,
        drugs: &["D0034", "D0011"],
        panels: &[Panel::Urine, Panel::Blood],
        ..NONE
    },
    Ailment {
        code: "L30.900",
        weight: 3.5,
        season: Season::Summer,
        departments: SKIN,
        complaint: "皮肤瘙痒、皮疹{}",
        findings: "躯干四肢散在红斑丘疹，可见抓痕。",
        drugs: &["D0195", "D0291"],
        ..NONE
    },
    Ailment {
        code: "L50.900",
        weight: 2.5,
        departments: SKIN,
        complaint: "全身风团、瘙痒{}",
        findings: "躯干四肢散在风团，划痕症阳性。",
        drugs: &["D0195"],
        ..NONE
    },
    Ailment {
        code: "K04.000",
        weight: 3.0,
        ages: (6, 90),
        level: 1,
        departments: ["口腔科", "口腔科"],
        complaint: "牙痛{}",
        findings: "患牙深龋，探痛明显，叩痛（±）。",
        advice: "择期根管治疗。",
        drugs: &["D0038", "D0177"],
        ..NONE
    },
    Ailment {
        code: "H10.300",
        weight: 2.0,
        season: Season::Summer,
        departments: ["眼科", "内科"],
        complaint: "眼红、分泌物增多{}",
        findings: "双眼结膜充血，可见黏性分泌物。",
        drugs: &["D0298"],
        ..NONE
    },
    Ailment {
        code: "J30.400",
        weight: 2.5,
        level: 1,
        departments: ["耳鼻喉科", "内科"],
        complaint: "阵发性喷嚏、流清涕{}",
        findings: "鼻黏膜苍白水肿，可见清水样分泌物。",
        drugs: &["D0195"],
        ..NONE
    },
    Ailment {
        code: "R42.x00",
        weight: 3.0,
        ages: (35, 95),
        departments: ["神经内科", "内科"],
        complaint: "头晕{}",
        findings: "神志清，四肢肌力肌张力正常，病理征未引出。",
        drugs: &["D0251"],
        panels: &[Panel::Blood, Panel::Sugar],
        image: Some(Image::HeadCt),
        ..NONE
    },
    Ailment {
        code: "R51.x00",
        weight: 2.5,
        ages: (12, 90),
        departments: ["神经内科", "内科"],
        complaint: "头痛{}",
        drugs: &["D0177"],
        image: Some(Image::HeadCt),
        ..NONE
    },
    Ailment {
        code: "G47.000",
        weight: 2.5,
        ages: (30, 95),
        departments: ["精神心理科", "内科"],
        complaint: "入睡困难、早醒{}",
        drugs: &["D0225"],
        ..NONE
    },
    Ailment {
        code: "T14.100",
        weight: 2.5,
        departments: ["急诊科", "外科"],
        complaint: "外伤后皮肤裂伤出血{}",
        findings: "创口长约2cm，边缘整齐，少量渗血。",
        advice: "隔日换药，7天后拆线。",
        drugs: &["D0009", "D0287"],
        ..NONE
    },
    Ailment {
        code: "S93.400",
        weight: 2.0,
        ages: (8, 80),
        level: 1,
        departments: BONE,
        complaint: "扭伤后踝部肿痛{}",
        findings: "外踝肿胀、压痛，活动受限。",
        drugs: &["D0177"],
        image: Some(Image::Limb),
        ..NONE
    },
    Ailment {
        code: "L08.900",
        weight: 1.5,
        season: Season::Summer,
        departments: SURGERY,
        complaint: "局部皮肤红肿疼痛{}",
        fever: 2,
        drugs: &["D0009", "D0287"],
        panels: &[Panel::Blood],
        ..NONE
    },
    Ailment {
        code: "K30.x00",
        weight: 3.0,
        departments: GUT,
        complaint: "食欲不振、腹胀{}",
        drugs: &["D0159", "D0168"],
        ..NONE
    },
    Ailment {
        code: "H66.900",
        weight: 1.2,
        ages: (1, 14),
        season: Season::Winter,
        level: 1,
        departments: ["耳鼻喉科", "儿科"],
        complaint: "耳痛、发热{}",
        fever: 2,
        drugs: &["D0012", "D0178"],
        panels: &[Panel::Blood],
        ..NONE
    },
    Ailment {
        code: "N76.000",
        weight: 3.0,
        ages: (18, 60),
        woman: Some(true),
        level: 1,
        departments: WOMEN,
        complaint: "白带增多、外阴瘙痒{}",
        findings: "阴道黏膜充血，分泌物增多。",
        drugs: &["D0283", "D0038"],
        panels: &[Panel::Urine],
        ..NONE
    },
    Ailment {
        code: "N94.600",
        weight: 1.5,
        ages: (14, 45),
        woman: Some(true),
        departments: WOMEN,
        complaint: "经期下腹痛{}",
        drugs: &["D0177"],
        image: Some(Image::Pelvis),
        ..NONE
    },
    Ailment {
        code: "B02.900",
        weight: 1.0,
        ages: (40, 95),
        level: 1,
        departments: SKIN,
        complaint: "左胸背部疱疹伴疼痛{}",
        findings: "左胸背部沿肋间神经分布簇集水疱。",
        drugs: &["D0052", "D0250"],
        ..NONE
    },
    Ailment {
        code: "B26.900",
        weight: 0.5,
        ages: (3, 15),
        season: Season::Children,
        level: 1,
        departments: CHILDREN,
        complaint: "双侧腮腺肿痛{}",
        findings: "双侧腮腺肿大，触痛，导管口红肿。",
        fever: 1,
        drugs: &["D0309", "D0178"],
        panels: &[Panel::Blood],
        notifiable: Some("3600"),
        ..NONE
    },
    Ailment {
        code: "B01.900",
        weight: 0.8,
        ages: (1, 20),
        season: Season::Winter,
        level: 1,
        departments: CHILDREN,
        complaint: "全身水疱样皮疹{}",
        findings: "头面躯干可见斑疹、丘疹、水疱并存。",
        fever: 1,
        drugs: &["D0052", "D0195"],
        panels: &[Panel::Blood],
        notifiable: Some("M-B01"),
        ..NONE
    },
    Ailment {
        code: "A38.x00",
        weight: 0.3,
        ages: (3, 12),
        season: Season::Winter,
        level: 2,
        departments: CHILDREN,
        complaint: "发热、皮疹、咽痛{}",
        findings: "全身弥漫性充血性皮疹，草莓舌。",
        fever: 2,
        drugs: &["D0014", "D0178"],
        panels: &[Panel::Blood, Panel::Crp],
        notifiable: Some("1400"),
        ..NONE
    },
    Ailment {
        code: "A15.000",
        weight: 0.08,
        ages: (18, 90),
        level: 2,
        departments: ["感染性疾病科", "内科"],
        complaint: "咳嗽、咳痰、盗汗{}",
        findings: "右上肺呼吸音低，可闻及少许湿啰音。",
        advice: "转结核病定点医院规范抗结核治疗。",
        drugs: &["D0044", "D0045"],
        panels: &[Panel::Blood, Panel::Liver],
        image: Some(Image::ChestCt),
        notifiable: Some("2606"),
        ..NONE
    },
    Ailment {
        code: "B16.900",
        weight: 0.06,
        ages: (18, 70),
        level: 2,
        departments: ["感染性疾病科", "内科"],
        complaint: "乏力、纳差、尿黄{}",
        findings: "皮肤巩膜轻度黄染，肝区叩痛。",
        panels: &[Panel::Liver, Panel::Blood],
        notifiable: Some("0302"),
        image: Some(Image::Abdomen),
        ..NONE
    },
];

/// A disease that stays.
#[derive(Debug)]
pub struct Chronic {
    /// ICD-10.
    pub code: &'static str,
    /// Share who have it, by age: under 35, 35, 45, 55, 65, 75 and over.
    pub shares: [f64; 6],
    /// How much likelier men have it.
    pub men: f64,
    /// Department in a hospital and in a township centre.
    pub departments: [&'static str; 2],
    /// Chief complaint.
    pub complaint: &'static str,
    /// Medicines, of which the first one or two are taken always.
    pub drugs: &'static [&'static str],
    /// Laboratory panels at check-ups.
    pub panels: &'static [Panel],
    /// Imaging at check-ups.
    pub image: Option<Image>,
    /// Visits a year for medicines.
    pub visits: f64,
}

/// High blood pressure.
pub const HYPERTENSION: usize = 0;
/// Diabetes.
pub const DIABETES: usize = 1;

/// The chronic diseases; the first two have follow-ups of their own.
pub const CHRONIC: &[Chronic] = &[
    Chronic {
        code: "I10.x00x002",
        shares: [0.015, 0.10, 0.22, 0.38, 0.52, 0.60],
        men: 1.1,
        departments: ["心血管内科", "内科"],
        complaint: "发现血压升高{}年，复诊取药",
        drugs: &["D0062", "D0077", "D0065", "D0072", "D0083", "D0089"],
        panels: &[Panel::Kidney, Panel::Lipids],
        image: Some(Image::Ecg),
        visits: 1.8,
    },
    Chronic {
        code: "E11.900",
        shares: [0.006, 0.05, 0.10, 0.15, 0.20, 0.21],
        men: 1.1,
        departments: ["内分泌科", "内科"],
        complaint: "血糖升高{}年，复诊取药",
        drugs: &["D0118", "D0125", "D0120", "D0131", "D0139"],
        panels: &[Panel::Sugar, Panel::Lipids, Panel::Urine],
        image: None,
        visits: 2.3,
    },
    Chronic {
        code: "E78.500",
        shares: [0.005, 0.03, 0.06, 0.08, 0.08, 0.06],
        men: 1.2,
        departments: ["心血管内科", "内科"],
        complaint: "血脂升高{}年，复查",
        drugs: &["D0112", "D0113"],
        panels: &[Panel::Lipids, Panel::Liver],
        image: None,
        visits: 0.9,
    },
    Chronic {
        code: "I25.100",
        shares: [0.0, 0.006, 0.02, 0.05, 0.10, 0.15],
        men: 1.4,
        departments: ["心血管内科", "内科"],
        complaint: "间断胸闷{}年，复诊",
        drugs: &["D0106", "D0112", "D0100", "D0083", "D0324"],
        panels: &[Panel::Heart, Panel::Lipids],
        image: Some(Image::Ecg),
        visits: 1.8,
    },
    Chronic {
        code: "J44.900",
        shares: [0.0, 0.01, 0.025, 0.05, 0.09, 0.11],
        men: 2.2,
        departments: ["呼吸与危重症医学科", "内科"],
        complaint: "反复咳嗽、咳痰、气短{}年",
        drugs: &["D0209", "D0203", "D0205", "D0214"],
        panels: &[Panel::Blood],
        image: Some(Image::Chest),
        visits: 1.8,
    },
    Chronic {
        code: "I69.300",
        shares: [0.0, 0.003, 0.01, 0.03, 0.06, 0.09],
        men: 1.3,
        departments: ["神经内科", "内科"],
        complaint: "脑梗死后肢体活动不灵{}年",
        drugs: &["D0106", "D0112", "D0107"],
        panels: &[Panel::Lipids, Panel::Sugar],
        image: Some(Image::HeadCt),
        visits: 1.6,
    },
    Chronic {
        code: "K29.500",
        shares: [0.01, 0.03, 0.05, 0.06, 0.06, 0.05],
        men: 1.0,
        departments: ["消化内科", "内科"],
        complaint: "间断上腹不适{}年",
        drugs: &["D0150", "D0159"],
        panels: &[],
        image: Some(Image::Gastroscopy),
        visits: 0.9,
    },
    Chronic {
        code: "E04.100",
        shares: [0.004, 0.02, 0.03, 0.04, 0.04, 0.03],
        men: 0.4,
        departments: ["内分泌科", "内科"],
        complaint: "发现甲状腺结节{}年，复查",
        drugs: &[],
        panels: &[Panel::Thyroid],
        image: Some(Image::Thyroid),
        visits: 0.7,
    },
];

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
