//! Laboratory panels: items, reference ranges and results that follow the state of the patient.

use crate::random::Random;

/// What may be asked of a laboratory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// 血常规
    Blood,
    /// C反应蛋白
    Crp,
    /// 流感抗原
    Flu,
    /// 尿常规
    Urine,
    /// 血糖
    Sugar,
    /// 血脂
    Lipids,
    /// 肝功能
    Liver,
    /// 肾功能
    Kidney,
    /// 电解质
    Electrolytes,
    /// 心肌标志物
    Heart,
    /// 凝血
    Clotting,
    /// 甲状腺功能
    Thyroid,
}

/// What shifts results.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Under 14.
    pub child: bool,
    /// A woman.
    pub woman: bool,
    /// Over 60.
    pub old: bool,
    /// 1 viral, 2 bacterial.
    pub infection: u8,
    /// Diabetes, and how badly controlled (0 none, 1 well … 3 badly).
    pub sugar: u8,
    /// Lipids raised.
    pub lipids: bool,
    /// Influenza.
    pub flu: bool,
    /// Hepatitis.
    pub liver: bool,
    /// Heart muscle hurt.
    pub heart: bool,
    /// Urinary infection.
    pub urinary: bool,
}

/// An item with its range, mean and spread in the healthy.
#[derive(Debug)]
pub struct Item {
    /// Code in `lab_item`.
    pub code: &'static str,
    /// Unit; empty for items that are negative or positive.
    pub unit: &'static str,
    /// Range for men, then for women.
    low: [f64; 2],
    high: [f64; 2],
    mean: f64,
    spread: f64,
    /// Decimals written.
    pub decimals: usize,
}

/// A result.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// As written.
    pub text: String,
    /// Whether it is a number.
    pub number: bool,
    /// Range as written, low and high; empty when there is none.
    pub low: String,
    /// See `low`.
    pub high: String,
    /// Code of `lab_abnormal`.
    pub flag: &'static str,
}

const fn item(
    code: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    mean: f64,
    spread: f64,
    decimals: usize,
) -> Item {
    Item { code, unit, low: [low, low], high: [high, high], mean, spread, decimals }
}

const fn by_sex(
    code: &'static str,
    unit: &'static str,
    men: (f64, f64),
    women: (f64, f64),
    mean: f64,
    spread: f64,
    decimals: usize,
) -> Item {
    Item { code, unit, low: [men.0, women.0], high: [men.1, women.1], mean, spread, decimals }
}

const BLOOD: &[Item] = &[
    item("6690-2", "10^9/L", 3.5, 9.5, 6.3, 1.3, 2),
    by_sex("789-8", "10^12/L", (4.3, 5.8), (3.8, 5.1), 4.7, 0.35, 2),
    by_sex("718-7", "g/L", (130.0, 175.0), (115.0, 150.0), 142.0, 10.0, 0),
    by_sex("4544-3", "%", (40.0, 50.0), (35.0, 45.0), 42.0, 2.4, 1),
    item("787-2", "fL", 82.0, 100.0, 91.0, 3.6, 1),
    item("777-3", "10^9/L", 125.0, 350.0, 225.0, 45.0, 0),
    item("770-8", "%", 40.0, 75.0, 58.0, 6.5, 1),
    item("736-9", "%", 20.0, 50.0, 32.0, 5.5, 1),
];
const CRP: &[Item] = &[item("1988-5", "mg/L", 0.0, 10.0, 3.0, 1.6, 2)];
const FLU: &[Item] = &[item("X-FLUA", "", 0.0, 0.0, 0.0, 0.0, 0), item("X-FLUB", "", 0.0, 0.0, 0.0, 0.0, 0)];
const URINE: &[Item] = &[
    item("5804-0", "", 0.0, 0.0, 0.0, 0.0, 0),
    item("5792-7", "", 0.0, 0.0, 0.0, 0.0, 0),
    item("5811-5", "", 1.003, 1.03, 1.016, 0.004, 3),
    item("5803-2", "", 4.5, 8.0, 6.2, 0.6, 1),
    item("5794-3", "", 0.0, 0.0, 0.0, 0.0, 0),
    item("5799-2", "", 0.0, 0.0, 0.0, 0.0, 0),
];
const SUGAR: &[Item] =
    &[item("14771-0", "mmol/L", 3.9, 6.1, 5.1, 0.4, 2), item("4548-4", "%", 4.0, 6.0, 5.3, 0.3, 1)];
const LIPIDS: &[Item] = &[
    item("14647-2", "mmol/L", 0.0, 5.2, 4.5, 0.6, 2),
    item("14927-8", "mmol/L", 0.0, 1.7, 1.2, 0.35, 2),
    item("14646-4", "mmol/L", 1.0, 2.1, 1.35, 0.2, 2),
    item("39469-2", "mmol/L", 0.0, 3.4, 2.6, 0.5, 2),
];
const LIVER: &[Item] = &[
    by_sex("1742-6", "U/L", (9.0, 50.0), (7.0, 40.0), 22.0, 7.0, 1),
    by_sex("1920-8", "U/L", (15.0, 40.0), (13.0, 35.0), 23.0, 5.0, 1),
    item("14631-6", "µmol/L", 0.0, 26.0, 12.5, 3.8, 1),
    item("1751-7", "g/L", 40.0, 55.0, 45.0, 2.4, 1),
    item("2324-2", "U/L", 7.0, 60.0, 27.0, 10.0, 1),
];
const KIDNEY: &[Item] = &[
    by_sex("14682-9", "µmol/L", (57.0, 97.0), (41.0, 73.0), 68.0, 9.0, 1),
    item("22664-7", "mmol/L", 2.6, 8.0, 5.1, 1.0, 2),
    by_sex("14933-6", "µmol/L", (208.0, 428.0), (155.0, 357.0), 300.0, 55.0, 0),
];
const ELECTROLYTES: &[Item] = &[
    item("2823-3", "mmol/L", 3.5, 5.3, 4.2, 0.32, 2),
    item("2951-2", "mmol/L", 137.0, 147.0, 141.0, 2.0, 1),
    item("2075-0", "mmol/L", 99.0, 110.0, 104.0, 2.1, 1),
    item("2000-8", "mmol/L", 2.11, 2.52, 2.31, 0.07, 2),
];
const HEART: &[Item] = &[
    item("10839-9", "ng/mL", 0.0, 0.04, 0.012, 0.006, 3),
    item("X-CKMB", "U/L", 0.0, 24.0, 12.0, 3.5, 1),
    item("33762-6", "pg/mL", 0.0, 125.0, 60.0, 22.0, 0),
];
const CLOTTING: &[Item] = &[
    item("5902-2", "s", 11.0, 14.5, 12.5, 0.6, 1),
    item("14979-9", "s", 28.0, 42.0, 34.0, 2.5, 1),
    item("3255-7", "g/L", 2.0, 4.0, 2.9, 0.4, 2),
    item("48065-7", "mg/L FEU", 0.0, 0.5, 0.25, 0.09, 2),
];
const THYROID: &[Item] = &[
    item("3016-3", "mIU/L", 0.27, 4.2, 2.1, 0.8, 2),
    item("3024-7", "pmol/L", 12.0, 22.0, 16.5, 1.7, 2),
    item("3051-0", "pmol/L", 3.1, 6.8, 4.9, 0.6, 2),
];

impl Panel {
    /// Every panel.
    pub const ALL: [Panel; 12] = [
        Panel::Blood,
        Panel::Crp,
        Panel::Flu,
        Panel::Urine,
        Panel::Sugar,
        Panel::Lipids,
        Panel::Liver,
        Panel::Kidney,
        Panel::Electrolytes,
        Panel::Heart,
        Panel::Clotting,
        Panel::Thyroid,
    ];

    /// Its name, its specimen and its price in fen.
    #[must_use]
    pub fn about(self) -> (&'static str, &'static str, i64) {
        match self {
            Panel::Blood => ("血常规", "静脉血", 2_000),
            Panel::Crp => ("C反应蛋白测定", "静脉血", 2_500),
            Panel::Flu => ("流感病毒抗原检测", "鼻咽拭子", 6_000),
            Panel::Urine => ("尿常规", "尿液", 1_200),
            Panel::Sugar => ("血糖与糖化血红蛋白", "静脉血", 5_500),
            Panel::Lipids => ("血脂四项", "静脉血", 3_600),
            Panel::Liver => ("肝功能", "静脉血", 4_200),
            Panel::Kidney => ("肾功能", "静脉血", 2_400),
            Panel::Electrolytes => ("电解质", "静脉血", 2_800),
            Panel::Heart => ("心肌标志物", "静脉血", 12_000),
            Panel::Clotting => ("凝血功能", "静脉血", 6_500),
            Panel::Thyroid => ("甲状腺功能三项", "静脉血", 9_000),
        }
    }

    /// Its items.
    #[must_use]
    pub fn items(self) -> &'static [Item] {
        match self {
            Panel::Blood => BLOOD,
            Panel::Crp => CRP,
            Panel::Flu => FLU,
            Panel::Urine => URINE,
            Panel::Sugar => SUGAR,
            Panel::Lipids => LIPIDS,
            Panel::Liver => LIVER,
            Panel::Kidney => KIDNEY,
            Panel::Electrolytes => ELECTROLYTES,
            Panel::Heart => HEART,
            Panel::Clotting => CLOTTING,
            Panel::Thyroid => THYROID,
        }
    }
}

impl Item {
    /// Whether it has a quantity.
    #[must_use]
    pub fn is_quantity(&self) -> bool {
        self.spread > 0.0
    }

    /// A result in a state.
    pub fn result(&self, state: &State, dice: &mut Random) -> Outcome {
        if !self.is_quantity() {
            let chance = match self.code {
                "X-FLUA" if state.flu => 0.8,
                "X-FLUB" if state.flu => 0.12,
                "5792-7" if state.sugar > 1 => 0.5,
                "5804-0" if state.sugar > 1 || state.urinary => 0.3,
                "5799-2" | "5794-3" if state.urinary => 0.85,
                "X-FLUA" | "X-FLUB" => 0.0,
                _ => 0.03,
            };
            let positive = dice.chance(chance);
            return Outcome {
                text: if positive { "阳性（+）" } else { "阴性" }.to_owned(),
                number: false,
                low: String::new(),
                high: String::new(),
                flag: if positive { "A" } else { "N" },
            };
        }
        let mut value = dice.normal(self.mean, self.spread) + self.shift(state, dice);
        let sex = usize::from(state.woman);
        if state.woman && self.low[0] != self.low[1] {
            value -= self.low[0] - self.low[1];
        }
        let unit = 10f64.powi(self.decimals as i32);
        let floor = if self.decimals == 3 { 0.001 } else { 1.0 / unit };
        let value = ((value.max(floor)) * unit).round() / unit;
        let (low, high) = (self.low[sex], self.high[sex]);
        let flag = if value > high * 2.6 && matches!(self.code, "10839-9" | "14771-0" | "2823-3") {
            "HH"
        } else if value > high {
            "H"
        } else if value < low {
            "L"
        } else {
            "N"
        };
        let decimals = self.decimals;
        Outcome {
            text: format!("{value:.decimals$}"),
            number: true,
            low: format!("{low}"),
            high: format!("{high}"),
            flag,
        }
    }

    fn shift(&self, state: &State, dice: &mut Random) -> f64 {
        let bad = f64::from(state.sugar);
        match (self.code, state.infection) {
            ("6690-2", 2) => dice.normal(5.2, 1.8),
            ("6690-2", 1) => -1.1,
            ("770-8", 2) => dice.normal(20.0, 4.0),
            ("736-9", 2) => -15.0,
            ("736-9", 1) => 11.0,
            ("770-8", 1) => -10.0,
            ("1988-5", 2) => dice.normal(42.0, 18.0).max(6.0),
            ("1988-5", 1) => 3.0,
            ("14771-0", _) if state.sugar > 0 => dice.normal(0.6 + 1.3 * bad, 0.7),
            ("4548-4", _) if state.sugar > 0 => dice.normal(0.7 + 0.8 * bad, 0.4),
            ("14647-2" | "39469-2", _) if state.lipids => dice.normal(1.2, 0.4),
            ("14927-8", _) if state.lipids || state.sugar > 1 => dice.normal(0.9, 0.4),
            ("14646-4", _) if state.lipids => -0.25,
            ("1742-6" | "1920-8", _) if state.liver => dice.normal(280.0, 90.0).max(60.0),
            ("14631-6", _) if state.liver => dice.normal(40.0, 12.0),
            ("14682-9" | "22664-7", _) if state.old => self.spread * 0.6,
            ("718-7" | "789-8" | "4544-3", _) if state.old => -self.spread * 0.5,
            ("718-7", _) if state.child => -12.0,
            ("10839-9", _) if state.heart => dice.normal(0.2, 0.1).max(0.02),
            ("33762-6", _) if state.heart => dice.normal(900.0, 350.0).max(80.0),
            ("48065-7", _) if state.old => 0.12,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_follow_the_state() {
        let mut dice = Random::new(5);
        let mut high = |code: &str, state: State| {
            let item = Panel::ALL.iter().flat_map(|p| p.items()).find(|i| i.code == code);
            let Some(item) = item else { panic!("no item {code}") };
            (0..500).filter(|_| item.result(&state, &mut dice).flag.starts_with('H')).count()
        };
        assert!(high("6690-2", State::default()) < 20);
        assert!(high("6690-2", State { infection: 2, ..State::default() }) > 300);
        assert!(high("4548-4", State::default()) < 25);
        assert!(high("4548-4", State { sugar: 2, ..State::default() }) > 400);
        assert!(high("14647-2", State { lipids: true, ..State::default() }) > 250);
    }
}
