//! The desk's panel (编码对照): unknown codes of yesterday, proposals that wait.

use std::sync::Arc;

use contracts::{DeskCard, DeskLine, DeskPanel};
use futures::future::BoxFuture;
use kernel::{Act, Caller, Line, Need, Purpose, Result};

use super::coverage::{Asked, Counted};
use super::maps::Filter;
use super::pages::{APPROVE, LOOK, governed, reached};
use crate::Directory;

/// The panel of terminology.
pub fn panel(directory: &Arc<Directory>) -> Arc<dyn DeskPanel> {
    Arc::new(TermsPanel { directory: Arc::clone(directory) })
}

struct TermsPanel {
    directory: Arc<Directory>,
}

impl DeskPanel for TermsPanel {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            // For the institution's engineer and for who approves maps.
            let engineer = caller.may(Need::new(Line::Exchange, Act::Write));
            if !caller.may(LOOK) || !(engineer || caller.may(APPROVE)) {
                return Ok(None);
            }
            let mut lines = self.yesterday(caller).await?;
            lines.extend(self.waiting(caller).await?);
            lines.sort_by_key(|line| !line.urgent);
            Ok(Some(DeskCard { title: "编码对照".to_owned(), lines }))
        })
    }
}

impl TermsPanel {
    async fn yesterday(&self, caller: &Caller) -> Result<Vec<DeskLine>> {
        let directory = &self.directory;
        let institutions = reached(directory, &caller.decide(LOOK, Purpose::of("quality"))?);
        let day = directory.today() - chrono::Days::new(1);
        let asked = Asked { institutions: &institutions, table: None, from: day, to: day };
        let mut by_table: std::collections::BTreeMap<String, Counted> = std::collections::BTreeMap::new();
        for line in directory.coverage(&asked).await? {
            by_table.entry(line.table).or_default().add(line.total);
        }
        let tables = directory.tables_now();
        let line = |(table, counted): (&String, &Counted)| {
            let percent = counted.percent_unmapped()?;
            let name = tables.get(table).map_or(table.as_str(), |t| t.name.as_str());
            Some(DeskLine {
                text: format!("昨日“{name}”没有标准编码"),
                figure: format!("{percent:.1}%（{} 条）", counted.unmapped),
                link: format!("/code-coverage?table={table}&day_from={day}&day_to={day}"),
                urgent: percent >= 5.0,
            })
        };
        Ok(by_table.iter().filter(|(_, c)| c.unmapped > 0).filter_map(line).collect())
    }

    async fn waiting(&self, caller: &Caller) -> Result<Vec<DeskLine>> {
        let approver = caller.may(APPROVE);
        let need = if approver { APPROVE } else { LOOK };
        let reach = caller.decide(need, Purpose::of("quality"))?;
        let institutions =
            if approver { governed(&self.directory, &reach) } else { reached(&self.directory, &reach) };
        let state = if approver { "proposed" } else { "rejected" };
        let filter = Filter { institutions: &institutions, state: Some(state), ..Filter::default() };
        let count = self.directory.maps_count(&filter).await?;
        if count == 0 && !approver {
            return Ok(Vec::new());
        }
        Ok(vec![DeskLine {
            text: if approver { "待审批的院内码对照" } else { "被退回的院内码对照" }.to_owned(),
            figure: format!("{count} 条"),
            link: format!("/code-maps?state={state}"),
            urgent: count > 0,
        }])
    }
}
