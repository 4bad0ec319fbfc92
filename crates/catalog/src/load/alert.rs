//! Patterns in the audit trail: `alerts.toml`.

use std::collections::HashSet;

use crate::model::{AlertKind, AlertRule, Severity};
use crate::source::Table;

/// The rules, in order.
pub(super) fn read(root: Table<'_>) -> Vec<AlertRule> {
    let mut rules: Vec<AlertRule> = Vec::new();
    let mut codes = HashSet::new();
    for table in root.tables("alert") {
        let code = table.needed("code");
        if !code.value.is_empty() && !codes.insert(code.value.to_owned()) {
            table.report(code.at, format!("告警规则“{}”重复", code.value));
        }
        let kind = table.needed("kind");
        let parsed = AlertKind::from_code(kind.value);
        if parsed.is_none() && !kind.value.is_empty() {
            table.report(kind.at, format!("不认识的 kind“{}”", kind.value));
        }
        let severity = table.needed("severity");
        let grave = Severity::from_code(severity.value);
        if grave.is_none() && !severity.value.is_empty() {
            table.report(
                severity.at,
                format!("不认识的 severity“{}”：应为 low medium high 之一", severity.value),
            );
        }
        let whole = |key: &'static str, default: f64, least: f64, most: f64| {
            let number = table.number(key).unwrap_or(default);
            if !(least..=most).contains(&number) || number.fract() != 0.0 {
                table.report(table.at, format!("“{key}”应为 {least} 到 {most} 的整数"));
            }
            number as i64
        };
        let rule = AlertRule {
            code: code.value.to_owned(),
            kind: parsed.unwrap_or(AlertKind::ManyByOne),
            title: table.needed("title").value.to_owned(),
            hint: table.string("hint"),
            severity: grave.unwrap_or(Severity::Low),
            threshold: whole("threshold", 1.0, 1.0, 1e9),
            window_minutes: whole("window_minutes", 1440.0, 1.0, 525_600.0),
            from_hour: whole("from_hour", 22.0, 0.0, 23.0) as u32,
            to_hour: whole("to_hour", 6.0, 0.0, 23.0) as u32,
            sigma: table.number("sigma").unwrap_or(3.0),
            on: table.flag("on").unwrap_or(true),
        };
        table.finish();
        rules.push(rule);
    }
    root.finish();
    rules
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::load::load;

    #[test]
    fn a_rule_is_read_and_a_wrong_one_is_told() {
        let good =
            "[[alert]]\ncode = \"a\"\nkind = \"night\"\ntitle = \"t\"\nseverity = \"low\"\nthreshold = 3";
        let catalog = load([("alerts.toml", good)]).unwrap();
        assert_eq!((catalog.alerts[0].threshold, catalog.alerts[0].from_hour), (3, 22));
        let bad =
            "[[alert]]\ncode = \"a\"\nkind = \"day\"\ntitle = \"t\"\nseverity = \"grave\"\nthreshold = 0";
        let problems = load([("alerts.toml", bad)]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
