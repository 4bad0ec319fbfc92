//! The settings of the local cluster, in one place.

use std::fmt::Write;
use std::path::Path;

/// What the settings depend on.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether this PostgreSQL compresses with LZ4.
    pub lz4: bool,
}

/// What the cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Real data: nothing acknowledged is ever lost.
    Production,
    /// Tests: a power cut may destroy it.
    Tests,
}

impl Machine {
    /// This machine.
    pub fn here(lz4: bool) -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self { memory_mib: parse_memory(&text).unwrap_or(4096), lz4 }
    }
}

fn parse_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// The text of the settings file; every line says why.
pub fn render(machine: Machine, purpose: Use, socket_folder: &Path) -> String {
    let memory = machine.memory_mib;
    let tests = purpose == Use::Tests;
    let shared = if tests { 128 } else { (memory / 8).clamp(128, 4096) };
    let mut out = String::from(
        "# Written anew at every start by Minkang. Put settings of your own into local.conf in this folder.\n",
    );
    let mut set = |name: &str, value: &str, why: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name} = {value}    # {why}");
    };
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));

    set("listen_addresses", "''", "reachable only through the socket in a private folder, never by network");
    set("unix_socket_directories", &quoted(&socket_folder.to_string_lossy()), "the private folder");
    set("unix_socket_permissions", "0700", "and only for the account itself");
    set("port", "5432", "only part of the socket's name");
    set(
        "max_connections",
        if tests { "300" } else { "100" },
        "several program roles with a pool of 10 to 30 each",
    );

    set("shared_buffers", &format!("{shared}MB"), "an eighth of memory; the page cache holds the rest");
    set(
        "effective_cache_size",
        &format!("{}MB", memory * 5 / 8),
        "what shared buffers and page cache hold together",
    );
    set("work_mem", "16MB", "per sort or hash; many run at once, so modest");
    set(
        "maintenance_work_mem",
        &format!("{}MB", (memory / 16).clamp(64, 512)),
        "index builds and vacuum; few at once",
    );
    set("random_page_cost", "1.1", "solid-state disk: random reads cost little more than sequential ones");
    set("effective_io_concurrency", "100", "the same");
    set("jit", "off", "compiling costs more than our short queries take");
    set("update_process_title", "off", "naming each statement to `ps` costs a hundredth of a short one");

    if tests {
        set("fsync", "off", "test data may be lost");
        set("full_page_writes", "off", "the same");
        set("synchronous_commit", "off", "the same");
        set("autovacuum", "off", "tables live for seconds");
    } else {
        set("fsync", "on", "never off: a receipt promises that the data is safe");
        set("synchronous_commit", "on", "a receipt is given only after the disk has it");
        set("full_page_writes", "on", "torn pages after a power cut are repaired");
    }
    set("wal_compression", if machine.lz4 { "lz4" } else { "off" }, "halves full-page images at little cost");
    set("max_wal_size", "4GB", "bulk intake should not force checkpoints");
    set("min_wal_size", "256MB", "recycled rather than created anew");
    set("checkpoint_timeout", "15min", "fewer full-page images; crash recovery stays under a minute or so");
    set("checkpoint_completion_target", "0.9", "spread writing over the interval");
    set("wal_level", "replica", "allows base backups and a standby later");

    if !tests {
        set(
            "autovacuum_vacuum_scale_factor",
            "0.05",
            "large tables are vacuumed before a fifth of them is dead",
        );
        set("autovacuum_analyze_scale_factor", "0.02", "plans follow bulk intake closely");
        set("autovacuum_naptime", "20s", "the job and outbox tables churn");
    }

    set("timezone", "'Asia/Shanghai'", "what an operator sees in psql; the program's own sessions use UTC");
    set("log_timezone", "'Asia/Shanghai'", "times in the log file");
    set("log_line_prefix", "'%m [%p] %a '", "time, process, application");
    set("log_min_duration_statement", "2000", "slow statements are worth knowing");
    set("log_parameter_max_length", "0", "parameters hold personal data: never in a log");
    set("log_parameter_max_length_on_error", "0", "the same");
    set("log_error_verbosity", "terse", "DETAIL lines quote key values, which may be personal data");
    set("log_min_error_statement", "panic", "statements of failed queries may quote values");
    set("log_checkpoints", "off", "noise on a quiet machine");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_bounded() {
        assert_eq!(parse_memory("MemTotal:       24659868 kB\nMemFree: 1 kB\n"), Some(24081));
        assert_eq!(parse_memory("nothing"), None);
        let shared = |memory_mib| {
            let text = render(Machine { memory_mib, lz4: true }, Use::Production, Path::new("/s"));
            text.lines()
                .find_map(|l| l.strip_prefix("shared_buffers = "))
                .map(|l| l[..l.find(' ').unwrap_or(0)].to_owned())
        };
        assert_eq!(shared(512).as_deref(), Some("128MB"));
        assert_eq!(shared(4096).as_deref(), Some("512MB"));
        assert_eq!(shared(24_000).as_deref(), Some("3000MB"));
        assert_eq!(shared(256_000).as_deref(), Some("4096MB"));
    }

    #[test]
    fn production_is_durable_and_logs_no_values() {
        let text = render(Machine { memory_mib: 4096, lz4: false }, Use::Production, Path::new("/a'b"));
        for line in [
            "fsync = on ",
            "synchronous_commit = on ",
            "full_page_writes = on ",
            "log_error_verbosity = terse ",
        ] {
            assert!(text.lines().any(|l| l.starts_with(line)), "{line}");
        }
        assert!(text.contains("unix_socket_directories = '/a''b'"));
        assert!(text.lines().skip(1).all(|l| l.contains("    # ")), "every line says why");
    }
}
