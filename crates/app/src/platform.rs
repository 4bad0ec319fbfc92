//! Putting the platform together: database, registries, contexts, routes. The only place that knows every context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::Catalog;
use directory::Directory;
use directory::divisions::Divisions;
use directory::registry::Registries;
use directory::settings::{Configuration, StartOption};
use exchange::Exchange;
use exchange::intake::{Intake, Parts};
use futures::future::BoxFuture;
use identity::Identity;
use kernel::Clock;
use person::MasterIndex;
use record::Record;
use store::audit::{self, AnchorFile, Sealer};
use store::cluster::Cluster;
use store::jobs::Jobs;
use store::keys::{Suite, Vault};
use store::objects::Objects;
use store::reseal::Resealer;
use store::{Db, Migration, role};
use web::Routes;

/// Where things are and how the program is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder: local database, objects, watched folder.
    pub data: PathBuf,
    /// Somebody else's PostgreSQL instead of the local cluster.
    pub database_url: Option<String>,
    /// The same database as its owner, for migrations; the role of `database_url` then only reads and writes rows.
    pub database_owner_url: Option<String>,
    /// Definitions instead of the shipped ones.
    pub catalog_dir: Option<PathBuf>,
    /// Where the master key is (`file:…`, `env:…`, `pkcs11:…`); by default `keys/master.key` of the data folder.
    pub master_key: Option<String>,
    /// Connections to the database.
    pub connections: u32,
    /// Base of links that the program makes.
    pub base_url: String,
}

/// The assembled platform.
pub struct Platform {
    /// Database, as the role that serves.
    pub db: Db,
    /// The same as its owner, for commands of the operator; the serving role itself where only that is given.
    pub owner: Db,
    /// Seals the audit trail.
    pub sealer: Sealer,
    /// Definitions.
    pub catalog: Arc<Catalog>,
    /// Registries.
    pub directory: Arc<Directory>,
    /// The desk of the divisions.
    pub divisions: Divisions,
    /// The settings, how the program was started, the caches.
    pub configuration: Configuration,
    /// Registers of institutions, staff and what belongs to them.
    pub registries: Registries,
    /// Accounts.
    pub identity: Identity,
    /// Intake and quality.
    pub exchange: Exchange,
    /// The record.
    pub record: Record,
    /// The master index.
    pub person: Arc<MasterIndex>,
    /// Background work.
    pub jobs: Jobs,
    /// The kept keys.
    pub vault: Vault,
    /// What encrypts anew.
    pub resealer: Resealer,
    /// What an operator changes while the program runs.
    pub options: store::Settings,
    clock: Arc<dyn Clock>,
    cluster: Option<Cluster>,
}

/// How the program was started, without secrets.
fn start_options(settings: &Settings) -> Vec<StartOption> {
    let option = |title, value: String, option| StartOption { title, value, option };
    let folder = |path: &Path| path.display().to_string();
    let database = match &settings.database_url {
        // What stands before the host is the user and the password.
        Some(url) => url.rsplit_once('@').map_or_else(|| url.clone(), |(_, host)| host.to_owned()),
        None => "数据目录下的本机数据库".to_owned(),
    };
    vec![
        option("用户访问平台的地址", settings.base_url.clone(), "--base-url / MINKANG_BASE_URL"),
        option("数据目录", folder(&settings.data), "--data"),
        option("数据库", database, "--database-url"),
        option("数据库连接数", settings.connections.to_string(), "--connections"),
        option(
            "目录定义",
            settings.catalog_dir.as_deref().map_or_else(|| "随程序发布".to_owned(), folder),
            "--catalog-dir",
        ),
        option("程序版本", env!("CARGO_PKG_VERSION").to_owned(), ""),
    ]
}

/// Every migration, in the order in which contexts may refer to each other's tables.
pub fn migrations() -> Vec<Migration> {
    [
        store::MIGRATIONS,
        directory::MIGRATIONS,
        identity::MIGRATIONS,
        person::MIGRATIONS,
        exchange::MIGRATIONS,
        record::MIGRATIONS,
        crate::commands::demo::MIGRATIONS,
    ]
    .concat()
}

/// Reads the definitions; prints every problem when there is one.
pub fn read_catalog(dir: Option<&Path>) -> Result<Catalog> {
    let read = match dir {
        Some(dir) => catalog::from_dir(dir),
        None => catalog::shipped(),
    };
    read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("目录定义有 {} 处错误：\n{}", lines.len(), lines.join("\n"))
    })
}

// The master key is made only for a database that holds no keys yet: for any other it must be the one that wraps them.
async fn open_vault(
    settings: &Settings,
    db: &Db,
    options: &store::Settings,
    clock: &dyn Clock,
) -> Result<Vault> {
    use protect::provider::{Place, VARIABLE};
    let place = match &settings.master_key {
        Some(text) => Place::parse(text)?,
        None if std::env::var_os(VARIABLE).is_some() => Place::Environment(VARIABLE.to_owned()),
        None => Place::File(settings.data.join("keys").join("master.key")),
    };
    let wanted = store::keys::master(db).await?;
    let may_create = wanted.is_none();
    if let (Place::File(path), Some(wanted)) = (&place, &wanted) {
        crate::commands::keys::settle_master(path, wanted)?;
    }
    let provider = place.open(may_create, protect::cipher::AES_256_GCM)?;
    let suite = Suite::of(&options.text("protect.suite"));
    Ok(Vault::open(db, provider.into(), suite, clock.now()).await?)
}

/// Connects as the owner, brings the schema up to date, gives the serving role its rights, and connects as that.
async fn connect(settings: &Settings, cluster: Option<&Cluster>, catalog: &Catalog) -> Result<(Db, Db)> {
    let owner = match (cluster, &settings.database_owner_url, &settings.database_url) {
        (Some(cluster), _, _) => Db::connect(cluster.connect_options(), OWNER_CONNECTIONS).await?,
        (None, Some(url), _) => Db::connect_url(url, OWNER_CONNECTIONS).await?,
        (None, None, Some(url)) => Db::connect_url(url, settings.connections).await?,
        (None, None, None) => anyhow::bail!("没有数据库"),
    };
    for done in store::migrate(owner.pool(), &migrations()).await? {
        tracing::info!(done, "schema");
    }
    for done in store::fact_schema::apply(&owner, catalog).await? {
        tracing::info!(done, "fact schema");
    }
    let db = match (cluster, &settings.database_owner_url, &settings.database_url) {
        (Some(cluster), _, _) => {
            role::ensure_serving(&owner).await?;
            role::grant(&owner, role::SERVING).await?;
            Db::connect(cluster.serving_options(), settings.connections).await?
        }
        (None, Some(_), Some(url)) => {
            let db = Db::connect_url(url, settings.connections).await?;
            let name = role::name_of(&db).await?;
            if name != role::name_of(&owner).await? {
                role::grant(&owner, &name).await?;
            }
            db
        }
        _ => owner.clone(),
    };
    if !role::is_separate(&db).await? {
        tracing::warn!(
            "平台以数据库的属主（或超级用户）身份运行：审计日志只受触发器和签名链保护。\
             请用 --database-owner-url 另给属主地址，--database-url 用普通角色，见 docs/operations.md 第 4 节。"
        );
    }
    Ok((owner, db))
}

/// The owner's connections: migrations, and an operator's commands now and then.
const OWNER_CONNECTIONS: u32 = 2;

impl Platform {
    /// Starts the local cluster unless a database is given, brings the schema up to date and wires the contexts.
    pub fn open<'a>(
        settings: &'a Settings,
        clock: Arc<dyn Clock>,
        progress: &'a store::cluster::Progress,
    ) -> BoxFuture<'a, Result<Self>> {
        Box::pin(Self::start(settings, clock, progress))
    }

    async fn start(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        progress: &store::cluster::Progress,
    ) -> Result<Self> {
        let catalog = Arc::new(read_catalog(settings.catalog_dir.as_deref())?);
        std::fs::create_dir_all(&settings.data)
            .with_context(|| format!("不能创建数据目录 {}", settings.data.display()))?;
        let cluster = match &settings.database_url {
            Some(_) => None,
            None => Some(Cluster::start(&settings.data.join("postgres"), progress).await?),
        };
        let wired = async {
            let (owner, db) = connect(settings, cluster.as_ref(), &catalog).await?;
            Self::wire(settings, owner, db, catalog, clock).await
        };
        match wired.await {
            Ok(mut platform) => {
                platform.cluster = cluster;
                Ok(platform)
            }
            Err(error) => {
                if let Some(cluster) = cluster {
                    cluster.stop().await?;
                }
                Err(error)
            }
        }
    }

    async fn wire(
        settings: &Settings,
        owner: Db,
        db: Db,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let options = store::Settings::open(&db, catalog.clone()).await?;
        let vault = open_vault(settings, &db, &options, &*clock).await?;
        let db = db.with_keyring(vault.keyring().clone());
        let audit_keys = audit::Keys::open(&db, clock.now()).await?;
        let db = db.with_trail_key(audit_keys.mac().clone());
        let owner = owner.with_keyring(vault.keyring().clone()).with_trail_key(audit_keys.mac().clone());
        audit::partitions_ahead(&db, clock.now()).await?;
        let anchors = settings.data.join("audit").join("anchors.log");
        let sealer = Sealer::new(db.clone(), audit_keys, AnchorFile::at(&anchors), clock.clone());
        let directory = Directory::open(db.clone(), catalog.tables.clone()).await?;
        let directory = Arc::new(directory.with_clock(clock.clone()).with_datasets(&catalog));
        let person = MasterIndex::new(db.clone()).with_options(options.clone(), directory.clone());
        let person = Arc::new(person.with_stays(Arc::new(exchange::StoredStays::new(&catalog))));
        let registries = Registries::new(directory.clone(), catalog.clone(), clock.clone(), options.clone())
            .with_people(person.clone());
        let record = Record::new(record::Ports {
            db: db.clone(),
            catalog: catalog.clone(),
            clock: clock.clone(),
            institutions: directory.clone(),
            terminology: directory.clone(),
            persons: person.clone(),
            lookup: person.clone(),
            matcher: person.clone(),
            care: person.clone(),
            options: options.clone(),
            notices: Some(Arc::new(identity::notice::Sender)),
        });
        let objects = Objects::folder(&settings.data.join("objects")).await?;
        let exchange = Exchange::new(Intake::new(Parts {
            db: db.clone(),
            objects,
            catalog: catalog.clone(),
            terminology: directory.clone(),
            institutions: directory.clone(),
            linker: person.clone(),
            index: record.index(),
            clock: clock.clone(),
            options: options.clone(),
        }))
        .with_people(person.clone())
        .with_stored_codes(directory.clone());
        let identity = Identity::new(db.clone(), catalog.clone(), clock.clone(), directory.clone())?
            .with_options(options.clone())
            .with_people(person.clone())
            .with_staff(directory.clone())
            .with_trail(identity::audit::Trail {
                sealer: Some(sealer.clone()),
                people: Some(person.clone()),
                staff: Some(directory.clone()),
            })
            .with_settings(identity::Settings {
                tls: settings.base_url.starts_with("https://"),
                base_url: settings.base_url.clone(),
            });
        let desk = person::desk::Desk {
            db: db.clone(),
            index: person.clone(),
            institutions: directory.clone(),
            clock: clock.clone(),
            masks: catalog.masks.clone(),
            codes: directory.clone(),
            notices: Some(Arc::new(identity::notice::Sender)),
        };
        let mut panels = vec![
            exchange::quality::panel(&exchange),
            record.panel(),
            directory::terminology::panel(&directory),
            directory::registry::panel::panel(&registries),
            identity::audit::alerts::panel(&identity),
        ];
        panels.extend(person::desk::panels(&desk));
        let identity = identity.with_panels(panels);
        let mut jobs = Jobs::new(db.clone(), clock.clone());
        exchange.register_jobs(&mut jobs);
        identity.register_sso(&mut jobs);
        person.register_jobs(&mut jobs, &clock);
        record.register_jobs(&mut jobs);
        identity.register_jobs(&mut jobs);
        let divisions =
            Divisions::new(directory.clone(), clock.clone(), vec![person.clone(), identity.by_division()])
                .with_options(options.clone())
                .with_notices(Arc::new(identity::notice::Sender));
        divisions.register_jobs(&mut jobs);
        let configuration = Configuration {
            db: db.clone(),
            options: options.clone(),
            clock: clock.clone(),
            start: Arc::new(start_options(settings)),
            caches: directory.caches(),
        };
        let parts = [
            store::reseal::fact_parts(&catalog),
            directory::registry::protected(),
            person::protected(),
            exchange::protected(),
            identity::factor::parts(),
        ]
        .concat();
        let resealer = Resealer {
            db: db.clone(),
            vault: vault.clone(),
            catalog: catalog.clone(),
            parts: Arc::new(parts),
            clock: clock.clone(),
        };
        resealer.register(&mut jobs);
        record.catch_up().await?;
        if resealer.request_if_needed().await? {
            tracing::warn!("库中有明文或旧密钥加密的数据，后台正在逐步加密；进度见 minkang keys status");
        }
        identity::audit::register_jobs(&identity, &mut jobs);
        registries.register_jobs(&mut jobs);
        Ok(Self {
            db,
            owner,
            sealer,
            catalog,
            directory,
            divisions,
            configuration,
            registries,
            identity,
            exchange,
            record,
            person,
            jobs,
            vault,
            resealer,
            options,
            clock,
            cluster: None,
        })
    }

    /// Every route of the platform.
    pub fn routes(&self) -> Routes<()> {
        Routes::new()
            .merge(self.identity.routes())
            .merge(directory::pages::routes(self.directory.clone()))
            .merge(directory::divisions::pages::routes(self.divisions.clone()))
            .merge(directory::fhir::location::routes(self.divisions.clone()))
            .merge(directory::settings::routes(self.configuration.clone()))
            .merge(self.registries.routes())
            .merge(person::search::routes(person::search::SearchPages {
                db: self.db.clone(),
                clock: self.clock.clone(),
                masks: self.catalog.masks.clone(),
                institutions: self.directory.clone(),
                index: self.person.clone(),
            }))
            .merge(person::interface::routes(person::interface::Interface {
                index: self.person.clone(),
                db: self.db.clone(),
                clock: self.clock.clone(),
                institutions: self.directory.clone(),
            }))
            .merge(person::desk::routes(person::desk::Desk {
                db: self.db.clone(),
                index: self.person.clone(),
                institutions: self.directory.clone(),
                clock: self.clock.clone(),
                masks: self.catalog.masks.clone(),
                codes: self.directory.clone(),
                notices: Some(Arc::new(identity::notice::Sender)),
            }))
            .merge(self.exchange.routes())
            .merge(self.record.routes())
            .around(|router| identity::audit::watched(&self.identity, router))
    }

    /// The time.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    /// Closes connections and stops what was started.
    pub async fn close(self) -> Result<()> {
        self.db.close().await;
        self.owner.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }
}
