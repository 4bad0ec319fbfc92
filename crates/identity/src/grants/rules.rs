//! From a role template and its holder's post to rights; who may give which role to whom; who may decide about an
//! exception. Pure.

use catalog::{Role, RoleSpan};
use kernel::access::InstitutionId;
use kernel::{Act, Grant, Line, Refusal, RegionCode, Span, TeamId, Tier};

/// Where a role is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    /// The institution; `None` for an authority.
    pub institution: Option<InstitutionId>,
    /// The division that the post is responsible for; an institution's own unless somebody above widened it.
    pub region: RegionCode,
}

/// The rights of somebody who holds `role` at `post` and is a member of `teams`.
///
/// A right over the holder's own institution gives nothing to a holder without one.
pub fn of_role(role: &Role, post: &Post, teams: &[TeamId]) -> Vec<Grant> {
    let mut grants = Vec::with_capacity(role.grants.len());
    for right in &role.grants {
        let mut give = |span| grants.push(Grant { line: right.line, act: right.act, span });
        match right.span {
            RoleSpan::Institution => {
                if let Some(own) = post.institution {
                    give(Span::Institution(own));
                }
            }
            RoleSpan::Region => give(Span::Region(post.region)),
            RoleSpan::County => give(Span::Region(post.region.at(Tier::County))),
            RoleSpan::City => give(Span::Region(post.region.at(Tier::City))),
            RoleSpan::Province => give(Span::Region(post.region.at(Tier::Province))),
            RoleSpan::Team => teams.iter().for_each(|team| give(Span::Team(*team))),
            RoleSpan::OwnPatients => give(Span::OwnPatients),
        }
    }
    grants
}

/// The right that an approved exception gives; nothing when what is kept cannot be understood.
pub(super) fn of_exception(
    line: &str,
    act: &str,
    target: &str,
    institution: Option<InstitutionId>,
    region: &RegionCode,
    number: Option<i64>,
) -> Option<Grant> {
    let span = match target {
        "person" => Span::Person(number?),
        "team" => Span::Team(TeamId::new(number?)),
        "institution" => Span::Institution(institution?),
        "region" if *region != RegionCode::NATION => Span::Region(*region),
        _ => return None,
    };
    Some(Grant { line: Line::of_code(line)?, act: Act::of_code(act)?, span })
}

/// The rights of an institution's machine client: its own uploads; with `reads_records` also the records of its own
/// patients.
pub fn of_client(institution: InstitutionId, reads_records: bool) -> Vec<Grant> {
    let span = Span::Institution(institution);
    let uploads = [Act::Read, Act::Write].into_iter().map(|act| Grant { line: Line::Exchange, act, span });
    let records = reads_records.then_some(Grant { line: Line::Medical, act: Act::Read, span });
    uploads.chain(records).collect()
}

/// The scopes that a machine client may ask for: all that its rights fill.
pub fn scopes_of_client(reads_records: bool) -> Vec<String> {
    let mut scopes = vec!["api:exchange.read".to_owned(), "api:exchange.write".to_owned()];
    if reads_records {
        scopes.extend(["system/*.rs".to_owned(), "system/*.read".to_owned()]);
    }
    scopes
}

/// The rights of a hospital workstation that embeds the record: reading that of the one person of its link.
pub fn of_embedded(person: i64) -> Vec<Grant> {
    vec![Grant { line: Line::Medical, act: Act::Read, span: Span::Person(person) }]
}

/// What is to be given: a role, at a post, to somebody.
#[derive(Debug, Clone)]
pub struct Gift<'a> {
    /// The role.
    pub role: &'a Role,
    /// Where.
    pub post: Post,
    /// The kind of unit: `authority`, or the institution's sender class.
    pub unit: &'a str,
    /// Whether it is for the giver: their own account, or another one of the same member of staff.
    pub to_oneself: bool,
    /// The roles that the receiver holds already, by any account.
    pub held: Vec<&'a Role>,
}

/// Whether a right that reaches `held` covers one that reaches `wanted` at a post.
fn covers(held: Span, wanted: Span, post: &Post, region_of: &impl Fn(InstitutionId) -> RegionCode) -> bool {
    match (held, wanted) {
        (Span::Region(wide), Span::Region(narrow)) => wide.contains(&narrow),
        (Span::Region(wide), Span::Institution(id)) => wide.contains(&region_of(id)),
        (Span::Institution(held), Span::Institution(id)) => held == id,
        // Whose people they are is told by where the holder works.
        (Span::Region(wide), Span::Team(_) | Span::OwnPatients) => wide.contains(&post.region),
        (Span::Institution(held), Span::Team(_) | Span::OwnPatients) => post.institution == Some(held),
        _ => false,
    }
}

/// Whether a holder of the rights `own` may give a role. Otherwise why not.
///
/// - nobody gives anything to themselves;
/// - the post lies within what the giver administers (`administration·manage`, or `security·grant`);
/// - the role may be held at that tier and kind of unit;
/// - of every right of the role the giver holds the right to *grant* it, on its line or on the line of security, at least
///   as far as it reaches; having a right for use gives nothing to grant. What belongs to the three administrators is
///   granted on the line of security only;
/// - the receiver holds no role that conflicts.
pub fn may_assign(
    own: &[Grant],
    gift: &Gift<'_>,
    region_of: impl Fn(InstitutionId) -> RegionCode,
) -> Result<(), Refusal> {
    let role = gift.role;
    if gift.to_oneself {
        return Err(Refusal::forbidden(
            "grants.self",
            "不能给自己授予或变更角色，请由其他管理员操作。授权与使用是分开的。",
        ));
    }
    let wanted = match gift.post.institution {
        Some(id) => Span::Institution(id),
        None => Span::Region(gift.post.region),
    };
    let administers = |g: &Grant| {
        matches!((g.line, g.act), (Line::Administration, Act::Manage) | (Line::Security, Act::Grant))
            && covers(g.span, wanted, &gift.post, &region_of)
    };
    if !own.iter().any(administers) {
        return Err(Refusal::forbidden(
            "grants.post",
            "这个任职单位不在您的管理范围内，不能在那里授予角色。请由管理该单位的管理员操作。",
        ));
    }
    fits(role, &gift.post, gift.unit)?;
    for right in of_role(role, &gift.post, &[]) {
        let may = own.iter().any(|held| {
            held.act == Act::Grant
                && (held.line == Line::Security || (held.line == right.line && !right.line.is_duty()))
                && covers(held.span, right.span, &gift.post, &region_of)
        });
        if !may {
            return Err(Refusal::forbidden(
                "grants.beyond",
                format!(
                    "不能授予角色“{}”：其中的“{}·{}”超出您可以授权的条线或范围。自己能使用某项权限，不等于可以把它授予别人；请由上级管理员或安全管理员授权。",
                    role.name,
                    right.line.name(),
                    right.act.name()
                ),
            ));
        }
    }
    // Rights over a team's people are given without any team yet: whoever manages the line at the post may.
    if role.grants.iter().any(|g| g.span == RoleSpan::Team)
        && !own.iter().any(|held| {
            held.act == Act::Grant
                && (held.line == Line::Security
                    || role.grants.iter().any(|g| g.span == RoleSpan::Team && g.line == held.line))
                && covers(held.span, Span::OwnPatients, &gift.post, &region_of)
        })
    {
        return Err(Refusal::forbidden(
            "grants.beyond",
            format!("不能授予角色“{}”：团队居民的权限超出您可以授权的范围。", role.name),
        ));
    }
    compatible(role, &gift.held)
}

/// Whether a role may be held at this tier and kind of unit.
fn fits(role: &Role, post: &Post, unit: &str) -> Result<(), Refusal> {
    if !role.held_at_unit(unit) {
        return Err(Refusal::invalid(
            "grants.unit",
            format!("角色“{}”不能在{}任职，请选择适合的单位或角色。", role.name, unit_name(unit)),
        ));
    }
    let fits = post.region.tier().is_some_and(|tier| role.held_at_tier(tier));
    if !fits && !role.tiers.is_empty() {
        let tiers: Vec<&str> = role.tiers.iter().map(|tier| tier_name(*tier)).collect();
        return Err(Refusal::invalid(
            "grants.tier",
            format!("角色“{}”只能在{}级任职，与所选的任职辖区不符。", role.name, tiers.join("、")),
        ));
    }
    Ok(())
}

/// Whether nobody forbids holding `role` beside these.
pub(super) fn compatible(role: &Role, held: &[&Role]) -> Result<(), Refusal> {
    let Some(other) = held.iter().find(|other| role.conflicts(other)) else { return Ok(()) };
    let reason = match (role.duty(), other.duty()) {
        (Some(a), Some(b)) if a != b => format!(
            "系统管理员、安全管理员、审计管理员须由三人分别担任：此人已是“{}”（{}），不能再任“{}”（{}）。",
            other.name,
            b.name(),
            role.name,
            a.name()
        ),
        _ => format!(
            "角色“{}”与此人已有的“{}”互相制约，不能由同一人担任。请先撤销原角色，或另选人员。",
            role.name, other.name
        ),
    };
    Err(Refusal::conflict("grants.conflict", reason))
}

/// Whether a holder of the rights `own` may take a role away: whoever may give it at that post, conflicts aside.
pub fn may_withdraw(
    own: &[Grant],
    gift: &Gift<'_>,
    region_of: impl Fn(InstitutionId) -> RegionCode,
) -> Result<(), Refusal> {
    // A role may have become unfit for its post since; that is one more reason to take it away.
    let everywhere = Role { tiers: Vec::new(), units: Vec::new(), ..gift.role.clone() };
    may_assign(own, &Gift { role: &everywhere, held: Vec::new(), ..gift.clone() }, region_of)
}

/// What an exception opens, for whoever decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A person, who lives in a division and is registered by institutions.
    Person {
        /// Where they live; the nation where it is unknown.
        region: RegionCode,
        /// Who has registered them.
        institutions: Vec<InstitutionId>,
    },
    /// Another institution.
    Institution(InstitutionId),
    /// A division.
    Region(RegionCode),
    /// The people of a team of this institution.
    Team(InstitutionId),
}

/// Whether an exception may be asked for at all: rights to use, on lines that are no administrator's duty, and no clinical
/// content for whoever administers.
pub fn may_ask(line: Line, act: Act, holder_administers: bool) -> Result<(), Refusal> {
    if line.is_duty() || !act.is_use() {
        return Err(Refusal::invalid(
            "exception.not_for_use",
            "例外授权只用于查看、提交、导出或查看原文；授权、审批、管理以及系统、安全、审计的权限不能例外授予。",
        ));
    }
    if line.clinical() && holder_administers {
        return Err(Refusal::invalid(
            "exception.administrator",
            "管理员角色不能例外取得诊疗内容的权限。确需查看的，请由诊疗或公共卫生岗位的人员办理。",
        ));
    }
    Ok(())
}

/// Whether a holder of the rights `own` may decide about an exception on a line: somebody other than who asked and who is
/// to hold it, with the right to approve on that line, as far as it reaches.
pub fn may_decide(
    own: &[Grant],
    line: Line,
    target: &Target,
    concerned: bool,
    region_of: impl Fn(InstitutionId) -> RegionCode,
) -> Result<(), Refusal> {
    if concerned {
        return Err(Refusal::forbidden("exception.own", "不能审批自己申请或为自己申请的例外授权。"));
    }
    let place = |span: Span, id: InstitutionId| match span {
        Span::Region(wide) => wide.contains(&region_of(id)),
        Span::Institution(held) => held == id,
        _ => false,
    };
    let reaches = |span: Span| match target {
        Target::Institution(id) | Target::Team(id) => place(span, *id),
        Target::Region(region) => matches!(span, Span::Region(wide) if wide.contains(region)),
        Target::Person { region, institutions } => {
            matches!(span, Span::Region(wide) if *region != RegionCode::NATION && wide.contains(region))
                || institutions.iter().any(|id| place(span, *id))
        }
    };
    if own.iter().any(|g| g.line == line && g.act == Act::Approve && reaches(g.span)) {
        return Ok(());
    }
    Err(Refusal::forbidden(
        "exception.no_right",
        format!("您没有“{}·审批”的权限，或它不及所申请的范围。", line.name()),
    ))
}

/// The Chinese name of a kind of unit.
pub fn unit_name(unit: &str) -> &str {
    match unit {
        "authority" => "卫生健康行政部门",
        "hospital" => "医院",
        "township" => "乡镇卫生院（社区卫生服务中心）",
        "village" => "村卫生室",
        "maternal_child" => "妇幼保健机构",
        "cdc" => "疾病预防控制机构",
        "supervision" => "卫生监督机构",
        "emergency" => "急救机构",
        "blood" => "采供血机构",
        other => other,
    }
}

/// The Chinese name of a tier.
pub const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Province => "省",
        Tier::City => "市",
        Tier::County => "县",
        Tier::Township => "乡",
        Tier::Village => "村",
    }
}
