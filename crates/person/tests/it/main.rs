//! The master index against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod care;
mod compare;
mod counties;
mod deaths;
mod desk;
mod divisions;
mod index;
mod interface;
mod linking;
mod model_checked;
mod numbers;
mod places;
mod scraps;
mod search;
mod special;
mod sweep;

use contracts::{Demographics, Linker};
use kernel::access::InstitutionId;
use kernel::{Clock, Result};
use person::MasterIndex;
use standards::CitizenId;
use store::Db;
use testkit::TestDb;

/// A county hospital.
pub const COUNTY_HOSPITAL: InstitutionId = InstitutionId::new(1);
/// A township health centre.
pub const TOWNSHIP: InstitutionId = InstitutionId::new(2);

/// An empty database and the master index over it.
pub async fn city() -> (TestDb, MasterIndex) {
    let migrations: Vec<_> = [store::migrate::MIGRATIONS, person::MIGRATIONS].concat();
    let db = TestDb::create(&migrations, &[]).await;
    let index = MasterIndex::new(db.db().clone());
    (db, index)
}

/// A citizen number of somebody born on a day; odd serials are men.
pub fn number(birth: &str, serial: u16) -> String {
    CitizenId::compose("411503", birth.parse().unwrap(), serial).unwrap().as_str().to_owned()
}

/// A registration; an empty birth or number says nothing.
pub fn registration(local_no: &str, name: &str, sex: &str, birth: &str, id: &str) -> Demographics {
    Demographics {
        local_no: local_no.into(),
        name: name.into(),
        sex: sex.into(),
        birth_date: if birth.is_empty() { None } else { Some(birth.parse().unwrap()) },
        credential_kind: if id.is_empty() { String::new() } else { "01".into() },
        credential_no: id.into(),
        registration: true,
        ..Default::default()
    }
}

/// A row of another data set that names a patient.
pub fn fact(local_no: &str, name: &str) -> Demographics {
    Demographics { local_no: local_no.into(), name: name.into(), ..Default::default() }
}

/// Links rows in a transaction of their own.
pub async fn link(
    db: &Db,
    index: &MasterIndex,
    institution: InstitutionId,
    rows: &[Demographics],
) -> Result<Vec<i64>> {
    let now = testkit::clock().now();
    db.transaction(async |tx| index.link(tx, institution, rows, 7, now).await).await
}
