//! Diseases that stay.

use crate::imaging::Image;
use crate::laboratory::Panel;

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
