//! What waits for a reviewer, on the desk of whoever signs in; and what an institution's engineers were asked.

use contracts::{DeskCard, DeskLine, DeskPanel};
use futures::future::BoxFuture;
use kernel::{Caller, Purpose, Result};
use store::DbDoing;

use super::read::Within;
use super::{ANSWER, Desk, WRITE};

pub(super) struct Waiting(pub(super) Desk);

impl DeskPanel for Waiting {
    fn card<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Option<DeskCard>>> {
        Box::pin(async move {
            let desk = &self.0;
            let mut lines = Vec::new();
            if caller.may(WRITE) {
                let within = Within::of(&caller.decide(WRITE, Purpose::of("identity"))?, &*desk.institutions);
                // By county and institution, as the figures are; no registration is read.
                let (open, second, urgent): (i64, i64, i64) = sqlx::query_as(
                    "select count(*) filter (where state = 'open'), count(*) filter (where state = 'second'),
                            count(*) filter (where priority <= 2)
                     from review_task where state in ('open', 'second') and (county like any($1) or institutions && $2)",
                )
                .bind(&within.regions)
                .bind(&within.institutions)
                .fetch_one(desk.db.pool())
                .await
                .db("count what waits for review")?;
                lines.push(line("登记待核对", open, "/index/review?state=open", urgent > 0));
                if second > 0 {
                    lines.push(line("结论待复核", second, "/index/review?state=second", true));
                }
            }
            if caller.may(ANSWER) {
                let within =
                    Within::of(&caller.decide(ANSWER, Purpose::of("identity"))?, &*desk.institutions);
                let asked: i64 = sqlx::query_scalar(
                    "select count(*) from review_question where answered_at is null and institution_id = any($1)",
                )
                .bind(&within.institutions)
                .fetch_one(desk.db.pool())
                .await
                .db("count questions to institutions")?;
                if asked > 0 {
                    lines.push(line("患者登记待核实", asked, "/index/questions?state=open", true));
                }
            }
            Ok((!lines.is_empty()).then(|| DeskCard { title: "居民主索引".to_owned(), lines }))
        })
    }
}

fn line(text: &str, count: i64, link: &str, urgent: bool) -> DeskLine {
    DeskLine { text: text.to_owned(), figure: count.to_string(), link: link.to_owned(), urgent }
}
