//! Sign-ins per second and core beside raw argon2 per second and core, in the same run: what sign-in costs beyond the
//! password hash. Run: `cargo bench -p minkang-identity --bench sign_in` (with a local PostgreSQL).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::{InstitutionCard, Institutions, NewInstitution};
use futures::future::BoxFuture;
use identity::password::Hasher;
use identity::sign_in::{Attempt, Progress};
use identity::{Identity, NewAccount, Persona};
use kernel::access::InstitutionId;
use kernel::{RegionCode, Result};

const PASSWORD: &str = "Xy7#kPq2wLm";
const LONG: Duration = Duration::from_secs(8);

struct Nowhere;

impl Institutions for Nowhere {
    fn by_id(&self, _: InstitutionId) -> Option<Arc<InstitutionCard>> {
        None
    }
    fn by_code(&self, _: &str) -> Option<Arc<InstitutionCard>> {
        None
    }
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        Arc::default()
    }
    fn region_name(&self, code: &RegionCode) -> String {
        code.to_string()
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        unreachable!("nothing is registered here")
    }
}

/// How often `work` ends in a while, `at_once` of them at a time.
async fn rate(at_once: usize, work: impl AsyncFn(usize)) -> f64 {
    let began = Instant::now();
    let work = &work;
    let lanes = (0..at_once).map(|lane| async move {
        let mut done = 0u32;
        while began.elapsed() < LONG {
            work(lane).await;
            done += 1;
        }
        done
    });
    let done: u32 = futures::future::join_all(lanes).await.into_iter().sum();
    f64::from(done) / began.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let migrations: Vec<store::Migration> =
        store::migrate::MIGRATIONS.iter().chain(identity::MIGRATIONS).copied().collect();
    let db = testkit::TestDb::create(&migrations, &[]).await;
    let catalog = Arc::new(catalog::shipped().expect("the shipped definitions are good"));
    let identity =
        Identity::new(db.db().clone(), catalog, testkit::clock(), Arc::new(Nowhere)).expect("identity");
    // Twice as many people as cores, each with their own account: nobody waits for a row of somebody else.
    let people: Vec<String> = (0..cores * 2).map(|n| format!("bench{n}")).collect();
    for login in &people {
        let account = NewAccount {
            login: login.clone(),
            name: "张测速".into(),
            staff_no: String::new(),
            role: "county_administrator".into(),
            institution: None,
            region: RegionCode::parse("411503").unwrap(),
        };
        identity.ensure_persona(&Persona { account, password: PASSWORD.into() }).await.unwrap();
    }
    let hasher = Hasher::new().unwrap();
    let hash = hasher.hash(PASSWORD).await.unwrap();

    let raw = rate(cores * 2, async |_| assert!(hasher.verify(PASSWORD, Some(&hash)).await.unwrap())).await;
    let signed = rate(cores * 2, async |lane| {
        let attempt = Attempt {
            login: &people[lane],
            password: PASSWORD,
            address: "10.0.0.1",
            agent: "bench",
            earlier: None,
            device: None,
        };
        assert!(matches!(identity.sign_in(attempt).await.unwrap(), Progress::Opened(_)));
    })
    .await;
    println!(
        "cores {cores}: raw argon2id {raw:.1}/s ({:.1} per core), sign-ins {signed:.1}/s ({:.1} per core), ratio {:.2}",
        raw / cores as f64,
        signed / cores as f64,
        signed / raw
    );
}
