//! The program `minkang` as a library: commands, wiring, roles. Tests and benchmarks assemble the platform from here.

pub mod commands;
pub mod platform;

use std::path::PathBuf;

use clap::Args;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// 数据目录：本地数据库、原始文件、前置目录
    #[arg(long, global = true, env = "MINKANG_DATA", default_value = "data")]
    pub data: PathBuf,
    /// 使用已有的 PostgreSQL（15 或更高），而不是自带的本地数据库
    #[arg(long, global = true, env = "MINKANG_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// 同一数据库的属主地址，只用于升级表结构；此时 --database-url 应是不拥有任何表的普通角色
    #[arg(long, global = true, env = "MINKANG_DATABASE_OWNER_URL", hide_env_values = true)]
    pub database_owner_url: Option<String>,
    /// 使用这个目录中的目录定义，而不是随程序发布的定义
    #[arg(long, global = true, env = "MINKANG_CATALOG_DIR")]
    pub catalog_dir: Option<PathBuf>,
    /// 主密钥的位置：file:路径、env:变量名 或 pkcs11:驱动库#密钥标签；缺省为数据目录下的 keys/master.key，设有环境变量
    /// MINKANG_MASTER_KEY 时用它
    #[arg(long, global = true, env = "MINKANG_MASTER_KEY_AT")]
    pub master_key: Option<String>,
    /// 数据库连接数
    #[arg(long, global = true, env = "MINKANG_CONNECTIONS", default_value_t = 16)]
    pub connections: u32,
    /// 平台所在地名称，显示在页面上
    #[arg(long, global = true, env = "MINKANG_PLACE", default_value = "")]
    pub place: String,
}
