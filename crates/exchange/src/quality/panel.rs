//! The desk's panel (数据质量): what came yesterday, what did not, which batches failed.

use std::sync::Arc;

use contracts::{DeskCard, DeskLine, DeskPanel};
use futures::future::BoxFuture;
use kernel::{Act, Caller, Line, Need, Purpose, Reach, Result};
use store::DbDoing;

use super::board::Board;
use super::counts::{self, Asked};
use super::scope::{self, Expected, Span};
use super::words;
use crate::Exchange;

/// The panel of this context.
pub fn panel(exchange: &Exchange) -> Arc<dyn DeskPanel> {
    Arc::new(QualityPanel { exchange: exchange.clone() })
}

struct QualityPanel {
    exchange: Exchange,
}

impl DeskPanel for QualityPanel {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            let look = Need::new(Line::Administration, Act::Read);
            let receipts = Need::new(Line::Exchange, Act::Read);
            // For who deals with uploads; an operator of the platform reads registries with the same line.
            if !caller.may(look) || !caller.may(receipts) {
                return Ok(None);
            }
            let purpose = || Purpose::of("quality");
            let reach = caller.decide(look, purpose())?;
            let mut lines = self.yesterday(&reach).await?;
            lines.extend(self.failures(&caller.decide(receipts, purpose())?).await?);
            lines.sort_by_key(|l| !l.urgent);
            Ok(Some(DeskCard { title: "数据上传与质量".to_owned(), lines }))
        })
    }
}

impl QualityPanel {
    async fn yesterday(&self, reach: &Reach) -> Result<Vec<DeskLine>> {
        let exchange = &self.exchange;
        let catalog = exchange.catalog();
        let today = exchange.intake.parts().clock.today();
        let span = Span::last(1, today - chrono::Days::new(1));
        let cards = scope::in_reach(exchange.institutions().as_ref(), reach);
        let numbers = scope::numbers(&cards);
        let asked = Asked { institutions: &numbers, dataset: None, from: span.from, to: span.to };
        let counted = counts::by_day(exchange.db(), catalog, asked).await?;
        let board = Board::build(&cards, &counted, span, today, &Expected::of(catalog, None));
        let total = board.total();
        let line = |text: &str, figure: String, link: String, urgent: bool| DeskLine {
            text: text.to_owned(),
            figure,
            link,
            urgent,
        };
        // One institution's people go to its own day, managers to the matrix.
        let day = match board.lines.as_slice() {
            [only] => format!("/quality/day?institution={}&day={}", only.card.code, span.to),
            _ => "/quality?order=missing".to_owned(),
        };
        let mut lines = vec![
            line("昨日收到（业务日期）", format!("{} 行", words::number(total.received)), day.clone(), false),
            line(
                "昨日拒收",
                format!("{} 行", words::number(total.rejected)),
                day.clone(),
                total.rejected > 0,
            ),
        ];
        if let [only] = board.lines.as_slice() {
            for number in only.cells.iter().flat_map(|c| &c.missing) {
                let Some(dataset) = catalog.dataset_by_number(*number) else { continue };
                let link = format!("/batches/new?dataset={}", dataset.code);
                lines.push(line(&format!("昨日未传：{}", dataset.name), "应每日上传".to_owned(), link, true));
            }
        } else {
            let blank = board.lines.iter().filter(|l| l.blank_days() > 0).count();
            let partly = board.lines.iter().filter(|l| l.blank_days() == 0 && l.missing() > 0).count();
            lines.push(line("昨日整日未传的机构", format!("{blank} 家"), day.clone(), blank > 0));
            lines.push(line("昨日缺部分数据集的机构", format!("{partly} 家"), day, false));
        }
        Ok(lines)
    }

    // Batches of the last week that could not be read to their end.
    async fn failures(&self, reach: &Reach) -> Result<Vec<DeskLine>> {
        let cards = scope::in_reach(self.exchange.institutions().as_ref(), reach);
        let since = self.exchange.intake.parts().clock.now() - chrono::TimeDelta::days(7);
        let failed: i64 = sqlx::query_scalar(
            "select count(*) from batch where institution_id = any($1) and state = 'failed' and received_at >= $2",
        )
        .bind(scope::numbers(&cards))
        .bind(since)
        .fetch_one(self.exchange.db().pool())
        .await
        .db("count failed batches")?;
        Ok(vec![DeskLine {
            text: "近 7 天没有读完的批次".to_owned(),
            figure: format!("{failed} 个"),
            link: "/batches?state=failed".to_owned(),
            urgent: failed > 0,
        }])
    }
}
