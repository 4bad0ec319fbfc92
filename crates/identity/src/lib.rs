//! Identity: who is calling and what they may do. Accounts and sign-in, sessions, machine clients, signed links that
//! embed the record, the audit trail's pages and the desk.
//!
//! | term | Chinese | here |
//! |---|---|---|
//! | account | 账号 | [`account`] |
//! | session | 登录会话 | [`session`] |
//! | second factor | 第二因素 | [`factor`] |
//! | step-up | 重新验证 | [`step_up`] |
//! | machine client | 接入客户端 | [`client`] |
//! | single sign-on | 单点登录 | [`provider`] |
//! | signed link | 签名链接 | [`embed`] |
//! | audit trail | 审计日志 | [`audit`] |
//! | desk | 工作台 | [`desk`] |

pub mod access;
pub mod account;
pub mod audit;
pub mod authenticator;
pub mod client;
pub mod desk;
pub mod divisions;
pub mod embed;
pub mod factor;
pub mod grants;
pub mod jose;
pub mod notice;
pub mod password;
pub mod policy;
pub mod provider;
pub mod secret;
pub mod session;
pub mod sign_in;
pub mod step_up;

mod actor;
mod certificate;
mod certificates;
mod cookie;
mod outbound;
mod page;
mod partner;
mod row;

use std::sync::Arc;

use catalog::{Catalog, Role};
use contracts::{DeskPanel, Institutions, PersonLookup, StaffRegister};
use kernel::{Clock, Result};
use store::{Db, Migration};
use web::Routes;

pub use account::{NewAccount, Persona};
pub use authenticator::Gatekeeper;
pub use client::IssuedClient;
pub use embed::LinkRequest;
pub use partner::NewPartner;

/// The migrations of this context.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        context: "identity",
        name: "0001_identity",
        sql: include_str!("../migrations/0001_identity.sql"),
    },
    Migration {
        context: "identity",
        name: "0002_notice",
        sql: include_str!("../migrations/0002_notice.sql"),
    },
    Migration {
        context: "identity",
        name: "0003_grants",
        sql: include_str!("../migrations/0003_grants.sql"),
    },
    Migration {
        context: "identity",
        name: "0004_divisions",
        sql: include_str!("../migrations/0004_divisions.sql"),
    },
    Migration {
        context: "identity",
        name: "0005_single_sign_on",
        sql: include_str!("../migrations/0005_single_sign_on.sql"),
    },
    Migration {
        context: "identity",
        name: "0006_sign_in",
        sql: include_str!("../migrations/0006_sign_in.sql"),
    },
    Migration {
        context: "identity",
        name: "0007_sealed_codes",
        sql: include_str!("../migrations/0007_sealed_codes.sql"),
    },
    Migration {
        context: "identity",
        name: "0008_notice_unit",
        sql: include_str!("../migrations/0008_notice_unit.sql"),
    },
];

/// What the operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether people reach the program by TLS: cookies are then sent by TLS only.
    pub tls: bool,
    /// Where people reach the program, without a slash at the end, e.g. `https://health.example.cn`; the beginning
    /// of signed links that the program makes.
    pub base_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tls: false, base_url: "http://127.0.0.1:8686".to_owned() }
    }
}

/// The context. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(crate) db: Db,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) institutions: Arc<dyn Institutions>,
    pub(crate) people: Option<Arc<dyn PersonLookup>>,
    pub(crate) staff: Option<Arc<dyn StaffRegister>>,
    pub(crate) panels: Arc<Vec<Arc<dyn DeskPanel>>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) options: store::Settings,
    pub(crate) hasher: Arc<password::Hasher>,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) partners: partner::Cache,
    pub(crate) ring: Arc<std::sync::Mutex<Option<Arc<provider::Ring>>>>,
    pub(crate) policy: Arc<web::Policy>,
    pub(crate) trail: audit::Trail,
}

impl Identity {
    /// How many password computations were made since the start.
    pub fn password_computations(&self) -> u64 {
        self.hasher.computations()
    }

    /// Puts the context together.
    pub fn new(
        db: Db,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        institutions: Arc<dyn Institutions>,
    ) -> Result<Self> {
        let options = store::Settings::defaults(catalog.clone());
        let gatekeeper = Arc::new(Gatekeeper::new(
            db.clone(),
            catalog.clone(),
            clock.clone(),
            institutions.clone(),
            options.clone(),
            false,
        ));
        // What a rule for a kind of unit is asked by: the caller's own institution, or an authority.
        let register = institutions.clone();
        let policy = Arc::new(web::Policy::new(move |caller| match caller.institution {
            None => "authority".to_owned(),
            Some(id) => register.by_id(id).map_or_else(String::new, |card| card.sender_class.clone()),
        }));
        Ok(Self {
            policy,
            db,
            catalog,
            clock,
            institutions,
            people: None,
            staff: None,
            panels: Arc::default(),
            settings: Arc::default(),
            options,
            hasher: Arc::new(password::Hasher::new()?),
            gatekeeper,
            partners: partner::Cache::default(),
            ring: Arc::default(),
            trail: audit::Trail::default(),
        })
    }

    /// What accounts there are by division.
    pub fn by_division(&self) -> Arc<divisions::AccountsByDivision> {
        Arc::new(divisions::AccountsByDivision { db: self.db.clone() })
    }

    /// Registers the jobs of this context.
    pub fn register_jobs(&self, jobs: &mut store::jobs::Jobs) {
        divisions::register(&self.db, jobs);
        account::life::register(self, jobs);
    }

    /// With what the audit trail needs beyond the database.
    #[must_use]
    pub fn with_trail(mut self, trail: audit::Trail) -> Self {
        self.trail = trail;
        self
    }

    /// With the operator's settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = Arc::new(settings);
        self.with_gatekeeper()
    }

    /// With the settings that an operator changes while the program runs.
    #[must_use]
    pub fn with_options(mut self, options: store::Settings) -> Self {
        self.options = options;
        self.with_gatekeeper()
    }

    fn with_gatekeeper(mut self) -> Self {
        self.gatekeeper = Arc::new(Gatekeeper::new(
            self.db.clone(),
            self.catalog.clone(),
            self.clock.clone(),
            self.institutions.clone(),
            self.options.clone(),
            self.settings.tls,
        ));
        self
    }

    /// With the port that finds the person of a signed link. Without it, links are refused.
    #[must_use]
    pub fn with_people(mut self, people: Arc<dyn PersonLookup>) -> Self {
        self.people = Some(people);
        self
    }

    /// With the register of staff, to whom accounts belong. Without it, accounts carry names and numbers only.
    #[must_use]
    pub fn with_staff(mut self, staff: Arc<dyn StaffRegister>) -> Self {
        self.staff = Some(staff);
        self
    }

    /// With the panels that other contexts put on the desk.
    #[must_use]
    pub fn with_panels(mut self, panels: Vec<Arc<dyn DeskPanel>>) -> Self {
        self.panels = Arc::new(panels);
        self
    }

    /// Tells who is calling; for the web layer.
    pub fn authenticator(&self) -> Arc<dyn web::Authenticator> {
        self.gatekeeper.clone()
    }

    /// The pages.
    pub fn routes(&self) -> Routes<()> {
        Routes::new()
            .merge(sign_in::routes(self))
            .merge(step_up::routes(self))
            .merge(factor::routes(self))
            .merge(account::routes(self))
            .merge(client::routes(self))
            .merge(partner::routes(self))
            .merge(provider::routes(self))
            .merge(embed::routes(self))
            .merge(certificates::routes(self))
            .merge(audit::routes(self))
            .merge(desk::routes(self))
            .merge(access::routes(self))
            .merge(notice::routes(self))
    }

    /// The role template with this code.
    pub(crate) fn role(&self, code: &str) -> Option<&Role> {
        self.catalog.roles.iter().find(|r| r.code == code)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}
