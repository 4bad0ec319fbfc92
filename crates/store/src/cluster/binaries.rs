//! Finding the PostgreSQL programs on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use kernel::{Refusal, RefusalKind, Result};

/// The oldest major version that the program runs on.
pub const OLDEST: u32 = 15;

/// A folder with `initdb`, `pg_ctl` and `postgres` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub folder: PathBuf,
    /// Major version, e.g. 15.
    pub major: u32,
}

impl Binaries {
    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether this build can compress its write-ahead log with LZ4.
    pub fn has_lz4(&self) -> bool {
        output(&self.program("pg_config"), "--configure").is_some_and(|text| text.contains("--with-lz4"))
    }
}

/// Finds the programs: of the version `wanted` by an existing data folder, otherwise the newest.
pub fn find(wanted: Option<u32>) -> Result<Binaries> {
    let found: Vec<Binaries> = folders()
        .into_iter()
        .filter(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()))
        .filter_map(|folder| {
            let major = parse_version(&output(&folder.join("postgres"), "--version")?)?;
            Some(Binaries { folder, major })
        })
        .collect();
    Ok(choose(found, wanted)?)
}

/// The choice among what was found.
fn choose(mut found: Vec<Binaries>, wanted: Option<u32>) -> Result<Binaries, Refusal> {
    found.sort_by_key(|b| std::cmp::Reverse(b.major));
    let present: Vec<String> = found.iter().map(|b| b.major.to_string()).collect();
    let refuse = |code, message| Err(Refusal::new(RefusalKind::Unavailable, code, message));
    if let Some(wanted) = wanted {
        return match found.into_iter().find(|b| b.major == wanted) {
            Some(binaries) => Ok(binaries),
            None => refuse(
                "cluster.version_mismatch",
                format!(
                    "数据目录是由 PostgreSQL {wanted} 建立的，而本机安装的是 {}。数据没有被改动。请安装软件包 \
                     postgresql-{wanted}，或用 pg_upgrade 升级数据目录后再启动。",
                    if present.is_empty() { "（无）".to_owned() } else { present.join("、") }
                ),
            ),
        };
    }
    match found.into_iter().next() {
        Some(binaries) if binaries.major >= OLDEST => Ok(binaries),
        Some(binaries) => refuse(
            "cluster.too_old",
            format!(
                "本机的 PostgreSQL 版本是 {}，需要 {OLDEST} 或更高。请安装 Debian 软件包 postgresql（apt-get install \
                 postgresql），或用 --database-url 指定已有的数据库。",
                binaries.major
            ),
        ),
        None => refuse(
            "cluster.no_postgres",
            "没有找到 PostgreSQL。请安装 Debian 软件包 postgresql（apt-get install postgresql；make demo 会自动安装），\
             或用 --database-url 指定已有的 PostgreSQL 15 以上数据库。"
                .to_owned(),
        ),
    }
}

/// Folders where the programs may be.
fn folders() -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for parent in ["/usr/lib/postgresql", "/usr/local/lib/postgresql"] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            folders.insert(entry.path().join("bin"));
        }
    }
    if let Some(folder) = output(Path::new("pg_config"), "--bindir") {
        folders.insert(PathBuf::from(folder.trim()));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path).filter(|p| p.join("postgres").is_file()));
    }
    folders
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let out = Command::new(program).arg(argument).env("LC_ALL", "C").output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Reads the major version from `postgres (PostgreSQL) 15.18 (Debian …)`.
fn parse_version(text: &str) -> Option<u32> {
    let rest = text.split("(PostgreSQL)").nth(1)?.trim_start();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|m| Binaries { folder: PathBuf::from(format!("/pg/{m}")), major: *m }).collect()
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 17.0\n", Some(17)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (EnterpriseDB) 15.1\n", None),
            ("", None),
        ];
        for (text, major) in cases {
            assert_eq!(parse_version(text), major, "{text}");
        }
    }

    #[test]
    fn the_newest_is_chosen_unless_a_data_folder_wants_its_own() {
        assert_eq!(choose(of(&[15, 17, 16]), None).map(|b| b.major), Ok(17));
        assert_eq!(choose(of(&[15, 17, 16]), Some(15)).map(|b| b.major), Ok(15));
        let code = |found: &[u32], wanted| choose(of(found), wanted).map(|b| b.major).map_err(|e| e.code);
        assert_eq!(code(&[], None), Err("cluster.no_postgres"));
        assert_eq!(code(&[13, 14], None), Err("cluster.too_old"));
        assert_eq!(code(&[15], Some(16)), Err("cluster.version_mismatch"));
        assert_eq!(code(&[], Some(16)), Err("cluster.version_mismatch"));
        let message = choose(of(&[15]), Some(16)).map_err(|e| e.message).err().unwrap_or_default();
        assert!(message.contains("postgresql-16") && message.contains("15"), "{message}");
    }
}
