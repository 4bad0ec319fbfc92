//! What the single sign-on does by itself: rotating keys, ending sign-ins whose session is gone, telling
//! applications, deleting what has expired.

use ::store::jobs::Jobs;
use kernel::Result;

use super::{logout, store};
use crate::Identity;

impl Identity {
    /// Registers the background work of the single sign-on.
    pub fn register_sso(&self, jobs: &mut Jobs) {
        let identity = self.clone();
        jobs.on(logout::TELL, move |job| {
            let identity = identity.clone();
            Box::pin(async move { identity.sso_tell(&job.read()?).await })
        });
    }

    /// What is due now; called every few seconds by each process, cheap when nothing is.
    pub async fn sso_round(&self) -> Result<()> {
        self.sso_after_sessions().await?;
        self.sso_rotate_if_due().await?;
        let now = self.clock.now();
        self.db.transaction(async |tx| store::purge(tx, now).await).await
    }
}
