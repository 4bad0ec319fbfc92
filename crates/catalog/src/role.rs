//! Role templates: the posts of a city, what each may do and how far, and which exclude each other.

use kernel::{Act, Line, Tier};

/// A role template (角色): one post.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// Stable code, e.g. `township_doctor`.
    pub code: String,
    /// Chinese title.
    pub name: String,
    /// What the post does.
    pub description: String,
    /// The heading it stands under, e.g. `医院`.
    pub group: String,
    /// The tiers of division at which the post may be held; empty: any.
    pub tiers: Vec<Tier>,
    /// The kinds of unit at which it may be held: `authority` (no institution) or sender classes; empty: any.
    pub units: Vec<String>,
    /// What the post may do.
    pub grants: Vec<RoleGrant>,
    /// Sensitive categories (`sensitivity.toml`) whose content the post opens.
    pub categories: Vec<String>,
    /// Codes of roles that nobody may hold together with it.
    pub conflicts_with: Vec<String>,
    /// Whether it administers: it may not look into clinical content.
    pub administrator: bool,
}

impl Role {
    /// The duty of one of the three administrators (三员) that the role carries.
    pub fn duty(&self) -> Option<Line> {
        self.grants.iter().map(|g| g.line).find(|line| line.is_duty())
    }

    /// Whether it is held at an institution only: a right of it would reach nothing without one.
    pub fn needs_institution(&self) -> bool {
        let own = |span| matches!(span, RoleSpan::Institution | RoleSpan::OwnPatients);
        self.grants.iter().any(|g| own(g.span))
    }

    /// Whether it may be held at a unit of this kind (`authority` or a sender class).
    pub fn held_at_unit(&self, unit: &str) -> bool {
        self.units.is_empty() || self.units.iter().any(|u| u == unit)
    }

    /// Whether it may be held at this tier.
    pub fn held_at_tier(&self, tier: Tier) -> bool {
        self.tiers.is_empty() || self.tiers.contains(&tier)
    }

    /// Whether nobody may hold the two together: one names the other, or they carry two different duties.
    pub fn conflicts(&self, other: &Role) -> bool {
        let named = |a: &Role, b: &Role| a.conflicts_with.contains(&b.code);
        let two_duties = matches!((self.duty(), other.duty()), (Some(a), Some(b)) if a != b);
        self.code != other.code && (two_duties || named(self, other) || named(other, self))
    }
}

/// One right of a role template; the span is resolved against the holder's post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleGrant {
    /// Line.
    pub line: Line,
    /// Act.
    pub act: Act,
    /// How far.
    pub span: RoleSpan,
}

/// The span of a role's right, relative to its holder's post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleSpan {
    /// The holder's own institution.
    Institution,
    /// The division of the post (a county for a county administrator).
    Region,
    /// The county that the post's division lies in.
    County,
    /// The city that the post's division lies in.
    City,
    /// The province that the post's division lies in.
    Province,
    /// The people of the holder's teams.
    Team,
    /// The holder's own patients.
    OwnPatients,
}

impl RoleSpan {
    /// Every span.
    pub const ALL: [RoleSpan; 7] = [
        RoleSpan::Institution,
        RoleSpan::Region,
        RoleSpan::County,
        RoleSpan::City,
        RoleSpan::Province,
        RoleSpan::Team,
        RoleSpan::OwnPatients,
    ];

    /// The word in the definition.
    pub const fn code(self) -> &'static str {
        match self {
            RoleSpan::Institution => "institution",
            RoleSpan::Region => "region",
            RoleSpan::County => "county",
            RoleSpan::City => "city",
            RoleSpan::Province => "province",
            RoleSpan::Team => "team",
            RoleSpan::OwnPatients => "own_patients",
        }
    }

    /// The Chinese name.
    pub const fn name(self) -> &'static str {
        match self {
            RoleSpan::Institution => "本机构",
            RoleSpan::Region => "任职辖区",
            RoleSpan::County => "所在县（区）",
            RoleSpan::City => "所在市",
            RoleSpan::Province => "所在省",
            RoleSpan::Team => "本团队居民",
            RoleSpan::OwnPatients => "本人患者",
        }
    }
}
