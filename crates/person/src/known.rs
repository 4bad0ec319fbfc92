//! What is known of a patient, pure: what a row changes, and whose a citizen number is.

use chrono::NaiveDate;
use contracts::Demographics;
use kernel::RegionCode;
use standards::CitizenId;
use standards::width::fold_char;

/// The code of an unknown sex (GB/T 2261.1).
pub const SEX_UNKNOWN: &str = "0";

/// The content of an identity record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Name.
    pub name: String,
    /// Sex code; `0` where nobody said.
    pub sex: String,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// Kind of credential.
    pub credential_kind: String,
    /// Its number, as it came.
    pub credential_no: String,
    /// The credential, when it is a valid citizen number, in 18 characters.
    pub citizen_id: Option<String>,
    /// Card number.
    pub card_no: String,
    /// Telephone.
    pub phone: String,
    /// Address.
    pub address: String,
    /// Division of the address.
    pub region: String,
    /// ABO blood group.
    pub blood_abo: String,
    /// Rh blood group.
    pub blood_rh: String,
    /// Ethnicity (GB 3304).
    pub ethnicity: String,
    /// Name of the contact.
    pub contact_name: String,
    /// What the contact is to the patient (GB/T 4761).
    pub contact_relation: String,
    /// Telephone of the contact.
    pub contact_phone: String,
    /// Date of death.
    pub died_on: Option<NaiveDate>,
    /// Whether the institution registered the patient; otherwise only facts name the local number.
    pub registered: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            name: String::new(),
            sex: SEX_UNKNOWN.to_owned(),
            birth_date: None,
            credential_kind: String::new(),
            credential_no: String::new(),
            citizen_id: None,
            card_no: String::new(),
            phone: String::new(),
            address: String::new(),
            region: RegionCode::NATION.as_str().to_owned(),
            blood_abo: String::new(),
            blood_rh: String::new(),
            ethnicity: String::new(),
            contact_name: String::new(),
            contact_relation: String::new(),
            contact_phone: String::new(),
            died_on: None,
            registered: false,
        }
    }
}

impl Known {
    /// Takes in what a row says: a registration replaces everything; any other row fills what is empty, and only
    /// as long as there was no registration. A death is taken from whatever row tells of it. A withdrawn row takes back
    /// what rows of its kind say.
    pub fn apply(&mut self, row: &Demographics) {
        if row.withdrawn {
            if row.registration {
                *self = Known { died_on: self.died_on, ..Known::default() };
            } else if row.died_on.is_some() {
                self.died_on = None;
            }
            return;
        }
        let died_on = row.died_on.or(self.died_on);
        self.say(row);
        self.died_on = died_on;
    }

    fn say(&mut self, row: &Demographics) {
        if row.registration {
            *self = Known {
                name: row.name.clone(),
                sex: if row.sex.is_empty() { SEX_UNKNOWN.to_owned() } else { row.sex.clone() },
                birth_date: row.birth_date,
                credential_kind: row.credential_kind.clone(),
                credential_no: row.credential_no.clone(),
                citizen_id: citizen_id(&row.credential_kind, &row.credential_no),
                card_no: row.card_no.clone(),
                phone: row.phone.clone(),
                address: row.address.clone(),
                region: region(&row.region).unwrap_or(RegionCode::NATION).as_str().to_owned(),
                blood_abo: row.blood_abo.clone(),
                blood_rh: row.blood_rh.clone(),
                ethnicity: row.ethnicity.clone(),
                contact_name: row.contact_name.clone(),
                contact_relation: row.contact_relation.clone(),
                contact_phone: row.contact_phone.clone(),
                died_on: None,
                registered: true,
            };
            return;
        }
        if self.registered {
            return;
        }
        fill(&mut self.name, &row.name);
        if !sex_is_known(&self.sex)
            && !row.sex.is_empty()
            && (sex_is_known(&row.sex) || self.sex == SEX_UNKNOWN)
        {
            self.sex.clone_from(&row.sex);
        }
        self.birth_date = self.birth_date.or(row.birth_date);
        if self.credential_no.is_empty() && !row.credential_no.is_empty() {
            self.credential_kind.clone_from(&row.credential_kind);
            self.credential_no.clone_from(&row.credential_no);
            self.citizen_id = citizen_id(&row.credential_kind, &row.credential_no);
        }
        fill(&mut self.card_no, &row.card_no);
        fill(&mut self.phone, &row.phone);
        fill(&mut self.address, &row.address);
        if let Some(region) = region(&row.region)
            && self.region == RegionCode::NATION.as_str()
        {
            region.as_str().clone_into(&mut self.region);
        }
        fill(&mut self.blood_abo, &row.blood_abo);
        fill(&mut self.blood_rh, &row.blood_rh);
        fill(&mut self.ethnicity, &row.ethnicity);
        fill(&mut self.contact_name, &row.contact_name);
        fill(&mut self.contact_relation, &row.contact_relation);
        fill(&mut self.contact_phone, &row.contact_phone);
    }

    /// What two registrations are compared by.
    pub fn traits(&self) -> Traits<'_> {
        Traits { name: &self.name, sex: &self.sex, birth_date: self.birth_date }
    }

    /// Whether the credential is of a kind that carries a citizen number, or nobody said of which kind it is.
    pub fn is_citizen_kind(&self) -> bool {
        matches!(self.credential_kind.as_str(), "" | "01" | "1" | "02")
    }

    /// The citizen number while nothing says that it is another's: a child under the mother's number, a borrowed card.
    /// Sex may be typed wrong where the birth date agrees, and the birth date by up to two digits where sex agrees.
    pub fn own_number(&self) -> Option<&str> {
        let number = CitizenId::parse(self.citizen_id.as_deref()?).ok()?;
        let sex_agrees = !sex_is_known(&self.sex) || self.sex == number.gender().code();
        let own = match self.birth_date {
            Some(birth) if birth == number.birth() => true,
            Some(birth) => sex_agrees && digits_apart(birth, number.birth()) <= 2,
            None => sex_agrees,
        };
        if own { self.citizen_id.as_deref() } else { None }
    }
}

/// In how many digits two days differ, written `YYYYMMDD`.
fn digits_apart(a: NaiveDate, b: NaiveDate) -> usize {
    let text = |d: NaiveDate| d.format("%Y%m%d").to_string().into_bytes();
    text(a).iter().zip(text(b)).filter(|(x, y)| **x != *y).count()
}

fn fill(target: &mut String, value: &str) {
    if target.is_empty() && !value.is_empty() {
        value.clone_into(target);
    }
}

fn region(text: &str) -> Option<RegionCode> {
    RegionCode::parse(text).ok().filter(|code| *code != RegionCode::NATION)
}

/// Whether a row says anything of the patient beyond the local number.
pub fn says_something(row: &Demographics) -> bool {
    row.registration
        || row.withdrawn
        || row.birth_date.is_some()
        || row.died_on.is_some()
        || [
            &row.name,
            &row.sex,
            &row.credential_no,
            &row.card_no,
            &row.phone,
            &row.address,
            &row.region,
            &row.blood_abo,
            &row.blood_rh,
            &row.ethnicity,
            &row.contact_name,
            &row.contact_phone,
        ]
        .iter()
        .any(|text| !text.is_empty())
}

/// The canonical citizen number of a credential: an identity card, a household register (which carries the same
/// number) or a number whose kind nobody said.
pub fn citizen_id(kind: &str, number: &str) -> Option<String> {
    if !matches!(kind, "" | "01" | "1" | "02") {
        return None;
    }
    let folded: String = number.chars().map(fold_char).filter(|c| !c.is_whitespace()).collect();
    CitizenId::parse(&folded).ok().map(|id| id.as_str().to_owned())
}

/// Whether the code says man or woman.
fn sex_is_known(code: &str) -> bool {
    matches!(code, "1" | "2")
}

/// What two registrations are compared by.
#[derive(Debug, Clone, Copy)]
pub struct Traits<'a> {
    /// Name.
    pub name: &'a str,
    /// Sex code.
    pub sex: &'a str,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
}

impl Traits<'_> {
    /// The letters of a name, by which two are compared.
    pub fn letters_of(name: &str) -> String {
        letters(name)
    }

    /// Whether a name says nothing.
    pub fn nameless(name: &str) -> bool {
        letters(name).is_empty()
    }

    /// Whether nothing that both know differs.
    pub fn agree(&self, other: &Traits<'_>) -> bool {
        let names = (letters(self.name), letters(other.name));
        (names.0.is_empty() || names.1.is_empty() || names.0 == names.1)
            && (!sex_is_known(self.sex) || !sex_is_known(other.sex) || self.sex == other.sex)
            && (self.birth_date.is_none()
                || other.birth_date.is_none()
                || self.birth_date == other.birth_date)
    }
}

/// Texts typed where the name is unknown: they say nothing.
const NAMELESS: &[&str] = &["不详", "未知", "无名", "无名氏", "匿名"];

/// The letters of a name: without spaces, dots, width and case; empty where the name says nothing.
fn letters(name: &str) -> String {
    let letters: String = name
        .chars()
        .map(fold_char)
        .filter(|c| !c.is_whitespace() && !matches!(c, '·' | '•' | '・' | '‧' | '∙' | '.' | '-' | '\''))
        .flat_map(char::to_uppercase)
        .collect();
    if NAMELESS.contains(&letters.as_str()) { String::new() } else { letters }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn day(y: i32, m: u32, d: u32) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(y, m, d)
    }

    #[test]
    fn agreement_is_equality_of_what_both_know() {
        let table = [
            (("张三", "1", day(1980, 1, 1)), ("张三", "1", day(1980, 1, 1)), true),
            (("张 三", "1", None), ("张三", "0", day(1980, 1, 1)), true),
            (("阿依古丽·买买提", "2", None), ("阿依古丽•买买提", "9", None), true),
            (("ＴＯＭ Lee", "", None), ("Tom lee", "1", None), true),
            (("", "", None), ("张三", "1", day(1980, 1, 1)), true),
            (("不详", "1", None), ("张三", "1", None), true),
            (("张三", "1", None), ("李四", "1", None), false),
            (("张三", "1", None), ("张三", "2", None), false),
            (("张三", "1", day(1980, 1, 1)), ("张三", "1", day(1980, 1, 2)), false),
        ];
        for (a, b, expected) in table {
            let a = Traits { name: a.0, sex: a.1, birth_date: a.2 };
            let b = Traits { name: b.0, sex: b.1, birth_date: b.2 };
            assert_eq!(a.agree(&b), expected, "{a:?} {b:?}");
            assert_eq!(b.agree(&a), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn which_credentials_are_citizen_numbers() {
        let full = Some("34052419800101001X".to_owned());
        for (kind, number, expected) in [
            ("01", "34052419800101001X", &full),
            ("01", "34052419800101001x", &full),
            ("", "340524 800101 001", &full),
            ("02", "３４０５２４８００１０１００１", &full),
            ("03", "34052419800101001X", &None),
            ("01", "340524198001010011", &None),
            ("01", "", &None),
        ] {
            assert_eq!(&citizen_id(kind, number), expected, "{kind} {number}");
        }
    }

    #[test]
    fn a_registration_replaces_and_a_fact_only_fills() {
        let fact = Demographics { name: "张三".into(), phone: "13800138000".into(), ..Default::default() };
        let other = Demographics {
            name: "李四".into(),
            sex: "1".into(),
            region: "411503".into(),
            credential_no: "340524800101001".into(),
            ..Default::default()
        };
        let registration =
            Demographics { name: "张三丰".into(), registration: true, ..Default::default() };
        let mut known = Known::default();
        known.apply(&fact);
        known.apply(&other);
        assert_eq!((known.name.as_str(), known.sex.as_str()), ("张三", "1"));
        assert_eq!(known.region, "411503000000");
        assert_eq!(known.citizen_id.as_deref(), Some("34052419800101001X"));
        assert!(known.own_number().is_some() && !known.registered);
        let again = known.clone();
        known.apply(&other);
        assert_eq!(known, again);
        known.apply(&registration);
        assert_eq!((known.name.as_str(), known.phone.as_str(), &known.citizen_id), ("张三丰", "", &None));
        known.apply(&fact);
        assert_eq!(known.phone, "", "a fact must not change what was registered");
    }

    #[test]
    fn a_number_that_belongs_to_somebody_else_shows() {
        let mut known = Known::default();
        known.apply(&Demographics {
            sex: "2".into(),
            credential_kind: "01".into(),
            credential_no: "34052419800101001X".into(),
            registration: true,
            ..Default::default()
        });
        known.birth_date = day(2024, 6, 1);
        assert_eq!(known.own_number(), None);
        for (sex, birth, own) in [
            ("1", day(1980, 1, 1), true),
            ("2", day(1980, 1, 1), true),
            ("1", day(1980, 1, 11), true),
            ("2", day(1980, 1, 11), false),
            ("2", None, false),
            ("1", day(1954, 6, 1), false),
        ] {
            let known = Known { sex: sex.into(), birth_date: birth, ..known.clone() };
            assert_eq!(known.own_number().is_some(), own, "{sex} {birth:?}");
        }
    }

    #[test]
    fn what_is_withdrawn_is_no_longer_said() {
        let mut known = Known::default();
        let registration = Demographics { name: "张三".into(), registration: true, ..Default::default() };
        let death = Demographics { died_on: day(2025, 3, 4), name: "张山".into(), ..Default::default() };
        known.apply(&registration);
        known.apply(&death);
        assert_eq!((known.name.as_str(), known.died_on), ("张三", day(2025, 3, 4)));
        known.apply(&registration);
        assert_eq!(known.died_on, day(2025, 3, 4), "a registration says nothing of a death");
        known.apply(&Demographics { withdrawn: true, ..death });
        assert_eq!(known.died_on, None);
        known.apply(&Demographics { withdrawn: true, ..registration });
        assert_eq!(known, Known::default());
    }
}
