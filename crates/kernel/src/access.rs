//! Rights: what a route needs, what a caller holds, and the `Reach` that only the decision can make.
//!
//! A route declares a [`Need`] (line and act). A [`Caller`] holds [`Grant`]s, each with a [`Span`]. The pure
//! [`Caller::decide`] compares the two and makes a [`Reach`]; every store function that returns personal data
//! takes one. A `Reach` cannot be built in any other way, so a query cannot forget it.

use crate::Id;
use crate::error::Refusal;
use crate::region::RegionCode;

/// Marker for account identifiers.
#[derive(Debug)]
pub enum Account {}
/// Identifies an account.
pub type AccountId = Id<Account>;

/// Marker for institution identifiers.
#[derive(Debug)]
pub enum Institution {}
/// Identifies a registered institution.
pub type InstitutionId = Id<Institution>;

/// Marker for identifiers of registered staff.
#[derive(Debug)]
pub enum Staff {}
/// Identifies a registered member of staff (卫生人员).
pub type StaffId = Id<Staff>;

/// Marker for team identifiers.
#[derive(Debug)]
pub enum Team {}
/// Identifies a team of staff, e.g. a family doctor team (家庭医生团队).
pub type TeamId = Id<Team>;

/// Lines of work (业务条线).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// 行政管理: data quality, statistics, registries. No clinical content.
    Administration,
    /// 医疗服务: the clinical record.
    Medical,
    /// 疾病控制
    DiseaseControl,
    /// 妇幼健康
    MaternalChild,
    /// 卫生监督
    Supervision,
    /// 应急
    Emergency,
    /// 采供血
    Blood,
    /// 数据接入: an institution's uploads.
    Exchange,
    /// 统计分析: figures without persons.
    Statistics,
    /// 公共卫生服务: programmes of primary care, family doctors.
    PublicHealth,
    /// 居民主索引: which registrations are one person; who somebody is, nothing of what happened to them.
    PersonIndex,
    /// 系统管理: settings, code tables, machine clients, background work. One of the three administrators.
    System,
    /// 安全管理: roles, grants, exceptions, keys, policies. One of the three administrators.
    Security,
    /// 安全审计: the trail and its alerts. One of the three administrators.
    Audit,
}

impl Line {
    /// The Chinese name shown to users.
    pub const fn name(self) -> &'static str {
        match self {
            Line::Administration => "行政管理",
            Line::Medical => "医疗服务",
            Line::DiseaseControl => "疾病控制",
            Line::MaternalChild => "妇幼健康",
            Line::Supervision => "卫生监督",
            Line::Emergency => "应急",
            Line::Blood => "采供血",
            Line::Exchange => "数据接入",
            Line::Statistics => "统计分析",
            Line::PublicHealth => "公共卫生服务",
            Line::PersonIndex => "居民主索引",
            Line::System => "系统管理",
            Line::Security => "安全管理",
            Line::Audit => "安全审计",
        }
    }

    /// The code in the catalogue and the database, e.g. `public_health`.
    pub const fn code(self) -> &'static str {
        match self {
            Line::Administration => "administration",
            Line::Medical => "medical",
            Line::DiseaseControl => "disease_control",
            Line::MaternalChild => "maternal_child",
            Line::Supervision => "supervision",
            Line::Emergency => "emergency",
            Line::Blood => "blood",
            Line::Exchange => "exchange",
            Line::Statistics => "statistics",
            Line::PublicHealth => "public_health",
            Line::PersonIndex => "person_index",
            Line::System => "system",
            Line::Security => "security",
            Line::Audit => "audit",
        }
    }

    /// The line with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|line| line.code() == code)
    }

    /// Whether the line shows what happened to persons: clinical content and its like.
    pub const fn clinical(self) -> bool {
        matches!(
            self,
            Line::Medical
                | Line::PublicHealth
                | Line::DiseaseControl
                | Line::MaternalChild
                | Line::Emergency
                | Line::Blood
        )
    }

    /// Whether it is the duty of one of the three administrators (三员), whom nobody may be two of.
    pub const fn is_duty(self) -> bool {
        matches!(self, Line::System | Line::Security | Line::Audit)
    }

    /// Every line, in the order of the grid.
    pub const ALL: [Line; 14] = [
        Line::Administration,
        Line::Medical,
        Line::PublicHealth,
        Line::DiseaseControl,
        Line::MaternalChild,
        Line::Supervision,
        Line::Emergency,
        Line::Blood,
        Line::Exchange,
        Line::Statistics,
        Line::PersonIndex,
        Line::System,
        Line::Security,
        Line::Audit,
    ];
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Look at.
    Read,
    /// Add, correct or withdraw.
    Write,
    /// Take out of the platform.
    Export,
    /// Configure, open and close accounts.
    Manage,
    /// Decide about what others ask for: change requests, local maps, exceptions.
    Approve,
    /// Give rights to others. A right apart from using them.
    Grant,
    /// Show in full what is masked on screen (name, number, telephone, address); each time is audited.
    Reveal,
}

impl Act {
    /// The Chinese name shown to users.
    pub const fn name(self) -> &'static str {
        match self {
            Act::Read => "查看",
            Act::Write => "提交",
            Act::Export => "导出",
            Act::Manage => "管理",
            Act::Approve => "审批",
            Act::Grant => "授权",
            Act::Reveal => "查看原文",
        }
    }

    /// The code in the catalogue and the database, e.g. `read`.
    pub const fn code(self) -> &'static str {
        match self {
            Act::Read => "read",
            Act::Write => "write",
            Act::Export => "export",
            Act::Manage => "manage",
            Act::Approve => "approve",
            Act::Grant => "grant",
            Act::Reveal => "reveal",
        }
    }

    /// The act with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.code() == code)
    }

    /// Whether it looks into or changes content, unlike deciding about the rights of others.
    pub const fn is_use(self) -> bool {
        matches!(self, Act::Read | Act::Write | Act::Export | Act::Reveal)
    }

    /// Every act, in the order of the grid.
    pub const ALL: [Act; 7] =
        [Act::Read, Act::Write, Act::Export, Act::Manage, Act::Approve, Act::Grant, Act::Reveal];
}

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Need {
    /// The line of work.
    pub line: Line,
    /// The act.
    pub act: Act,
}

impl Need {
    /// A need.
    pub const fn new(line: Line, act: Act) -> Self {
        Self { line, act }
    }
}

/// How far a right reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// Everything in a division.
    Region(RegionCode),
    /// One institution's own.
    Institution(InstitutionId),
    /// The people cared for by a team (签约居民).
    Team(TeamId),
    /// The caller's own patients: those with a care relation to them (visit, contract, referral).
    OwnPatients,
    /// One person, by identifier, as a time-limited exception opens it.
    Person(i64),
}

/// One right of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The line of work.
    pub line: Line,
    /// The act.
    pub act: Act,
    /// How far it reaches.
    pub span: Span,
}

/// What sort of caller it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A member of staff who signed in.
    Staff,
    /// An institution's machine client.
    Client,
    /// A hospital workstation that embeds the record by a signed link.
    Embedded,
    /// A resident on the portal: another realm; no route with a need is theirs.
    Resident,
    /// The program itself, for commands run by the operator.
    System,
}

/// How surely the caller was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    /// One thing: a password, a client secret, a signed link.
    Single,
    /// A password and a one-time code, or a passkey.
    Second,
    /// A client certificate or a private key held by the caller.
    Certificate,
}

/// How and how recently the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assurance {
    /// The strongest proof of this session.
    pub factor: Factor,
    /// Whether it was proved within the last minutes, as sensitive acts want it (step-up).
    pub fresh: bool,
}

/// Who is calling, as established by the sign-in of this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What sort of caller.
    pub kind: CallerKind,
    /// The account, for staff.
    pub account: Option<AccountId>,
    /// Real name, or the client's name.
    pub name: String,
    /// The role's Chinese title at this time.
    pub role: String,
    /// The caller's own institution.
    pub institution: Option<InstitutionId>,
    /// Its name.
    pub institution_name: String,
    /// The division the caller belongs to.
    pub region: RegionCode,
    /// Where the request came from.
    pub address: String,
    /// The registered member of staff behind the account.
    pub staff: Option<StaffId>,
    /// The number by which the caller's institution knows them (工号), as visits name it; empty where none.
    pub staff_no: String,
    /// Codes of the roles held at this time.
    pub roles: Vec<String>,
    /// What the caller may do.
    pub grants: Vec<Grant>,
    /// Sensitivity categories (`catalog/sensitivity.toml`) whose content the roles open, e.g. `hiv`.
    pub categories: Vec<String>,
    /// Data sets that a machine client is limited to; `None`: all.
    pub datasets: Option<Vec<String>>,
    /// How surely the caller was recognised.
    pub assurance: Assurance,
    /// The session, for staff.
    pub session: Option<i64>,
}

/// Why somebody opens personal data (使用目的).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// Stable code: `care`, `emergency`, `consultation`, `public_health`, `quality`, `audit`, `upload`, …
    pub code: String,
    /// What the caller wrote.
    pub note: String,
}

impl Purpose {
    /// A purpose without a note.
    pub fn of(code: &str) -> Self {
        Self { code: code.to_owned(), note: String::new() }
    }
}

/// What the decision allows: regions and institutions of one line and act, for one purpose, by one caller.
///
/// Only [`Caller::decide`] makes one.
#[derive(Debug, Clone)]
pub struct Reach {
    caller: Caller,
    need: Need,
    spans: Vec<Span>,
    purpose: Purpose,
    anywhere: Vec<String>,
    at_home: Vec<String>,
}

/// The spans of a reach in the shape that SQL wants: division prefixes and institution numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Leading digits of the divisions in reach; an empty string reaches all.
    pub region_prefixes: Vec<String>,
    /// Institutions in reach.
    pub institutions: Vec<i64>,
    /// Teams whose people are in reach.
    pub teams: Vec<i64>,
    /// Whose own patients are in reach: the institution and the number it gives to the member of staff, as care
    /// relations name them.
    pub patients_of: Option<(i64, String)>,
    /// Single persons in reach.
    pub persons: Vec<i64>,
}

impl Scope {
    /// Whether anything is told by care relations or single persons, beside divisions and institutions.
    pub fn by_person(&self) -> bool {
        !self.teams.is_empty() || self.patients_of.is_some() || !self.persons.is_empty()
    }
}

impl Caller {
    /// Somebody without a name and without rights: what constructors fill in, and who is written into the trail
    /// before anybody is known.
    pub fn blank(kind: CallerKind) -> Self {
        Self {
            kind,
            account: None,
            name: String::new(),
            role: String::new(),
            institution: None,
            institution_name: String::new(),
            region: RegionCode::NATION,
            address: String::new(),
            staff: None,
            staff_no: String::new(),
            roles: Vec::new(),
            grants: Vec::new(),
            categories: Vec::new(),
            datasets: None,
            assurance: Assurance { factor: Factor::Single, fresh: false },
            session: None,
        }
    }

    /// Institution and number there, as care relations name the caller; `None` for whoever has no number.
    pub fn as_staff(&self) -> Option<(i64, String)> {
        let institution = self.institution?;
        (!self.staff_no.is_empty()).then(|| (institution.get(), self.staff_no.clone()))
    }

    /// Whether the caller holds the right anywhere at all (for menus).
    pub fn may(&self, need: Need) -> bool {
        self.grants.iter().any(|g| g.line == need.line && g.act == need.act)
    }

    /// The access decision. Refuses when no grant covers the need.
    pub fn decide(&self, need: Need, purpose: Purpose) -> Result<Reach, Refusal> {
        let spans: Vec<Span> =
            self.grants.iter().filter(|g| g.line == need.line && g.act == need.act).map(|g| g.span).collect();
        if spans.is_empty() {
            return Err(Refusal::forbidden(
                "access.no_right",
                format!(
                    "您的角色“{}”没有“{}·{}”的权限。如工作需要，请联系本单位管理员。",
                    self.role,
                    need.line.name(),
                    need.act.name()
                ),
            ));
        }
        Ok(Reach { caller: self.clone(), need, spans, purpose, anywhere: Vec::new(), at_home: Vec::new() })
    }

    /// The operator at the machine's own console, and the program's background work: reaches everything, is
    /// recorded as `系统`.
    pub fn system(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role: "系统".to_owned(),
            address: "local".to_owned(),
            grants: Line::ALL
                .into_iter()
                .flat_map(|line| Act::ALL.into_iter().map(move |act| (line, act)))
                .map(|(line, act)| Grant { line, act, span: Span::Region(RegionCode::NATION) })
                .collect(),
            assurance: Assurance { factor: Factor::Certificate, fresh: true },
            ..Self::blank(CallerKind::System)
        }
    }
}

impl Reach {
    /// Who is calling.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
    /// The line and act this reach was made for.
    pub fn need(&self) -> Need {
        self.need
    }
    /// The same reach with protected content opened: categories to be shown whoever recorded them, and categories to be
    /// shown where the caller's own institution recorded them. Only the door of the record decides that.
    #[must_use]
    pub fn opening(mut self, anywhere: Vec<String>, at_home: Vec<String>) -> Self {
        self.anywhere = anywhere;
        self.at_home = at_home;
        self
    }
    /// Whether content of a sensitivity category (empty: none) that `from` recorded may be shown.
    pub fn sees(&self, category: &str, from: InstitutionId) -> bool {
        let among = |open: &[String]| open.iter().any(|code| code == category);
        category.is_empty()
            || among(&self.anywhere)
            || (self.caller.institution == Some(from) && among(&self.at_home))
    }
    /// Categories shown whoever recorded them, and those shown where the caller's own institution did.
    pub fn opened(&self) -> (&[String], &[String]) {
        (&self.anywhere, &self.at_home)
    }
    /// Why.
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }
    /// Whether something of this institution, which lies in this division, is in reach.
    pub fn covers(&self, institution: InstitutionId, region: &RegionCode) -> bool {
        self.spans.iter().any(|span| match span {
            Span::Region(code) => code.contains(region),
            Span::Institution(id) => *id == institution,
            // Told by care relations, not by place.
            Span::Team(_) | Span::OwnPatients | Span::Person(_) => false,
        })
    }
    /// Whether this very person is in reach by an exception.
    pub fn covers_person(&self, person: i64) -> bool {
        self.spans.contains(&Span::Person(person))
    }
    /// The spans.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
    /// Whether a whole division is in reach.
    pub fn covers_region(&self, region: &RegionCode) -> bool {
        self.spans.iter().any(|span| matches!(span, Span::Region(code) if code.contains(region)))
    }
    /// The spans as SQL parameters.
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::default();
        for span in &self.spans {
            match span {
                Span::Region(code) => scope.region_prefixes.push(code.prefix().to_owned()),
                Span::Institution(id) => scope.institutions.push(id.get()),
                Span::Team(id) => scope.teams.push(id.get()),
                Span::OwnPatients => scope.patients_of = self.caller.as_staff(),
                Span::Person(id) => scope.persons.push(*id),
            }
        }
        scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doctor() -> Caller {
        Caller {
            kind: CallerKind::Staff,
            account: Some(Id::new(1)),
            name: "王医生".into(),
            role: "乡镇医生".into(),
            institution: Some(Id::new(7)),
            institution_name: "某镇卫生院".into(),
            region: RegionCode::NATION,
            address: "127.0.0.1".into(),
            grants: vec![Grant {
                line: Line::Medical,
                act: Act::Read,
                span: Span::Region(RegionCode::parse("4115").unwrap_or(RegionCode::NATION)),
            }],
            ..Caller::blank(CallerKind::Staff)
        }
    }

    #[test]
    fn codes_and_scopes() {
        for line in Line::ALL {
            assert_eq!(Line::of_code(line.code()), Some(line));
            let named: Result<Line, serde::de::value::Error> =
                serde::Deserialize::deserialize(serde::de::value::StrDeserializer::new(line.code()));
            assert_eq!(named, Ok(line), "the code is the name in files");
        }
        for act in Act::ALL {
            assert_eq!(Act::of_code(act.code()), Some(act));
        }
        let mut caller = doctor();
        caller.staff_no = "D007".into();
        let need = Need::new(Line::Medical, Act::Read);
        for span in [Span::OwnPatients, Span::Team(Id::new(5)), Span::Person(42)] {
            caller.grants.push(Grant { line: need.line, act: need.act, span });
        }
        let reach = caller.decide(need, Purpose::of("care"));
        assert!(reach.is_ok_and(|r| {
            let scope = r.scope();
            scope.by_person()
                && scope.patients_of == Some((7, "D007".to_owned()))
                && scope.teams == [5]
                && scope.persons == [42]
                && r.covers_person(42)
                && !r.covers_person(43)
        }));
    }

    #[test]
    fn a_reach_is_made_only_for_a_right_that_is_held() {
        let caller = doctor();
        assert!(caller.decide(Need::new(Line::Medical, Act::Export), Purpose::of("care")).is_err());
        assert!(caller.decide(Need::new(Line::Security, Act::Read), Purpose::of("audit")).is_err());
        let reach = caller.decide(Need::new(Line::Medical, Act::Read), Purpose::of("care"));
        assert!(reach.is_ok_and(|r| {
            let inside = RegionCode::parse("411503").is_ok_and(|c| r.covers(Id::new(3), &c));
            let outside = RegionCode::parse("4117").is_ok_and(|c| r.covers(Id::new(3), &c));
            inside && !outside
        }));
    }
}
