//! Who works where, by name: for alerts on the audit trail.

use contracts::StaffNames;
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use store::DbDoing;

use crate::Directory;

impl StaffNames for Directory {
    fn in_post<'a>(&'a self, pairs: &'a [(InstitutionId, String)]) -> BoxFuture<'a, Result<Vec<bool>>> {
        Box::pin(async move {
            let institutions: Vec<i64> = pairs.iter().map(|(id, _)| id.get()).collect();
            let names: Vec<&str> = pairs.iter().map(|(_, name)| name.as_str()).collect();
            sqlx::query_scalar(
                "select exists (select from registry_entry e where e.kind = 'staff' and e.state = 'active'
                    and e.institution_id = w.institution and e.name = w.name)
                 from unnest($1::bigint[], $2::text[]) with ordinality as w (institution, name, n) order by w.n",
            )
            .bind(institutions)
            .bind(names)
            .fetch_all(self.db.pool())
            .await
            .db("look for colleagues")
        })
    }
}
