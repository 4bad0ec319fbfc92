//! The commands of the program, one file each.

pub mod account;
pub mod audit;
pub mod catalog;
pub mod client;
pub mod codes;
pub mod demo;
pub mod divisions;
pub mod extract;
pub mod import;
pub mod keys;
pub mod person;
pub mod registry;
pub mod serve;
pub mod settings;
pub mod tls;
pub mod verify_receipt;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use futures::future::BoxFuture;
use kernel::SystemClock;

use crate::Common;
use crate::platform::{Platform, Settings};

/// 民康：全民健康信息平台
#[derive(Debug, Parser)]
#[command(name = "minkang", version, about = "民康：全民健康信息平台")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// 启动平台
    Serve(serve::ServeArgs),
    /// 建立演示城市并启动平台
    Demo(demo::DemoArgs),
    /// 从文件导入一个数据集（与接口上传走同一流程）
    Import(import::ImportArgs),
    /// 目录定义
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// 代码表
    #[command(subcommand)]
    Codes(codes::CodesCommand),
    /// 机构的接入客户端
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// 账号
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// 数据密钥与主密钥
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// 监听地址的 TLS 证书
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// 去标识化提取
    Extract(extract::ExtractArgs),
    /// 核对上传回执上的平台签名
    VerifyReceipt(verify_receipt::VerifyReceiptArgs),
    /// 机构与行政区划
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// 行政区划的各年版本
    #[command(subcommand)]
    Divisions(divisions::DivisionsCommand),
    /// 患者主索引
    #[command(subcommand)]
    Person(person::PersonCommand),
    /// 系统设置
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// 审计日志：校验、归档、导出
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

/// The whole program: reads the command line, runs the command, tells what went wrong.
///
/// Boxed, like every future that crosses a crate: otherwise each program that awaits it compiles it again.
pub fn main() -> BoxFuture<'static, ExitCode> {
    Box::pin(async {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,minkang=info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .init();
        match run(Cli::parse()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // A refusal is for the user: its sentence, not its chain of causes.
                match error.downcast_ref::<kernel::Error>() {
                    Some(kernel::Error::Refused(refusal)) => eprintln!("出错：{}", refusal.message),
                    _ => eprintln!("出错：{error:#}"),
                }
                ExitCode::FAILURE
            }
        }
    })
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let common = cli.common;
    match cli.command {
        Command::Serve(args) => serve::run(&common, args).await,
        Command::Demo(args) => demo::run(&common, args).await,
        Command::Import(args) => import::run(&common, args).await,
        Command::Catalog(command) => catalog::run(&common, command),
        Command::Codes(command) => codes::run(&common, command).await,
        Command::Client(command) => client::run(&common, command).await,
        Command::Account(command) => account::run(&common, command).await,
        Command::Keys(command) => keys::run(&common, command).await,
        Command::Tls(command) => tls::run(command),
        Command::Extract(args) => extract::run(&common, args).await,
        Command::VerifyReceipt(args) => verify_receipt::run(&common, args).await,
        Command::Registry(command) => registry::run(&common, command).await,
        Command::Divisions(command) => divisions::run(&common, command).await,
        Command::Person(command) => person::run(&common, command).await,
        Command::Settings(command) => settings::run(&common, command).await,
        Command::Audit(command) => audit::run(&common, command).await,
    }
}

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
        database_owner_url: common.database_owner_url.clone(),
        catalog_dir: common.catalog_dir.clone(),
        master_key: common.master_key.clone(),
        connections: common.connections,
        base_url: base_url.to_owned(),
    };
    Platform::open(&settings, Arc::new(SystemClock), &|line: &str| eprintln!("{line}")).await
}
