//! Examinations with a report in words.

/// What may be examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// 心电图
    Ecg,
    /// 胸部X线
    Chest,
    /// 胸部CT
    ChestCt,
    /// 颅脑CT
    HeadCt,
    /// 腰椎CT
    LumbarCt,
    /// 四肢X线
    Limb,
    /// 腹部超声
    Abdomen,
    /// 妇科或产科超声
    Pelvis,
    /// 甲状腺超声
    Thyroid,
    /// 胃镜
    Gastroscopy,
}

/// What a report says: findings and conclusion.
pub type Words = (&'static str, &'static str);

/// All about an examination.
#[derive(Debug)]
pub struct About {
    /// Code of `exam_kind`.
    pub kind: &'static str,
    /// Name.
    pub name: &'static str,
    /// Part of the body.
    pub part: &'static str,
    /// Price in fen.
    pub price: i64,
    /// Whether a township centre has it.
    pub township: bool,
    /// When nothing is found.
    pub normal: Words,
    /// When something is.
    pub abnormal: &'static [Words],
}

impl Image {
    /// All about it.
    #[must_use]
    pub fn about(self) -> &'static About {
        match self {
            Image::Ecg => &About {
                kind: "ECG",
                name: "十二导联心电图",
                part: "心脏",
                price: 2_500,
                township: true,
                normal: (
                    "窦性心律，心率72次/分，P-R间期、QRS时限正常，ST-T未见异常。",
                    "窦性心律，正常心电图",
                ),
                abnormal: &[
                    ("窦性心律，Ⅱ、Ⅲ、aVF导联ST段压低0.05mV，T波低平。", "窦性心律，ST-T改变"),
                    ("窦性心律，可见提前出现的宽大畸形QRS波，其后代偿间歇完全。", "窦性心律，偶发室性早搏"),
                    ("窦性心律，RV5+SV1大于4.0mV。", "窦性心律，左室高电压"),
                ],
            },
            Image::Chest => &About {
                kind: "DX",
                name: "胸部正位片",
                part: "胸部",
                price: 5_600,
                township: true,
                normal: ("双肺纹理清晰，肺门不大，心影大小形态正常，双膈面光整。", "心肺膈未见明显异常"),
                abnormal: &[
                    ("双肺纹理增多、增粗，右下肺可见斑片状模糊影。", "右下肺炎症"),
                    ("双肺透亮度增高，肋间隙增宽，膈肌低平。", "慢性支气管炎、肺气肿征象"),
                ],
            },
            Image::ChestCt => &About {
                kind: "CT",
                name: "胸部CT平扫",
                part: "胸部",
                price: 24_000,
                township: false,
                normal: ("双肺野清晰，未见实变影，纵隔内未见肿大淋巴结。", "胸部CT平扫未见明显异常"),
                abnormal: &[
                    (
                        "右肺下叶可见斑片状实变影，边缘模糊，内见支气管充气征。",
                        "右肺下叶炎症，建议治疗后复查",
                    ),
                    ("双肺可见多发小结节，较大者直径约5mm。", "双肺多发小结节，建议年度随访"),
                    ("双肺透亮度增高，可见肺大疱。", "肺气肿，双肺肺大疱"),
                ],
            },
            Image::HeadCt => &About {
                kind: "CT",
                name: "颅脑CT平扫",
                part: "头部",
                price: 21_000,
                township: false,
                normal: ("脑实质密度未见异常，脑室系统不大，中线结构居中。", "颅脑CT平扫未见明显异常"),
                abnormal: &[
                    ("左侧基底节区可见斑片状低密度影，边界欠清。", "左侧基底节区脑梗死"),
                    ("双侧侧脑室旁可见斑点状低密度影，脑沟增宽。", "腔隙性脑梗死，老年性脑改变"),
                ],
            },
            Image::LumbarCt => &About {
                kind: "CT",
                name: "腰椎间盘CT平扫",
                part: "腰椎",
                price: 22_000,
                township: false,
                normal: ("腰椎序列正常，各椎间盘未见膨出或突出。", "腰椎CT平扫未见明显异常"),
                abnormal: &[
                    ("L4/5、L5/S1椎间盘向后突出，硬膜囊受压。", "L4/5、L5/S1椎间盘突出"),
                    ("腰椎骨质增生，L4/5椎间盘膨出。", "腰椎退行性变，L4/5椎间盘膨出"),
                ],
            },
            Image::Limb => &About {
                kind: "DX",
                name: "四肢关节正侧位片",
                part: "四肢",
                price: 6_200,
                township: true,
                normal: ("所见骨质结构完整，关节间隙正常。", "未见明显骨折征象"),
                abnormal: &[
                    ("关节边缘骨质增生，关节间隙变窄。", "退行性骨关节病"),
                    ("可见骨皮质连续性中断，断端轻度移位。", "骨折"),
                ],
            },
            Image::Abdomen => &About {
                kind: "US",
                name: "腹部彩色超声",
                part: "上腹部",
                price: 9_800,
                township: true,
                normal: (
                    "肝脏大小形态正常，回声均匀；胆囊壁光滑；胰、脾、双肾未见异常。",
                    "肝胆胰脾双肾未见明显异常",
                ),
                abnormal: &[
                    ("肝脏回声细密增强，后方衰减。", "脂肪肝"),
                    ("胆囊内可见强回声光团，后伴声影，随体位移动。", "胆囊结石"),
                    ("左肾集合系统可见强回声，后伴声影。", "左肾结石"),
                ],
            },
            Image::Pelvis => &About {
                kind: "US",
                name: "妇产科彩色超声",
                part: "盆腔",
                price: 11_000,
                township: true,
                normal: ("子宫大小形态正常，内膜居中，双侧附件区未见异常。", "子宫附件未见明显异常"),
                abnormal: &[
                    ("子宫肌层内可见低回声结节，边界清。", "子宫肌瘤"),
                    ("宫内可见一胎儿，胎心率142次/分，羊水适量。", "宫内单活胎"),
                ],
            },
            Image::Thyroid => &About {
                kind: "US",
                name: "甲状腺彩色超声",
                part: "甲状腺",
                price: 9_000,
                township: false,
                normal: ("甲状腺大小形态正常，回声均匀。", "甲状腺未见明显异常"),
                abnormal: &[(
                    "甲状腺右叶可见低回声结节，大小约6mm×4mm，边界清，形态规则。",
                    "甲状腺右叶结节，TI-RADS 3类",
                )],
            },
            Image::Gastroscopy => &About {
                kind: "ES",
                name: "电子胃镜检查",
                part: "胃",
                price: 32_000,
                township: false,
                normal: ("食管黏膜光滑，胃底、胃体、胃窦黏膜未见异常，幽门圆。", "胃镜检查未见明显异常"),
                abnormal: &[
                    ("胃窦黏膜红白相间，以红为主，散在糜烂。", "慢性非萎缩性胃炎伴糜烂"),
                    ("胃窦小弯可见0.6cm溃疡，覆白苔，周围黏膜充血。", "胃溃疡（A1期）"),
                ],
            },
        }
    }

    /// Whether the charge is of imaging on the front page (an electrocardiogram is not).
    #[must_use]
    pub fn is_imaging(self) -> bool {
        !matches!(self, Image::Ecg | Image::Gastroscopy)
    }
}
