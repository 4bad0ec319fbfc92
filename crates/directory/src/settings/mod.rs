//! Configuration (系统设置): every setting of every part in one place, typed and explained, with who changed what when and
//! why, an undo, and export and import as TOML.
//!
//! Definitions stand in `catalog/settings/`; values and their history are kept by [`store::Settings`], which makes a
//! change take effect in every process. What is given on the command line (address, database, folders) is shown, not
//! changed: a program cannot move its own floor.

mod file;
mod pages;

use std::sync::Arc;

use catalog::{Setting, SettingKind, SettingValue};
use kernel::{Act, Clock, Line, Need, Refusal};
use store::cache::Caches;
use store::{Db, Settings};

pub use file::{Proposed, export, read};
pub use pages::routes;

/// Looking at settings.
pub const READ: Need = Need::new(Line::System, Act::Read);
/// Changing them.
pub const MANAGE: Need = Need::new(Line::System, Act::Manage);

/// How the program was started: what it is, its value (no secrets), where it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartOption {
    /// Chinese name.
    pub title: &'static str,
    /// Its value.
    pub value: String,
    /// The command-line option or environment variable.
    pub option: &'static str,
}

/// What the pages of the configuration need. Cheap to clone.
#[derive(Clone)]
pub struct Configuration {
    /// Database.
    pub db: Db,
    /// The settings of this process.
    pub options: Settings,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// How the program was started.
    pub start: Arc<Vec<StartOption>>,
    /// The caches of this process.
    pub caches: Caches,
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").field("start", &self.start).finish_non_exhaustive()
    }
}

/// Reads what somebody typed as the value of a setting.
///
/// # Errors
/// Says in Chinese what would be accepted.
pub fn parse(setting: &Setting, text: &str) -> Result<SettingValue, Refusal> {
    let text = text.trim();
    let value = match &setting.kind {
        SettingKind::Flag => match text {
            "true" | "1" | "是" | "on" => Some(SettingValue::Flag(true)),
            "false" | "0" | "否" | "off" => Some(SettingValue::Flag(false)),
            _ => None,
        },
        SettingKind::Whole { .. } => text.parse().ok().map(SettingValue::Whole),
        SettingKind::Text { .. } | SettingKind::Choice(_) => Some(SettingValue::Text(text.to_owned())),
    };
    let why = match &value {
        Some(value) => setting.accepts(value).err(),
        None => Some(match setting.kind {
            SettingKind::Flag => "应为“是”或“否”".to_owned(),
            _ => "应为整数".to_owned(),
        }),
    };
    match (value, why) {
        (Some(value), None) => Ok(value),
        (_, why) => Err(Refusal::invalid(
            "setting.value",
            format!("“{}”{}。", setting.title, why.unwrap_or_default()),
        )),
    }
}

/// A value as people read it, without its unit.
pub fn shown(setting: &Setting, value: &SettingValue) -> String {
    match (value, &setting.kind) {
        (SettingValue::Flag(true), _) => "是".to_owned(),
        (SettingValue::Flag(false), _) => "否".to_owned(),
        (SettingValue::Whole(n), _) => n.to_string(),
        (SettingValue::Text(text), SettingKind::Choice(words)) => {
            words.iter().find(|(word, _)| word == text).map_or_else(|| text.clone(), |(_, name)| name.clone())
        }
        (SettingValue::Text(text), _) if text.is_empty() => "（空）".to_owned(),
        (SettingValue::Text(text), _) => text.clone(),
    }
}

/// The same with its unit.
pub fn with_unit(setting: &Setting, value: &SettingValue) -> String {
    let text = shown(setting, value);
    if setting.unit.is_empty() { text } else { format!("{text} {}", setting.unit) }
}
