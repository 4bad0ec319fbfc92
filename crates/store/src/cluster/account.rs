//! The operating-system account that PostgreSQL runs as. PostgreSQL refuses to run as root, so a program started by
//! root hands its database folder to an unprivileged account.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kernel::error::Doing;
use kernel::{Refusal, RefusalKind, Result};

/// Whom PostgreSQL runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Whether that is somebody other than us.
    pub switch: bool,
}

impl Account {
    /// Chooses the account for a folder: the one that owns an existing database, else ourselves; for root
    /// `postgres`, or `nobody` where there is no such account.
    pub fn choose(existing: Option<&Path>) -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let owner = existing.and_then(|path| fs::metadata(path).ok()).map(|m| (m.uid(), m.gid()));
        if uid != 0 {
            return match (owner, existing) {
                (Some((other, _)), Some(path)) if other != uid => Err(Refusal::new(
                    RefusalKind::Unavailable,
                    "cluster.other_owner",
                    format!(
                        "数据库目录 {} 属于另一个系统用户（uid {other}），当前用户无权启动它。请用原来的用户运行，\
                         或换一个数据目录。",
                        path.display()
                    ),
                )
                .into()),
                _ => Ok(Self { uid, gid, switch: false }),
            };
        }
        if let Some((uid, gid)) = owner.filter(|(uid, _)| *uid != 0) {
            return Ok(Self { uid, gid, switch: true });
        }
        let passwd = fs::read_to_string("/etc/passwd").doing("read the list of system accounts")?;
        match ["postgres", "nobody"].iter().find_map(|name| find_account(&passwd, name)) {
            Some((uid, gid)) => Ok(Self { uid, gid, switch: true }),
            None => Err(Refusal::new(
                RefusalKind::Unavailable,
                "cluster.no_account",
                "PostgreSQL 不能以 root 身份运行，而本机没有 postgres 或 nobody 用户。请安装软件包 postgresql，\
                 或改用普通用户运行本程序。",
            )
            .into()),
        }
    }

    /// A command that runs as the account, in `folder`, without our environment's PostgreSQL settings.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C.UTF-8").current_dir(folder);
        if self.switch {
            // Setting the user also clears the supplementary groups.
            command.uid(self.uid).gid(self.gid).env("HOME", folder);
        }
        command
    }

    /// Makes a folder that only the account (and root) can enter.
    pub fn private_folder(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
        self.own(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).doing("set folder permissions")?;
        Ok(())
    }

    /// Hands a path to the account.
    pub fn own(&self, path: &Path) -> Result<()> {
        if self.switch {
            chown(path, Some(self.uid), Some(self.gid)).doing("hand a folder to the database account")?;
        }
        Ok(())
    }

    /// Lets the account pass through the parents of `folder`: adds the search permission (not reading) where it
    /// lacks. Returns the folders that were changed.
    pub fn open_path_to(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        if !self.switch {
            return Ok(changed);
        }
        for parent in folder.ancestors().skip(1) {
            let meta = fs::metadata(parent).doing("look at a parent folder")?;
            let mode = meta.permissions().mode();
            let needed = if meta.uid() == self.uid {
                0o100
            } else if meta.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if mode & needed == 0 {
                fs::set_permissions(parent, Permissions::from_mode(mode | needed))
                    .map_err(|e| cannot_write(parent, &e))?;
                changed.push(parent.to_owned());
            }
        }
        Ok(changed)
    }
}

/// A folder cannot be written.
pub(super) fn cannot_write(folder: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "cluster.folder",
        format!(
            "无法建立或写入目录 {}：{error}。请检查磁盘空间和目录权限，或换一个数据目录。",
            folder.display()
        ),
    )
}

fn find_account(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        if parts.next()? != name {
            return None;
        }
        Some((parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:PG,,,:/v:/bin/bash\n";
        assert_eq!(find_account(passwd, "postgres"), Some((101, 104)));
        assert_eq!(find_account(passwd, "nobody"), None);
        assert_eq!(find_account("nobody:x:broken", "nobody"), None);
    }
}
