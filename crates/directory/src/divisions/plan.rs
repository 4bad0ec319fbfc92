//! What an operation on divisions does, decided on paper: which rows of the edition go, come and change, and which
//! codes move where. Pure: reads the rows it is given and no database.
//!
//! A division that changes its place in the tree changes its code, and so does everything below it. A code that was
//! ever used for something else is not given again: a statistic of an earlier year would be read wrongly.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use contracts::AddressRule;
use kernel::{Refusal, RegionCode, Tier};
use serde::{Deserialize, Serialize};

/// A division in one edition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Code.
    pub code: RegionCode,
    /// Name.
    pub name: String,
    /// Urban-rural class (统计用城乡划分代码), or empty.
    #[serde(default)]
    pub class: String,
    /// `list`, `local` or `operation`.
    #[serde(default)]
    pub origin: String,
}

/// A new division of a split, or the one that remains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOf {
    /// Its code.
    pub code: RegionCode,
    /// Its name.
    pub name: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// 更名: the code stays.
    Rename {
        /// Which.
        code: RegionCode,
        /// Its new name.
        name: String,
    },
    /// 合并: several of one tier become one.
    Merge {
        /// Those that end (the remaining one need not be among them).
        from: Vec<RegionCode>,
        /// The one that remains, or a new code.
        into: RegionCode,
        /// Its name from then on.
        name: String,
    },
    /// 拆分: one becomes several.
    Split {
        /// Which.
        code: RegionCode,
        /// What it becomes; may contain itself.
        parts: Vec<PartOf>,
        /// Each child and its part.
        children: Vec<(RegionCode, RegionCode)>,
        /// The part that gets what lies in the division itself and is not assigned.
        rest: RegionCode,
        /// Institutions in the division itself and their parts.
        #[serde(default)]
        institutions: Vec<(i64, RegionCode)>,
        /// Of a village: words of the address and the part.
        #[serde(default)]
        addresses: Vec<(String, RegionCode)>,
    },
    /// 划转: several go under another parent.
    Move {
        /// Which.
        codes: Vec<RegionCode>,
        /// The new parent.
        to: RegionCode,
    },
    /// 撤销: one ends; what it holds goes to another one of its tier.
    Abolish {
        /// Which.
        code: RegionCode,
        /// The receiver; not needed when nothing is left in it.
        into: Option<RegionCode>,
    },
}

/// What is done to the edition and told to others. Enough to carry it out and to undo it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Rows that go.
    pub removed: Vec<Unit>,
    /// Rows that come.
    pub added: Vec<Unit>,
    /// Rows that change: before, after.
    pub changed: Vec<(Unit, Unit)>,
    /// Codes that move whole: from, to.
    pub moves: Vec<(RegionCode, RegionCode)>,
    /// What became of which code, with shares, for [`super::mapping`].
    pub successions: Vec<Succession>,
    /// The division that is split.
    #[serde(default)]
    pub divided: Option<RegionCode>,
    /// Institutions in it assigned one by one.
    pub institutions: Vec<(i64, RegionCode)>,
    /// Address rules of a split village.
    pub addresses: Vec<AddressRule>,
    /// Where what lies in a code that came goes when the operation is undone: code that came, code before.
    pub homes: Vec<(RegionCode, RegionCode)>,
}

/// A line of `division_change`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Succession {
    /// Code before.
    pub from: RegionCode,
    /// Code after.
    pub to: RegionCode,
    /// How much of `from` lies in `to`.
    pub share: f64,
    /// How much of `to` came from `from`.
    pub back_share: f64,
}

/// The rows of an edition that an operation touches, and every code that was ever used there.
#[derive(Debug, Clone, Default)]
pub struct Working {
    /// Rows of the edition, with everything below the divisions named by the request and beside their targets.
    pub units: BTreeMap<RegionCode, Unit>,
    /// Codes used in any edition.
    pub taken: HashSet<RegionCode>,
    /// How much (people, else villages) lies in each code itself, for shares.
    pub weights: BTreeMap<RegionCode, i64>,
}

/// The tier below.
pub(crate) const fn below(tier: Tier) -> Option<Tier> {
    match tier {
        Tier::Province => Some(Tier::City),
        Tier::City => Some(Tier::County),
        Tier::County => Some(Tier::Township),
        Tier::Township => Some(Tier::Village),
        Tier::Village => None,
    }
}

/// The tier above.
pub(crate) const fn above(tier: Tier) -> Option<Tier> {
    match tier {
        Tier::Province => None,
        Tier::City => Some(Tier::Province),
        Tier::County => Some(Tier::City),
        Tier::Township => Some(Tier::County),
        Tier::Village => Some(Tier::Township),
    }
}

/// The division directly above; `None` for a province and the nation.
pub fn parent(code: &RegionCode) -> Option<RegionCode> {
    let above = above(code.tier()?)?;
    Some(code.at(above))
}

fn refuse(code: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::invalid(code, text)
}

impl Request {
    /// The word in the database.
    pub const fn kind(&self) -> &'static str {
        match self {
            Request::Rename { .. } => "rename",
            Request::Merge { .. } => "merge",
            Request::Split { .. } => "split",
            Request::Move { .. } => "move",
            Request::Abolish { .. } => "abolish",
        }
    }

    /// The divisions whose rows and everything below must be known to plan it.
    pub fn subtrees(&self) -> Vec<RegionCode> {
        match self {
            Request::Rename { code, .. } => vec![*code],
            Request::Merge { from, into, .. } => from.iter().copied().chain([*into]).collect(),
            Request::Split { code, parts, .. } => parts.iter().map(|p| p.code).chain([*code]).collect(),
            Request::Move { codes, to } => codes.iter().copied().chain([*to]).collect(),
            Request::Abolish { code, into } => into.iter().copied().chain([*code]).collect(),
        }
    }
}

/// The Chinese name of a kind of operation.
pub fn kind_name(kind: &str) -> &'static str {
    match kind {
        "rename" => "更名",
        "merge" => "合并",
        "split" => "拆分",
        "move" => "划转",
        "abolish" => "撤销",
        "adopt" => "换版",
        "add" => "增设",
        _ => "调整",
    }
}

impl Working {
    fn unit(&self, code: &RegionCode) -> Result<&Unit, Refusal> {
        self.units.get(code).ok_or_else(|| {
            refuse("divisions.unknown", format!("这一版区划中没有 {code}。请核对代码，或先选择正确的年份。"))
        })
    }

    /// Those directly below.
    pub fn children(&self, of: &RegionCode) -> Vec<RegionCode> {
        self.units.keys().filter(|c| *c != of && parent(c) == Some(*of)).copied().collect()
    }

    /// It and everything below.
    fn subtree(&self, of: &RegionCode) -> Vec<RegionCode> {
        self.units.keys().filter(|c| of.contains(c)).copied().collect()
    }

    /// How much lies in a division and below: people where any are counted, else its villages, at least one.
    fn weight(&self, of: &RegionCode, people: bool) -> f64 {
        let within = self.subtree(of);
        let sum: i64 = if people {
            within.iter().filter_map(|c| self.weights.get(c)).sum()
        } else {
            within.iter().filter(|c| c.tier() == Some(Tier::Village)).count().max(1) as i64
        };
        sum as f64
    }

    /// Where weights of people can be told apart, they count; where nobody is, villages do.
    fn by_people(&self, of: &[RegionCode]) -> bool {
        of.iter().map(|c| self.weight(c, true)).sum::<f64>() > 0.0
    }

    /// A free code under another parent: its own number there if nobody ever had it, else the next one.
    fn allot(&mut self, under: &RegionCode, child: &RegionCode) -> Result<RegionCode, Refusal> {
        let tier = child.tier().unwrap_or(Tier::Village);
        let (start, end) = (above(tier).map_or(0, Tier::significant_digits), tier.significant_digits());
        let own: u32 = child.as_str()[start..end].parse().unwrap_or(1);
        let most = 10u32.pow((end - start) as u32) - 1;
        for number in (own..=most).chain(1..own) {
            let text = format!("{}{number:0width$}", &under.as_str()[..start], width = end - start);
            if let Ok(code) = RegionCode::parse(&text)
                && self.taken.insert(code)
            {
                return Ok(code);
            }
        }
        Err(refuse("divisions.full", format!("{under} 下已没有可用的代码。")))
    }
}

/// Collects a plan.
struct Draft<'w> {
    work: &'w mut Working,
    plan: Plan,
}

impl Draft<'_> {
    /// Moves a division and everything below to another code.
    fn transplant(&mut self, from: &RegionCode, to: &RegionCode) -> Result<(), Refusal> {
        let digits = from.prefix().len();
        for code in self.work.subtree(from) {
            let text = format!("{}{}", &to.as_str()[..digits], &code.as_str()[digits..]);
            let target = RegionCode::parse(&text)
                .map_err(|_| refuse("divisions.code", format!("不能给 {code} 编排新代码。")))?;
            let unit = self.work.unit(&code)?.clone();
            self.plan.added.push(Unit { code: target, origin: "operation".to_owned(), ..unit.clone() });
            self.plan.removed.push(unit);
            self.plan.moves.push((code, target));
            self.plan.homes.push((target, code));
            self.plan.successions.push(Succession { from: code, to: target, share: 1.0, back_share: 1.0 });
        }
        Ok(())
    }

    /// The children of one division go under another.
    fn adopt_children(&mut self, of: &RegionCode, under: &RegionCode) -> Result<(), Refusal> {
        for child in self.work.children(of) {
            let to = self.work.allot(under, &child)?;
            self.transplant(&child, &to)?;
        }
        Ok(())
    }

    fn rename(&mut self, code: &RegionCode, name: &str) -> Result<(), Refusal> {
        let before = self.work.unit(code)?.clone();
        let name = good_name(name)?;
        if before.name != name {
            self.plan.changed.push((before.clone(), Unit { name, ..before }));
        }
        Ok(())
    }

    fn add(&mut self, code: RegionCode, name: &str, class: &str) -> Result<(), Refusal> {
        if !self.work.taken.insert(code) {
            return Err(refuse(
                "divisions.taken",
                format!("代码 {code} 已用过。区划代码不重复使用，否则往年的统计会被误读；请换一个代码。"),
            ));
        }
        let name = good_name(name)?;
        self.plan.added.push(Unit { code, name, class: class.to_owned(), origin: "operation".to_owned() });
        Ok(())
    }
}

/// A name as it is filed.
pub fn good_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(|c| c.is_control() || c == '\t') {
        return Err(refuse("divisions.name", "请填写区划名称，不超过 60 个字。"));
    }
    Ok(name.to_owned())
}

fn tier_of(code: &RegionCode) -> Result<Tier, Refusal> {
    match code.tier() {
        None | Some(Tier::Province) => {
            Err(refuse("divisions.tier", "省级区划不在本平台调整。请选择市、县、乡或村级区划。"))
        }
        Some(tier) => Ok(tier),
    }
}

/// Plans an operation over the rows of an edition.
///
/// # Errors
/// Refuses what cannot be done, with the reason and what to do.
pub fn plan(request: &Request, work: &mut Working) -> Result<Plan, Refusal> {
    let mut draft = Draft { work, plan: Plan::default() };
    match request {
        Request::Rename { code, name } => {
            draft.rename(code, name)?;
            if draft.plan.changed.is_empty() {
                return Err(refuse("divisions.same", "新名称与现名称相同，没有可调整的内容。"));
            }
        }
        Request::Merge { from, into, name } => merge(&mut draft, from, into, name)?,
        Request::Split { .. } => split(&mut draft, request)?,
        Request::Move { codes, to } => shift(&mut draft, codes, to)?,
        Request::Abolish { code, into: Some(into) } => {
            let name = draft.work.unit(into)?.name.clone();
            merge(&mut draft, &[*code], into, &name)?;
        }
        Request::Abolish { code, into: None } => {
            tier_of(code)?;
            if !draft.work.children(code).is_empty() {
                return Err(refuse(
                    "divisions.not_empty",
                    "它下面还有区划。请选择接收它的区划，或先调整下级区划。",
                ));
            }
            let unit = draft.work.unit(code)?.clone();
            draft.plan.removed.push(unit);
        }
    }
    let plan = draft.plan;
    let sources: BTreeSet<_> = plan.moves.iter().map(|(f, _)| f).collect();
    if plan.moves.iter().any(|(_, to)| sources.contains(to)) {
        return Err(refuse("divisions.circle", "同一次调整中，一个代码不能既移出又移入。请分两次办理。"));
    }
    Ok(plan)
}

fn merge(draft: &mut Draft, from: &[RegionCode], into: &RegionCode, name: &str) -> Result<(), Refusal> {
    let tier = tier_of(into)?;
    let ending: Vec<RegionCode> =
        from.iter().filter(|c| *c != into).copied().collect::<BTreeSet<_>>().into_iter().collect();
    if ending.is_empty() {
        return Err(refuse("divisions.one", "请至少选择两个区划来合并。"));
    }
    for code in &ending {
        draft.work.unit(code)?;
        if code.tier() != Some(tier) {
            return Err(refuse("divisions.tier", format!("{code} 与 {into} 不是同一级，不能合并。")));
        }
    }
    let all: Vec<RegionCode> = ending.iter().copied().chain([*into]).collect();
    let people = draft.work.by_people(&all);
    let weights: Vec<f64> = all.iter().map(|c| draft.work.weight(c, people)).collect();
    let exists = draft.work.units.contains_key(into);
    // A new division begins empty; one that remains keeps its own share.
    let whole: f64 = weights.iter().take(ending.len() + usize::from(exists)).sum::<f64>().max(1.0);
    if exists {
        draft.rename(into, name)?;
    } else {
        let class = draft.work.unit(&ending[0])?.class.clone();
        draft.add(*into, name, &class)?;
        draft.plan.homes.push((*into, ending[0]));
    }
    for (code, weight) in ending.iter().zip(&weights) {
        draft.adopt_children(code, into)?;
        let unit = draft.work.unit(code)?.clone();
        draft.plan.removed.push(unit);
        draft.plan.moves.push((*code, *into));
        draft.plan.successions.push(Succession {
            from: *code,
            to: *into,
            share: 1.0,
            back_share: weight / whole,
        });
    }
    Ok(())
}

fn split(draft: &mut Draft, request: &Request) -> Result<(), Refusal> {
    let Request::Split { code, parts, children, rest, institutions, addresses } = request else {
        return Ok(());
    };
    let tier = tier_of(code)?;
    let before = draft.work.unit(code)?.clone();
    let codes: BTreeSet<RegionCode> = parts.iter().map(|p| p.code).collect();
    if codes.len() < 2 || codes.len() != parts.len() {
        return Err(refuse("divisions.parts", "拆分后至少要有两个区划，代码不能相同。"));
    }
    if let Some(part) = parts.iter().find(|p| p.code.tier() != Some(tier) || parent(&p.code) != parent(code))
    {
        return Err(refuse(
            "divisions.tier",
            format!("新区划 {} 应与 {code} 同级，并在同一上级之下。请核对代码。", part.code),
        ));
    }
    let chosen: BTreeMap<RegionCode, RegionCode> = children.iter().copied().collect();
    let own = draft.work.children(code);
    let forgotten: Vec<&str> = own
        .iter()
        .filter(|c| !chosen.get(*c).is_some_and(|p| codes.contains(p)))
        .filter_map(|c| draft.work.units.get(c).map(|u| u.name.as_str()))
        .collect();
    if !forgotten.is_empty() {
        return Err(refuse(
            "divisions.unassigned",
            format!(
                "还有 {} 个下级区划没有分配：{}。请为每一个选择去向。",
                forgotten.len(),
                forgotten.join("、")
            ),
        ));
    }
    let strays = institutions.iter().map(|(_, p)| p).chain(addresses.iter().map(|(_, p)| p)).chain([rest]);
    if strays.into_iter().any(|p| !codes.contains(p)) {
        return Err(refuse("divisions.parts", "机构、地址规则和“其余”的去向都应是拆分后的区划之一。"));
    }
    let people = draft.work.by_people(&own);
    let mut shares: BTreeMap<RegionCode, f64> = codes.iter().map(|c| (*c, 0.0)).collect();
    for child in &own {
        if let Some(share) = chosen.get(child).and_then(|p| shares.get_mut(p)) {
            *share += draft.work.weight(child, people);
        }
    }
    let whole: f64 = shares.values().sum();
    // Without anything below to tell the parts apart, they count alike.
    let share = |part: &RegionCode| if whole > 0.0 { shares[part] / whole } else { 1.0 / codes.len() as f64 };
    for part in parts {
        if part.code == *code {
            draft.rename(code, &part.name)?;
        } else {
            draft.add(part.code, &part.name, &before.class)?;
            draft.plan.homes.push((part.code, *code));
            if share(&part.code) > 0.0 {
                draft.plan.successions.push(Succession {
                    from: *code,
                    to: part.code,
                    share: share(&part.code),
                    back_share: 1.0,
                });
            }
        }
    }
    for child in &own {
        let Some(part) = chosen.get(child).filter(|p| *p != code) else { continue };
        let to = draft.work.allot(part, child)?;
        draft.transplant(child, &to)?;
    }
    if !codes.contains(code) {
        draft.plan.removed.push(before);
    }
    if rest != code {
        draft.plan.moves.push((*code, *rest));
    }
    draft.plan.divided = Some(*code);
    draft.plan.institutions = institutions.iter().filter(|(_, p)| p != code).copied().collect();
    for (words, part) in addresses {
        let words = words.trim();
        if words.is_empty() {
            return Err(refuse("divisions.address", "地址规则要写明地址中的文字，例如“三组”。"));
        }
        draft.plan.addresses.push(AddressRule {
            from: code.as_str().to_owned(),
            contains: words.to_owned(),
            to: part.as_str().to_owned(),
        });
    }
    Ok(())
}

fn shift(draft: &mut Draft, codes: &[RegionCode], to: &RegionCode) -> Result<(), Refusal> {
    draft.work.unit(to)?;
    let codes: BTreeSet<RegionCode> = codes.iter().copied().collect();
    if codes.is_empty() {
        return Err(refuse("divisions.one", "请选择要划转的区划。"));
    }
    for code in codes {
        let tier = tier_of(&code)?;
        draft.work.unit(&code)?;
        if to.tier().and_then(below) != Some(tier) {
            return Err(refuse("divisions.tier", format!("{code} 不能划到 {to} 之下：级别不相邻。")));
        }
        if parent(&code) == Some(*to) {
            return Err(refuse("divisions.same", format!("{code} 已在 {to} 之下。")));
        }
        let target = draft.work.allot(to, &code)?;
        draft.transplant(&code, &target)?;
    }
    Ok(())
}

impl Plan {
    /// Every code that it touches: those that go, come, change.
    pub fn touched(&self) -> BTreeSet<RegionCode> {
        self.removed
            .iter()
            .chain(&self.added)
            .chain(self.changed.iter().map(|(before, _)| before))
            .map(|u| u.code)
            .collect()
    }

    /// Codes out of which something moves.
    pub fn sources(&self) -> Vec<String> {
        self.moves.iter().map(|(from, _)| from.as_str().to_owned()).collect()
    }
}
