//! Notices (通知): what somebody should know at once, at the bell of the top bar and as a list. Sent by any context in
//! the transaction of what it tells of.

mod pages;
mod store;

use ::store::Tx;
use contracts::{Notice, NoticeTo, Notices};
use futures::future::BoxFuture;
use kernel::Result;
use web::{Access, Routes};

use crate::Identity;

/// Sends notices; wired to other contexts in `app`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender;

impl Notices for Sender {
    fn send<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        to: NoticeTo,
        notice: &'a Notice,
        now: chrono::DateTime<chrono::Utc>,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(store::send(tx, to, notice, now))
    }
}

/// The bell and the list.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let own = Access::SignedIn("one's own notices");
    Routes::new()
        .get("/notices", own, pages::list)
        .get("/notices/bell", own, pages::bell)
        .post("/notices/read", own, pages::read_all)
        .post("/notices/{notice}/open", own, pages::open)
        .with_state(identity.clone())
}
