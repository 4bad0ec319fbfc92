//! Where the city is: real divisions, invented institutions and their staff.

use std::io::{BufRead, BufReader, Read};

use chrono::NaiveDate;
use flate2::read::GzDecoder;
use kernel::{RegionCode, Tier};
use standards::identifiers::credit_code_check;

use crate::names::Names;
use crate::random::Random;
use crate::{Fault, Plan};

/// A division with its own name.
#[derive(Debug, Clone)]
pub struct Division {
    /// Code.
    pub code: RegionCode,
    /// Own name, e.g. `明港镇`.
    pub name: String,
}

/// Reads the divisions under `prefix` and those above it from the gzip list `code<TAB>name`.
pub fn read_divisions(list: impl Read, prefix: &str) -> Result<Vec<Division>, Fault> {
    let mut found = Vec::new();
    for line in BufReader::new(GzDecoder::new(list)).lines() {
        let line = line.map_err(|e| Fault::Divisions(format!("行政区划清单不能读取：{e}")))?;
        let Some((code, name)) = line.split_once('\t') else { continue };
        let Ok(code) = RegionCode::parse(code) else { continue };
        let above = code
            .tier()
            .is_some_and(|t| prefix.len() >= t.significant_digits() && prefix.starts_with(code.prefix()));
        if code.as_str().starts_with(prefix) || above {
            found.push(Division { code, name: name.to_owned() });
        }
    }
    Ok(found)
}

/// What sort of institution it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// City or county hospital.
    Hospital,
    /// Township health centre or community health centre.
    Township,
    /// Village clinic.
    Village,
    /// Maternal and child health hospital.
    MaternalChild,
    /// Centre for disease control.
    Cdc,
}

/// How an institution writes its headings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headings {
    /// Field names.
    Names,
    /// Chinese titles.
    Titles,
    /// The customary pinyin abbreviations of upload tables.
    Pinyin,
    /// Data-element identifiers where they are unambiguous, otherwise titles.
    Elements,
}

/// How an institution's files look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Headings.
    pub headings: Headings,
    /// GB18030 instead of UTF-8.
    pub gb18030: bool,
    /// Compressed.
    pub gzip: bool,
}

/// A member of staff.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// Staff number.
    pub no: String,
    /// Name.
    pub name: String,
}

/// A department with its doctors.
#[derive(Debug, Clone)]
pub struct Department {
    /// Local code.
    pub code: String,
    /// Name.
    pub name: &'static str,
    /// Its doctors, at least one.
    pub doctors: Vec<Doctor>,
}

/// An invented institution.
#[derive(Debug, Clone)]
pub struct Institution {
    /// Unified social credit code, of a registration authority that does not exist.
    pub code: String,
    /// Name, marked `（演示）`.
    pub name: String,
    /// WS 218 class.
    pub class: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Division.
    pub region: RegionCode,
    /// How its files look.
    pub style: Style,
    /// How careless it is: its mistakes are this many times the usual rate.
    pub carelessness: f64,
    /// Days of which nothing was uploaded.
    pub gaps: Vec<NaiveDate>,
    /// Departments.
    pub departments: Vec<Department>,
    /// Letters before its own patient numbers.
    pub mark: &'static str,
}

impl Institution {
    /// What it is expected to send.
    #[must_use]
    pub fn sender_class(&self) -> &'static str {
        match self.kind {
            Kind::Hospital => "hospital",
            Kind::Township => "township",
            Kind::Village => "village",
            Kind::MaternalChild => "maternal_child",
            Kind::Cdc => "cdc",
        }
    }

    /// The department with one of these names, or its first.
    #[must_use]
    pub fn department(&self, names: &[&str]) -> &Department {
        names
            .iter()
            .find_map(|name| self.departments.iter().find(|d| d.name == *name))
            .unwrap_or(&self.departments[0])
    }
}

/// A township with the institutions that serve it.
#[derive(Debug)]
pub struct Township {
    /// Its division.
    pub division: Division,
    /// Its villages, at least one.
    pub villages: Vec<Division>,
    /// Its health centre.
    pub centre: usize,
    /// Its village clinics.
    pub clinics: Vec<usize>,
}

/// A county.
#[derive(Debug)]
pub struct County {
    /// Its division.
    pub division: Division,
    /// Its hospital.
    pub hospital: usize,
    /// Its maternal and child health hospital.
    pub maternal_child: usize,
    /// The townships whose people the city has.
    pub townships: Vec<Township>,
}

/// The city.
#[derive(Debug)]
pub struct City {
    /// Names of province and city before the county's, e.g. `河南省信阳市`.
    pub above: String,
    /// Its own name.
    pub name: String,
    /// Its counties.
    pub counties: Vec<County>,
    /// Every institution.
    pub institutions: Vec<Institution>,
    /// The city's hospital.
    pub hospital: usize,
    /// The city's centre for disease control.
    pub cdc: usize,
}

const HOSPITAL: [&str; 20] = [
    "心血管内科",
    "呼吸与危重症医学科",
    "内分泌科",
    "消化内科",
    "神经内科",
    "普通外科",
    "骨科",
    "泌尿外科",
    "妇产科",
    "儿科",
    "急诊科",
    "眼科",
    "皮肤科",
    "口腔科",
    "耳鼻喉科",
    "感染性疾病科",
    "肿瘤科",
    "肾内科",
    "精神心理科",
    "中医科",
];
const TOWNSHIP: [&str; 8] =
    ["内科", "外科", "妇产科", "儿科", "中医科", "公共卫生科", "口腔科", "预防接种门诊"];
const VILLAGE: [&str; 1] = ["全科医疗科"];
const MATERNAL_CHILD: [&str; 4] = ["儿科", "妇产科", "儿童保健科", "孕产保健科"];
const CDC: [&str; 3] = ["传染病防治科", "慢性病防治科", "免疫规划科"];

impl City {
    /// Lays out the city for a plan.
    pub fn new(plan: &Plan, divisions: &[Division], names: &Names) -> Result<Self, Fault> {
        let of = |tier: Tier| divisions.iter().filter(move |d| d.code.tier() == Some(tier));
        let prefix = &plan.prefix;
        let city = of(Tier::City).find(|d| prefix.starts_with(d.code.prefix())).ok_or_else(|| {
            Fault::Divisions(format!(
                "行政区划清单中没有 {prefix} 所在的市。请核对区划代码，例如信阳市是 4115。"
            ))
        })?;
        let province = of(Tier::Province).find(|d| d.code.contains(&city.code)).map_or("", |d| &d.name);
        let wanted = (plan.people / 10_000).clamp(2, 10);
        let mut builder = Builder { plan, names, institutions: Vec::new() };
        let hospital = builder.add(Kind::Hospital, "A100", format!("{}惠民医院", city.name), city.code, 3);
        let cdc = builder.add(Kind::Cdc, "J100", format!("{}疾病预防控制中心", city.name), city.code, 1);
        let mut counties = Vec::new();
        for division in of(Tier::County).filter(|d| d.code.as_str().starts_with(prefix.as_str())) {
            if counties.len() == wanted {
                break;
            }
            let towns = townships(divisions, division, plan.people / wanted / 3_000);
            if towns.is_empty() {
                continue;
            }
            let hospital =
                builder.add(Kind::Hospital, "A100", format!("{}人民医院", division.name), division.code, 2);
            let maternal_child = builder.add(
                Kind::MaternalChild,
                "G100",
                format!("{}妇幼保健院", division.name),
                division.code,
                2,
            );
            let townships = towns
                .into_iter()
                .map(|(town, villages)| builder.township(division, town, villages))
                .collect();
            counties.push(County { division: division.clone(), hospital, maternal_child, townships });
        }
        if counties.is_empty() {
            return Err(Fault::Divisions(format!(
                "行政区划清单中 {prefix} 之下没有带村（居）委会的县（区）。请用市（4 位）或县（6 位）的区划代码。"
            )));
        }
        Ok(Self {
            above: format!("{province}{}", city.name),
            name: city.name.clone(),
            counties,
            institutions: builder.institutions,
            hospital,
            cdc,
        })
    }
}

/// The first townships of a county that have villages, towns before streets.
fn townships<'d>(
    divisions: &'d [Division],
    county: &Division,
    wanted: usize,
) -> Vec<(&'d Division, Vec<Division>)> {
    let mut towns: Vec<&Division> = divisions
        .iter()
        .filter(|d| d.code.tier() == Some(Tier::Township) && county.code.contains(&d.code))
        .collect();
    towns.sort_by_key(|d| (!(d.name.ends_with('镇') || d.name.ends_with('乡')), d.code));
    towns
        .into_iter()
        .filter_map(|town| {
            let villages: Vec<Division> = divisions
                .iter()
                .filter(|d| d.code.tier() == Some(Tier::Village) && town.code.contains(&d.code))
                .map(|d| Division { code: d.code, name: village_name(&d.name) })
                .collect();
            (!villages.is_empty()).then_some((town, villages))
        })
        .take(wanted.max(2))
        .collect()
}

/// A village as addresses write it: without its committee.
fn village_name(name: &str) -> String {
    for ending in ["民委员会", "委员会", "委会"] {
        if let Some(short) = name.strip_suffix(ending)
            && short.chars().count() >= 2
        {
            return short.trim_end_matches('居').to_owned();
        }
    }
    name.to_owned()
}

struct Builder<'p> {
    plan: &'p Plan,
    names: &'p Names,
    institutions: Vec<Institution>,
}

impl Builder<'_> {
    fn township(&mut self, county: &Division, town: &Division, villages: Vec<Division>) -> Township {
        let (class, ending) = match town.name.chars().next_back() {
            Some('镇') => ("C210", "中心卫生院"),
            Some('乡') => ("C220", "卫生院"),
            _ => ("B100", "社区卫生服务中心"),
        };
        let short = town
            .name
            .strip_suffix("街道办事处")
            .or_else(|| town.name.strip_suffix("办事处"))
            .unwrap_or(&town.name);
        let centre = self.add(Kind::Township, class, format!("{}{short}{ending}", county.name), town.code, 2);
        let clinics = villages
            .iter()
            .step_by((villages.len() / 2).max(1))
            .take(2)
            .map(|v| {
                let name = format!("{}{short}{}卫生室", county.name, v.name);
                self.add(Kind::Village, "D600", name, v.code, 1)
            })
            .collect();
        Township { division: town.clone(), villages, centre, clinics }
    }

    fn add(
        &mut self,
        kind: Kind,
        class: &'static str,
        name: String,
        region: RegionCode,
        doctors: i64,
    ) -> usize {
        let number = self.institutions.len();
        let mut dice = Random::of(self.plan.seed, &[0x1257, number as u64]);
        // No registration authority has the letter X: no real institution can have such a code.
        let first = format!("XX{}{:08}Y", &region.as_str()[..6], 90_000_000 + number);
        let check = credit_code_check(&first).unwrap_or('0');
        let departments: &[&'static str] = match kind {
            Kind::Hospital => &HOSPITAL,
            Kind::Township => &TOWNSHIP,
            Kind::Village => &VILLAGE,
            Kind::MaternalChild => &MATERNAL_CHILD,
            Kind::Cdc => &CDC,
        };
        let departments = departments
            .iter()
            .enumerate()
            .map(|(position, name)| Department {
                code: format!("K{:02}", position + 1),
                name,
                doctors: (0..doctors + dice.between(0, i64::from(doctors > 1)))
                    .map(|turn| {
                        let surname = self.names.surname(&mut dice);
                        let woman = dice.chance(0.5);
                        let year = dice.between(1965, 1996) as i32;
                        Doctor {
                            no: format!("{}{:02}{}", number + 10, position + 1, turn + 1),
                            name: self.names.name(surname, woman, year, &mut dice),
                        }
                    })
                    .collect(),
            })
            .collect();
        let headings = match (kind, number % 4) {
            (Kind::Village, _) => Headings::Titles,
            (_, 0) => Headings::Names,
            (_, 1) => Headings::Titles,
            (_, 2) => Headings::Pinyin,
            _ => Headings::Elements,
        };
        let style = Style {
            headings,
            gb18030: headings != Headings::Names && number % 3 == 1,
            gzip: kind == Kind::Hospital || number % 7 == 5,
        };
        // A quarter of the institutions is careful, a quarter careless.
        let carelessness = [0.25, 0.6, 0.8, 1.0, 1.0, 1.3, 2.0, 3.5][dice.below(8)];
        let gaps = if self.plan.mistakes && kind != Kind::Cdc && number % 5 == 4 {
            let first = dice.between(3, 22);
            let days = dice.between(2, 4);
            (first..first + days)
                .filter_map(|ago| self.plan.today().checked_sub_days(chrono::Days::new(ago as u64)))
                .collect()
        } else {
            Vec::new()
        };
        self.institutions.push(Institution {
            code: format!("{first}{check}"),
            name: format!("（演示）{name}"),
            class,
            kind,
            region,
            style,
            carelessness,
            gaps,
            departments,
            mark: match kind {
                Kind::Hospital => "H",
                Kind::Township => "W",
                Kind::Village => "C",
                Kind::MaternalChild => "F",
                Kind::Cdc => "J",
            },
        });
        number
    }
}
