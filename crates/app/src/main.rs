//! The program `minkang`: commands, wiring, roles.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use minkang::{Common, commands};

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
    Serve(commands::serve::ServeArgs),
    /// 建立演示城市并启动平台
    Demo(commands::demo::DemoArgs),
    /// 从文件导入一个数据集（与接口上传走同一流程）
    Import(commands::import::ImportArgs),
    /// 目录定义
    #[command(subcommand)]
    Catalog(commands::catalog::CatalogCommand),
    /// 代码表
    #[command(subcommand)]
    Codes(commands::codes::CodesCommand),
    /// 机构的接入客户端
    #[command(subcommand)]
    Client(commands::client::ClientCommand),
    /// 账号
    #[command(subcommand)]
    Account(commands::account::AccountCommand),
    /// 机构与行政区划
    #[command(subcommand)]
    Registry(commands::registry::RegistryCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,minkang=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(args) => commands::serve::run(&cli.common, args).await,
        Command::Demo(args) => commands::demo::run(&cli.common, args).await,
        Command::Import(args) => commands::import::run(&cli.common, args).await,
        Command::Catalog(command) => commands::catalog::run(&cli.common, command),
        Command::Codes(command) => commands::codes::run(&cli.common, command).await,
        Command::Client(command) => commands::client::run(&cli.common, command).await,
        Command::Account(command) => commands::account::run(&cli.common, command).await,
        Command::Registry(command) => commands::registry::run(&cli.common, command).await,
    };
    match outcome {
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
}
