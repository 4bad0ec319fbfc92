//! `minkang keys`: the keys of protected data: status, new versions, another master key.

use std::path::PathBuf;

use clap::Subcommand;
use kernel::{Caller, Clock, Purpose, SystemClock};
use protect::provider::Place;
use protect::{Domain, KeyState, cipher};
use store::AuditEntry;

use crate::Common;
use crate::commands::with_platform;
use crate::platform::Platform;

/// 数据密钥与主密钥
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// 各密钥的版本、状态，和换密的进度
    Status,
    /// 换用新版本的数据密钥：几秒后开始用新密钥写入，原有数据由后台任务逐步换密，期间读写不受影响
    Rotate {
        /// 只换一类：identity（身份信息）、facts（业务数据）、secrets（平台密钥与口令）、objects（原始文件）；缺省为前两类
        #[arg(long)]
        domain: Option<String>,
    },
    /// 更换主密钥：数据不动，只把数据密钥改由新的主密钥保护；完成后须重新启动平台
    Master {
        /// 新主密钥的位置（file:路径、env:变量名、pkcs11:驱动库#标签）；缺省为在原位置生成新的主密钥文件，旧文件改名保留
        #[arg(long)]
        to: Option<String>,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: KeysCommand) -> anyhow::Result<()> {
    let default = common.data.join("keys").join("master.key");
    let in_place = common.master_key.is_none() && std::env::var_os(protect::provider::VARIABLE).is_none();
    with_platform(common, async |platform| match command {
        KeysCommand::Status => {
            status(platform).await?;
            Ok(())
        }
        KeysCommand::Rotate { domain } => {
            let domains = match domain.as_deref() {
                None => vec![Domain::Identity, Domain::Facts],
                Some(code) => vec![
                    Domain::from_code(code).ok_or_else(|| anyhow::anyhow!("没有“{code}”这一类数据密钥"))?,
                ],
            };
            let now = SystemClock.now();
            for domain in &domains {
                platform.vault.rotate(*domain, now).await?;
            }
            platform.resealer.request().await?;
            let names: Vec<&str> = domains.iter().map(|d| d.title()).collect();
            audited(platform, "keys.rotate", names.join("、")).await?;
            println!("已生成新密钥（{}），约 5 秒后启用；换密由运行中的平台在后台进行，进度见 minkang keys status。", names.join("、"));
            Ok(())
        }
        KeysCommand::Master { to } => {
            let place = match &to {
                Some(text) => Place::parse(text)?,
                None if in_place => Place::File(next_file(&default)),
                None => anyhow::bail!("主密钥不在默认文件中，请用 --to 指明新主密钥的位置"),
            };
            let next = place.open(true, cipher::AES_256_GCM)?;
            let id = next.id();
            platform.vault.rewrap(next.into()).await?;
            if to.is_none() {
                settle_master(&default, &id)?;
            }
            audited(platform, "keys.master", id.clone()).await?;
            println!("数据密钥已改由主密钥 {id} 保护。请立即备份新的主密钥，并重新启动平台。");
            Ok(())
        }
    })
    .await
}

async fn audited(platform: &Platform, act: &'static str, label: String) -> anyhow::Result<()> {
    platform
        .db
        .transaction(async |tx| {
            let entry = AuditEntry { act, object_kind: "key", object_label: label, ..AuditEntry::default() };
            store::audit::record(tx, &Caller::system("命令行"), &Purpose::of(""), SystemClock.now(), &entry)
                .await
        })
        .await?;
    Ok(())
}

#[allow(clippy::print_stdout)] // the command's output
async fn status(platform: &Platform) -> anyhow::Result<()> {
    let (id, place) = platform.vault.master();
    println!("主密钥 {id}（{place}）");
    for key in platform.vault.status().await? {
        let day = kernel::clock::to_china(key.created_at).format("%Y-%m-%d %H:%M");
        let name = Domain::from_code(&key.name).map_or(key.name.as_str(), |d| d.title());
        println!(
            "{:>4}  {}  {}  第 {} 版  {}  {}  {day}",
            key.id,
            key.purpose.title(),
            name,
            key.version,
            key.algorithm,
            key.state.title()
        );
    }
    let keys = platform.vault.status().await?;
    let going = keys.iter().any(|k| matches!(k.state, KeyState::Coming | KeyState::Reading));
    let sweeps = store::reseal::sweeps(&platform.db).await?;
    let (done, all) = (sweeps.iter().filter(|s| s.done).count(), platform.resealer.parts.len());
    println!("换密：{all} 张表中 {done} 张已是最新{}", if going { "，正在进行" } else { "" });
    for sweep in sweeps.iter().filter(|s| !s.done) {
        println!(
            "      {}  {}/{} 页，已改写 {} 行",
            sweep.table_name, sweep.page, sweep.pages, sweep.changed
        );
    }
    Ok(())
}

fn next_file(file: &std::path::Path) -> PathBuf {
    file.with_extension("key.next")
}

/// Puts a new master key file in the place of the old one, which is kept under another name. Done again at the next
/// start if the program died between wrapping the keys and this.
pub fn settle_master(file: &std::path::Path, wanted: &str) -> anyhow::Result<()> {
    use protect::KeyProvider as _;
    let next = next_file(file);
    if !next.exists() || protect::provider::LocalMaster::from_file(&next)?.id() != wanted {
        return Ok(());
    }
    if file.exists() {
        let old = protect::provider::LocalMaster::from_file(file)?.id();
        std::fs::rename(file, file.with_extension(format!("key.old-{old}")))?;
    }
    std::fs::rename(&next, file)?;
    Ok(())
}
