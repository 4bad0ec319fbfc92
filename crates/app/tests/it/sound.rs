//! Whether everything that intake wrote agrees with itself, whatever happened on the way.

use sqlx::{AssertSqlSafe, PgPool};

/// Statements that must find nothing, with what it would mean if they did.
const CONTRADICTIONS: [(&str, &str); 9] = [
    (
        "a visit is in the record not exactly once",
        "select f.id from fact_outpatient_visit f left join record_entry e on e.dataset = 2 and e.fact_id = f.id
            and e.identity_id = f.identity_id and e.occurred_at = f.occurred_at and e.timeline
         group by f.id having count(e.fact_id) <> 1",
    ),
    (
        "the record shows a visit that is not there",
        "select e.fact_id from record_entry e where e.dataset = 2
            and not exists (select from fact_outpatient_visit f where f.id = e.fact_id)",
    ),
    (
        "a visit hangs on no identity record, or on that of another patient number",
        "select f.id from fact_outpatient_visit f left join identity_record i on i.id = f.identity_id
         where i.local_no is distinct from f.patient_no or i.institution_id is distinct from f.institution_id",
    ),
    (
        "a receipt does not add up",
        "select id from batch where state = 'done' and rows_received <> rows_stored + rows_unchanged + rows_replaced
            + rows_withdrawn + rows_rejected",
    ),
    (
        "the quality of the days does not add up to the receipts",
        "select 1 from (select institution_id, dataset, sum(rows_received) r, sum(rows_stored) s, sum(rows_unchanged) u,
                sum(rows_replaced) p, sum(rows_withdrawn) w, sum(rows_rejected) x
             from batch where dataset is not null and not atomic group by 1, 2 having sum(rows_received) > 0) b
         full join (select institution_id, dataset, sum(received) r, sum(stored) s, sum(unchanged) u, sum(replaced) p,
                sum(withdrawn) w, sum(rejected) x from quality_day group by 1, 2) q using (institution_id, dataset)
         where (b.r, b.s, b.u, b.p, b.w, b.x) is distinct from (q.r, q.s, q.u, q.p, q.w, q.x)",
    ),
    (
        "the days of a batch do not add up to its receipt",
        "select b.id from batch b left join batch_day d on d.batch_id = b.id where not b.atomic
         group by b.id having coalesce(sum(d.received), 0) <> b.rows_received
            or coalesce(sum(d.rejected), 0) <> b.rows_rejected",
    ),
    (
        "issues are listed twice, or not at all",
        "select b.id from batch b left join batch_issue i on i.batch_id = b.id
         group by b.id having count(i.batch_id) <> b.issue_count
            or count(i.batch_id) <> count(distinct (i.row_no, i.rule, i.field)) filter (where i.batch_id is not null)",
    ),
    (
        "the rules of the month do not add up to those of the batches",
        "select 1 from (select dataset, rule, sum(checked) c, sum(failed) f from batch_rule group by 1, 2) b
         full join (select dataset, rule, sum(checked) c, sum(failed) f from quality_rule_month group by 1, 2) m
            using (dataset, rule) where (b.c, b.f) is distinct from (m.c, m.f)",
    ),
    (
        "history does not keep what was replaced and withdrawn, once",
        "select 1 where (select count(*) from fact_history where reason is null) <>
                (select coalesce(sum(rows_replaced + rows_withdrawn), 0) from batch)
            or exists (select from fact_history group by dataset, fact_id, version having count(*) > 1)
            or exists (select from fact_history h join fact_outpatient_visit f on f.id = h.fact_id
                       where h.dataset = 2 and h.version >= f.version)",
    ),
];

/// Fails on the first contradiction. No batch may be under way.
pub async fn assert_sound(pool: &PgPool) {
    for (meaning, sql) in CONTRADICTIONS {
        let sql = format!("select count(*) from ({sql}) t");
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
        assert_eq!(found, 0, "{meaning}");
    }
}
