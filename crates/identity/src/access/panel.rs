//! On the desk: exceptions that wait for my decision, and my own with their state.

use contracts::{DeskCard, DeskLine, DeskPanel};
use futures::future::BoxFuture;
use kernel::{Caller, Result};

use super::exceptions::oversees;
use crate::Identity;
use crate::grants::exceptions::Which;
use crate::page;

/// The panel of exceptions.
pub struct Waiting(pub Identity);

impl Waiting {
    async fn lines(&self, caller: &Caller) -> Result<Vec<DeskLine>> {
        let Some(account) = caller.account else { return Ok(Vec::new()) };
        let now = self.0.clock.now();
        let mut lines = Vec::new();
        if oversees(caller) {
            let which = Which { waiting_at: Some(now), ..Which::default() };
            let waiting = self.0.exceptions(&which, 50).await?;
            let said = self.0.may_decide_all(caller, &waiting).await?;
            let mine = said.iter().filter(|may| may.is_ok()).count();
            if mine > 0 {
                lines.push(DeskLine {
                    text: "待我审批的例外授权".to_owned(),
                    figure: format!("{mine} 项"),
                    link: "/access/exceptions?state=asked".to_owned(),
                    urgent: true,
                });
            }
        }
        let own = Which { own: Some(account), ..Which::default() };
        let alive = |row: &crate::grants::exceptions::ExceptionRow| row.holds(now) || row.waits(now);
        for row in self.0.exceptions(&own, 20).await?.iter().filter(|row| alive(row)).take(5) {
            lines.push(DeskLine {
                text: format!("{}：{}，{}", row.holder, row.right(), row.target_label),
                figure: format!("{}，至 {}", row.state_name(now), page::time(row.until)),
                link: format!("/access/exceptions/{}", row.id),
                urgent: false,
            });
        }
        Ok(lines)
    }
}

impl DeskPanel for Waiting {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            let lines = self.lines(caller).await?;
            Ok((!lines.is_empty()).then(|| DeskCard { title: "例外授权".to_owned(), lines }))
        })
    }
}
