//! The commands of the program, one file each.

pub mod account;
pub mod catalog;
pub mod client;
pub mod codes;
pub mod demo;
pub mod import;
pub mod registry;
pub mod serve;

use std::sync::Arc;

use kernel::SystemClock;

use crate::Common;
use crate::platform::{Platform, Settings};

/// Opens the platform for a command and closes it afterwards, whatever happened.
pub async fn with_platform(
    common: &Common,
    work: impl AsyncFnOnce(&mut Platform) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut platform = open(common, "http://127.0.0.1:8686").await?;
    let outcome = work(&mut platform).await;
    platform.close().await?;
    outcome
}

/// Opens the platform, telling on the console what takes time.
pub async fn open(common: &Common, base_url: &str) -> anyhow::Result<Platform> {
    let settings = Settings {
        data: common.data.clone(),
        database_url: common.database_url.clone(),
        catalog_dir: common.catalog_dir.clone(),
        connections: common.connections,
        base_url: base_url.to_owned(),
    };
    Platform::open(&settings, Arc::new(SystemClock), &|line: &str| eprintln!("{line}")).await
}
