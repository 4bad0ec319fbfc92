//! Putting the platform together: database, registries, contexts, routes. The only place that knows every context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::Catalog;
use directory::Directory;
use exchange::Exchange;
use exchange::intake::{Intake, Parts};
use futures::future::BoxFuture;
use identity::Identity;
use kernel::Clock;
use person::MasterIndex;
use record::Record;
use store::cluster::Cluster;
use store::jobs::Jobs;
use store::keys::{Suite, Vault};
use store::objects::Objects;
use store::{Db, Migration};
use web::Routes;

/// Where things are and how the program is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder: local database, objects, watched folder.
    pub data: PathBuf,
    /// Somebody else's PostgreSQL instead of the local cluster.
    pub database_url: Option<String>,
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
    /// Database.
    pub db: Db,
    /// Definitions.
    pub catalog: Arc<Catalog>,
    /// Registries.
    pub directory: Arc<Directory>,
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
    /// What an operator changes while the program runs.
    pub options: store::Settings,
    clock: Arc<dyn Clock>,
    cluster: Option<Cluster>,
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
    let may_create = !store::keys::present(db).await?;
    let provider = place.open(may_create, protect::cipher::AES_256_GCM)?;
    let suite = Suite::of(&options.text("protect.suite"));
    Ok(Vault::open(db, provider.into(), suite, clock.now()).await?)
}

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
        let (db, cluster) = match &settings.database_url {
            Some(url) => (Db::connect_url(url, settings.connections).await?, None),
            None => {
                let cluster = Cluster::start(&settings.data.join("postgres"), progress).await?;
                (Db::connect(cluster.connect_options(), settings.connections).await?, Some(cluster))
            }
        };
        match Self::wire(settings, db, catalog, clock).await {
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

    async fn wire(settings: &Settings, db: Db, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Result<Self> {
        for done in store::migrate(db.pool(), &migrations()).await? {
            tracing::info!(done, "schema");
        }
        for done in store::fact_schema::apply(&db, &catalog).await? {
            tracing::info!(done, "fact schema");
        }
        let options = store::Settings::open(&db, catalog.clone()).await?;
        let vault = open_vault(settings, &db, &options, &*clock).await?;
        let db = db.with_keyring(vault.keyring().clone());
        let directory = Arc::new(Directory::open(db.clone(), catalog.tables.clone()).await?);
        let person = Arc::new(MasterIndex::new(db.clone()));
        let record = Record::new(record::Ports {
            db: db.clone(),
            catalog: catalog.clone(),
            clock: clock.clone(),
            institutions: directory.clone(),
            terminology: directory.clone(),
            persons: person.clone(),
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
        }));
        let identity = Identity::new(db.clone(), catalog.clone(), clock.clone(), directory.clone())?
            .with_options(options.clone())
            .with_people(person.clone())
            .with_panels(vec![exchange::quality::panel(&exchange)])
            .with_settings(identity::Settings {
                tls: settings.base_url.starts_with("https://"),
                base_url: settings.base_url.clone(),
            });
        let mut jobs = Jobs::new(db.clone(), clock.clone());
        exchange.register_jobs(&mut jobs);
        Ok(Self {
            db,
            catalog,
            directory,
            identity,
            exchange,
            record,
            person,
            jobs,
            vault,
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
            .merge(person::search::routes(person::search::SearchPages {
                db: self.db.clone(),
                clock: self.clock.clone(),
                institutions: self.directory.clone(),
            }))
            .merge(self.exchange.routes())
            .merge(self.record.routes())
    }

    /// Closes connections and stops what was started.
    pub async fn close(self) -> Result<()> {
        self.db.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }
}
