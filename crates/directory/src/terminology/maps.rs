//! Maps of institutions' own codes to standard codes (院内码对照).
//!
//! ```text
//! proposed ── approve ──→ approved ── undo, or another approved for the same code ──→ ended
//!     ├────── reject ───→ rejected
//!     └────── withdraw ─→ withdrawn
//! ```
//!
//! The institution's engineer proposes; the terminology officer of the region decides; nobody decides on a proposal of
//! their own. Lines stay as they were decided and are the history. Rows that are stored already follow ([`stored`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use catalog::{CodeTables, LocalMap, LocalMaps};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Refusal, Result};
use serde_json::json;
use store::audit::{self, AuditEntry};
use store::{Db, DbDoing, Tx};

use super::reader::{Grid, cell};
use super::stored;
use super::suggest::{Chosen, Suggestion, suggest};
use crate::{Directory, Registry};

/// A line of a map.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct MapLine {
    /// Number.
    pub id: i64,
    /// Whose code it is.
    pub institution_id: i32,
    /// The table of the standard code.
    pub table_id: String,
    /// The institution's own code.
    pub local_code: String,
    /// Its name there.
    pub local_name: String,
    /// The standard code.
    pub standard_code: String,
    /// Its name when it was proposed.
    pub standard_name: String,
    /// `equivalent`, `wider`, `narrower`: the standard code against the local one.
    pub relation: String,
    /// Similarity when it was proposed.
    pub score: Option<f32>,
    /// Why it was proposed.
    pub basis: String,
    /// `proposed`, `approved`, `rejected`, `withdrawn`, `ended`.
    pub state: String,
    /// When it was proposed.
    pub proposed_at: DateTime<Utc>,
    /// By whom.
    pub proposed_by: String,
    /// By which account.
    pub proposed_account: Option<i64>,
    /// When it was decided.
    pub decided_at: Option<DateTime<Utc>>,
    /// By whom.
    pub decided_by: Option<String>,
    /// What they wrote.
    pub note: String,
    /// First day in force.
    pub valid_from: Option<NaiveDate>,
    /// First day no longer in force.
    pub valid_to: Option<NaiveDate>,
    /// Rows that came with the code so far.
    pub rows: i64,
}

/// A map to be proposed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewMap {
    /// The table of the standard code.
    pub table: String,
    /// The institution's own code.
    pub local_code: String,
    /// Its name there.
    pub local_name: String,
    /// The standard code.
    pub standard_code: String,
    /// `equivalent`, `wider`, `narrower`; empty: equivalent.
    pub relation: String,
    /// Similarity, when it was suggested.
    pub score: Option<f32>,
    /// Why.
    pub basis: String,
}

/// What became of proposals, or would become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposed {
    /// New, or another standard code than before.
    pub added: usize,
    /// Proposed or approved already in the same way.
    pub unchanged: usize,
    /// Left out, and why.
    pub problems: Vec<String>,
    /// Whether something was written.
    pub applied: bool,
}

/// What a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Institutions in reach.
    pub institutions: &'a [i32],
    /// One table.
    pub table: Option<&'a str>,
    /// One state.
    pub state: Option<&'a str>,
    /// Part of a code or name.
    pub text: &'a str,
    /// Least similarity.
    pub at_least: Option<f32>,
}

/// Codes without a map, with what is suggested for them.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCode {
    /// The code.
    pub code: String,
    /// Its name, as last sent.
    pub name: String,
    /// Rows so far.
    pub rows: i64,
    /// The last day it came.
    pub last_seen: NaiveDate,
    /// Best suggestions.
    pub suggestions: Vec<Suggestion>,
}

/// Relations and their words.
pub const RELATIONS: [(&str, &str); 3] =
    [("equivalent", "等同"), ("wider", "标准码较宽"), ("narrower", "标准码较窄")];

/// States and their words.
pub const STATES: [(&str, &str); 5] = [
    ("proposed", "待审批"),
    ("approved", "已批准"),
    ("rejected", "已退回"),
    ("withdrawn", "已撤回"),
    ("ended", "已停用"),
];

const COLUMNS: &str =
    "m.id, m.institution_id, m.table_id, m.local_code, m.local_name, m.standard_code, m.standard_name,
    m.relation, m.score, m.basis, m.state, m.proposed_at, m.proposed_by, m.proposed_account, m.decided_at,
    m.decided_by, m.note, m.valid_from, m.valid_to";

const FROM: &str = "from code_map m
    left join local_code l on l.institution_id = m.institution_id and l.table_id = m.table_id and l.code = m.local_code
    where m.institution_id = any($1) and ($2::text is null or m.table_id = $2) and ($3::text is null or m.state = $3)
        and ($4 = '' or m.local_code ilike $4 || '%' or m.local_name ilike '%' || $4 || '%'
            or m.standard_code ilike $4 || '%' or m.standard_name ilike '%' || $4 || '%')
        and ($5::real is null or m.score >= $5)";

/// Approved maps that hold, by institution; lines whose standard code is no longer in its table are left out.
pub(crate) async fn in_force(
    db: &Db,
    tables: &CodeTables,
    day: NaiveDate,
) -> Result<HashMap<i64, Arc<LocalMaps>>> {
    let rows: Vec<(i32, String, String, String)> = sqlx::query_as(
        "select institution_id, table_id, local_code, standard_code from code_map
         where state = 'approved' and coalesce(valid_from, '-infinity') <= $1",
    )
    .bind(day)
    .fetch_all(db.pool())
    .await
    .db("read the maps in force")?;
    let mut maps: HashMap<i64, HashMap<String, LocalMap>> = HashMap::new();
    for (institution, table, local, standard) in rows {
        if tables.get(&table).is_some_and(|t| t.contains(&standard)) {
            let of = maps.entry(i64::from(institution)).or_default().entry(table).or_default();
            of.insert(local.into(), standard.into());
        }
    }
    let whole = |tables: HashMap<String, LocalMap>| LocalMaps {
        tables: tables.into_iter().map(|(table, map)| (table, Arc::new(map))).collect(),
    };
    Ok(maps.into_iter().map(|(id, tables)| (id, Arc::new(whole(tables)))).collect())
}

impl Directory {
    /// Lines of maps, proposals with most rows first, then the latest.
    pub async fn maps(&self, filter: &Filter<'_>, limit: i64, offset: i64) -> Result<Vec<MapLine>> {
        let sql = sqlx::AssertSqlSafe(format!(
            "select {COLUMNS}, coalesce(l.row_count, 0) as rows {FROM}
             order by m.state <> 'proposed', case when m.state = 'proposed' then -coalesce(l.row_count, 0) end, m.id desc
             limit $6 offset $7"
        ));
        sqlx::query_as(sql)
            .bind(filter.institutions)
            .bind(filter.table)
            .bind(filter.state)
            .bind(filter.text.replace(['%', '_', '\\'], ""))
            .bind(filter.at_least)
            .bind(limit)
            .bind(offset)
            .fetch_all(self.db.pool())
            .await
            .db("list maps")
    }

    /// How many lines a list has.
    pub async fn maps_count(&self, filter: &Filter<'_>) -> Result<i64> {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) {FROM}"));
        sqlx::query_scalar(sql)
            .bind(filter.institutions)
            .bind(filter.table)
            .bind(filter.state)
            .bind(filter.text.replace(['%', '_', '\\'], ""))
            .bind(filter.at_least)
            .fetch_one(self.db.pool())
            .await
            .db("count maps")
    }

    /// Codes of an institution that have neither a map nor a proposal, those with most rows first, with suggestions.
    pub async fn open_codes(
        &self,
        institution: InstitutionId,
        table_id: &str,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<OpenCode>)> {
        let Some(table) = self.tables_now().get(table_id).cloned() else { return Ok((0, Vec::new())) };
        type Row = (String, String, i64, NaiveDate, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "select l.code, l.name, l.row_count, l.last_seen, count(*) over () from local_code l
             where l.institution_id = $1 and l.table_id = $2 and not exists (
                select from code_map m where m.institution_id = l.institution_id and m.table_id = l.table_id
                    and m.local_code = l.code and m.state in ('proposed', 'approved'))
             order by l.row_count desc, l.code limit $3 offset $4",
        )
        .bind(institution.get() as i32)
        .bind(table_id)
        .bind(limit)
        .bind(offset)
        .fetch_all(self.db.pool())
        .await
        .db("list codes without map")?;
        let total = rows.first().map_or(0, |row| row.4);
        let pairs: Vec<(String, String)> = rows.iter().map(|r| (r.0.clone(), r.1.clone())).collect();
        let chosen = self.chosen(institution, table_id, &pairs).await?;
        let index = self.search_index(&table);
        // A likeness with a national table takes a millisecond or two: not on a thread that serves others.
        let suggested = tokio::task::spawn_blocking(move || {
            let one = |((code, name), chosen): (&(String, String), &Vec<Chosen>)| {
                suggest(&index, (code, name), chosen, 3)
            };
            pairs.iter().zip(&chosen).map(one).collect::<Vec<_>>()
        })
        .await
        .map_err(|e| kernel::Error::fault("suggest codes", e))?;
        let open = rows.into_iter().zip(suggested).map(|((code, name, rows, last_seen, _), suggestions)| {
            OpenCode { code, name, rows, last_seen, suggestions }
        });
        Ok((total, open.collect()))
    }

    /// What other institutions' approved maps say of some codes and names, in one query.
    async fn chosen(
        &self,
        institution: InstitutionId,
        table: &str,
        pairs: &[(String, String)],
    ) -> Result<Vec<Vec<Chosen>>> {
        let mut out = vec![Vec::new(); pairs.len()];
        if pairs.is_empty() {
            return Ok(out);
        }
        let rows: Vec<(i64, String, bool, i64)> = sqlx::query_as(
            "select n.at, m.standard_code, m.local_name = n.name and n.name <> '' as by_name,
                count(distinct m.institution_id)
             from unnest($3::text[], $4::text[]) with ordinality as n (code, name, at)
             join code_map m on m.table_id = $2 and m.state = 'approved' and m.institution_id <> $1
                and ((m.local_name = n.name and n.name <> '') or (m.local_code = n.code and n.name = ''))
             group by 1, 2, 3",
        )
        .bind(institution.get() as i32)
        .bind(table)
        .bind(pairs.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>())
        .bind(pairs.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
        .fetch_all(self.db.pool())
        .await
        .db("read what others mapped")?;
        for (at, code, by_name, institutions) in rows {
            if let Some(of) = usize::try_from(at - 1).ok().and_then(|at| out.get_mut(at)) {
                of.push(Chosen { code, institutions, by_name });
            }
        }
        Ok(out)
    }

    /// Proposes maps for codes of an institution. A proposal for a code that is proposed already takes its place.
    pub async fn propose_maps(
        &self,
        institution: InstitutionId,
        maps: &[NewMap],
        dry_run: bool,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<Proposed> {
        let tables = self.tables_now();
        let mut report = Proposed::default();
        let good = sound(maps, &tables, &mut report.problems);
        let standing: Vec<(String, String, String)> = sqlx::query_as(
            "select table_id, local_code, standard_code from code_map
             where institution_id = $1 and state in ('proposed', 'approved')
                and (table_id, local_code) in (select * from unnest($2::text[], $3::text[]))",
        )
        .bind(institution.get() as i32)
        .bind(good.iter().map(|m| m.table.as_str()).collect::<Vec<_>>())
        .bind(good.iter().map(|m| m.local_code.as_str()).collect::<Vec<_>>())
        .fetch_all(self.db.pool())
        .await
        .db("read the maps that stand")?;
        let standing: HashSet<(&str, &str, &str)> =
            standing.iter().map(|(t, l, s)| (t.as_str(), l.as_str(), s.as_str())).collect();
        let new: Vec<&NewMap> = good
            .iter()
            .copied()
            .filter(|m| {
                !standing.contains(&(m.table.as_str(), m.local_code.as_str(), m.standard_code.as_str()))
            })
            .collect();
        report.added = new.len();
        report.unchanged = good.len() - new.len();
        if dry_run || new.is_empty() {
            return Ok(report);
        }
        self.db
            .transaction(async |tx| {
                write(tx, institution, &new, &tables, caller, now).await?;
                let entry = AuditEntry {
                    act: "codes.map_propose",
                    object_kind: "institution",
                    object_id: Some(institution.get()),
                    detail: Some(json!({ "lines": new.len() })),
                    ..AuditEntry::default()
                };
                audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await
            })
            .await?;
        report.applied = true;
        Ok(report)
    }

    /// Approves or rejects proposals of these institutions; how many, and how many were the caller's own and stay.
    pub async fn decide_maps(
        &self,
        institutions: &[i32],
        ids: &[i64],
        decision: Decision<'_>,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<Decided> {
        let today = kernel::clock::to_china(now).date();
        let from = decision.valid_from.unwrap_or(today);
        if from > today {
            return Err(Refusal::invalid("map.future", "启用日期不能晚于今天：批准即生效。").into());
        }
        if !decision.approve && decision.note.trim().is_empty() {
            return Err(Refusal::invalid("map.no_reason", "请写明退回的理由，以便医院更正。").into());
        }
        let state = if decision.approve { "approved" } else { "rejected" };
        let account = caller.account.map(kernel::Id::get);
        let decided = self
            .db
            .transaction(async |tx| {
                let lines: Vec<(i64, i32, Option<i64>)> = sqlx::query_as(
                    "select id, institution_id, proposed_account from code_map
                     where id = any($1) and state = 'proposed' and institution_id = any($2) order by id for update",
                )
                .bind(ids)
                .bind(institutions)
                .fetch_all(&mut **tx)
                .await
                .db("lock proposals")?;
                let own = |proposer: &Option<i64>| proposer.is_some() && *proposer == account;
                let decidable: Vec<i64> =
                    lines.iter().filter(|(_, _, proposer)| !own(proposer)).map(|(id, _, _)| *id).collect();
                let decided = Decided { done: decidable.len(), own: lines.len() - decidable.len() };
                if decidable.is_empty() {
                    return Ok(decided);
                }
                if decision.approve {
                    end_before(tx, &decidable, from, caller, now).await?;
                }
                sqlx::query(
                    "update code_map set state = $2, decided_at = $3, decided_by = $4, decided_account = $5,
                        note = $6, valid_from = case when $2 = 'approved' then $7::date end where id = any($1)",
                )
                .bind(&decidable)
                .bind(state)
                .bind(now)
                .bind(&caller.name)
                .bind(account)
                .bind(decision.note.trim())
                .bind(from)
                .execute(&mut **tx)
                .await
                .db("decide on proposals")?;
                record_each(tx, if decision.approve { "codes.map_approve" } else { "codes.map_reject" }, &lines, caller, now)
                    .await?;
                if decision.approve {
                    let asked: Vec<(i64, i32)> =
                        lines.iter().filter(|l| !own(&l.2)).map(|l| (l.0, l.1)).collect();
                    stored::ask(tx, &asked, &caller.name, now).await?;
                }
                Ok(decided)
            })
            .await?;
        if decision.approve && decided.done > 0 {
            self.maps_changed().await?;
        }
        Ok(decided)
    }

    /// Ends approved maps (what they translated is put back to what the sender wrote), or withdraws proposals; how many.
    pub async fn end_maps(
        &self,
        institutions: &[i32],
        ids: &[i64],
        state: Ending,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<usize> {
        let (from, to, act) = match state {
            Ending::Undo => ("approved", "ended", "codes.map_undo"),
            Ending::Withdraw => ("proposed", "withdrawn", "codes.map_withdraw"),
        };
        let done = self
            .db
            .transaction(async |tx| {
                let lines: Vec<(i64, i32, Option<i64>)> = sqlx::query_as(
                    "update code_map set state = $4, ended_at = $5, ended_by = $6,
                        valid_to = case when $4 = 'ended' then $7::date end
                     where id = any($1) and institution_id = any($2) and state = $3
                     returning id, institution_id, proposed_account",
                )
                .bind(ids)
                .bind(institutions)
                .bind(from)
                .bind(to)
                .bind(now)
                .bind(&caller.name)
                .bind(kernel::clock::to_china(now).date())
                .fetch_all(&mut **tx)
                .await
                .db("end maps")?;
                record_each(tx, act, &lines, caller, now).await?;
                if state == Ending::Undo {
                    let asked: Vec<(i64, i32)> = lines.iter().map(|l| (l.0, l.1)).collect();
                    stored::ask(tx, &asked, &caller.name, now).await?;
                }
                Ok(lines.len())
            })
            .await?;
        if done > 0 && state == Ending::Undo {
            self.maps_changed().await?;
        }
        Ok(done)
    }

    async fn maps_changed(&self) -> Result<()> {
        self.reload(Registry::Maps).await?;
        self.announce(Registry::Maps).await
    }

    /// Reads the maps in force again.
    pub(crate) async fn reload_maps(&self) -> Result<()> {
        let maps = in_force(&self.db, &self.tables_now(), self.today()).await?;
        crate::put(&self.terms.maps, maps);
        Ok(())
    }
}

/// A decision on proposals.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decision<'a> {
    /// Approve, else reject.
    pub approve: bool,
    /// Why; needed to reject.
    pub note: &'a str,
    /// First day in force; none: today.
    pub valid_from: Option<NaiveDate>,
}

/// What a decision did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// Lines decided.
    pub done: usize,
    /// Lines left because the caller proposed them.
    pub own: usize,
}

/// How a line ends without a decision on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// An approved line is undone.
    Undo,
    /// A proposal is taken back.
    Withdraw,
}

/// The lines that can be proposed; what is wrong with the others goes to `problems`.
fn sound<'m>(maps: &'m [NewMap], tables: &CodeTables, problems: &mut Vec<String>) -> Vec<&'m NewMap> {
    let mut seen = HashSet::new();
    let mut good = Vec::new();
    for (map, number) in maps.iter().zip(1..) {
        let Some(table) = tables.get(&map.table) else {
            problems.push(format!("第 {number} 行：没有代码表“{}”", map.table));
            continue;
        };
        let local = map.local_code.trim();
        let problem = if local.is_empty() || local.chars().count() > 50 {
            Some(format!("第 {number} 行：院内编码为空或超过 50 个字符"))
        } else if !table.contains(&map.standard_code) {
            Some(format!("第 {number} 行：“{}”不是“{}”的代码", map.standard_code, table.name))
        } else if table.position(&map.standard_code).is_some_and(|at| table.retired.contains_key(&at)) {
            Some(format!("第 {number} 行：标准代码 {} 已停用", map.standard_code))
        } else if table.contains(local) {
            Some(format!("第 {number} 行：“{local}”本身就是标准代码，不需要对照"))
        } else if !map.relation.is_empty() && !RELATIONS.iter().any(|(code, _)| *code == map.relation) {
            Some(format!("第 {number} 行：关系只能是 equivalent、wider 或 narrower"))
        } else if !seen.insert((map.table.as_str(), local)) {
            Some(format!("第 {number} 行：院内编码 {local} 重复，保留第一次出现的"))
        } else {
            None
        };
        match problem {
            Some(problem) => problems.push(problem),
            None => good.push(map),
        }
    }
    good
}

async fn write(
    tx: &mut Tx<'_>,
    institution: InstitutionId,
    new: &[&NewMap],
    tables: &CodeTables,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<()> {
    let id = institution.get() as i32;
    sqlx::query(
        "update code_map set state = 'withdrawn', ended_at = $4, ended_by = $5 where institution_id = $1
            and state = 'proposed' and (table_id, local_code) in (select * from unnest($2::text[], $3::text[]))",
    )
    .bind(id)
    .bind(new.iter().map(|m| m.table.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.local_code.trim()).collect::<Vec<_>>())
    .bind(now)
    .bind(&caller.name)
    .execute(&mut **tx)
    .await
    .db("replace proposals")?;
    let names: Vec<&str> = new.iter().map(|m| tables.display(&m.table, &m.standard_code)).collect();
    let relation =
        |m: &&NewMap| if m.relation.is_empty() { "equivalent".to_owned() } else { m.relation.clone() };
    sqlx::query(
        "insert into code_map (institution_id, table_id, local_code, local_name, standard_code, standard_name,
            relation, score, basis, state, proposed_at, proposed_by, proposed_account)
         select $1, n.table_id, n.local_code,
            case when n.local_name <> '' then n.local_name else coalesce(l.name, '') end,
            n.standard_code, n.standard_name, n.relation, n.score, n.basis, 'proposed', $2, $3, $4
         from unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::real[], $12::text[])
            as n (table_id, local_code, local_name, standard_code, standard_name, relation, score, basis)
         left join local_code l on l.institution_id = $1 and l.table_id = n.table_id and l.code = n.local_code",
    )
    .bind(id)
    .bind(now)
    .bind(&caller.name)
    .bind(caller.account.map(kernel::Id::get))
    .bind(new.iter().map(|m| m.table.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.local_code.trim()).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.local_name.trim()).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.standard_code.as_str()).collect::<Vec<_>>())
    .bind(names)
    .bind(new.iter().map(relation).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.score).collect::<Vec<_>>())
    .bind(new.iter().map(|m| m.basis.as_str()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("propose maps")?;
    Ok(())
}

/// Ends the maps in force for the local codes of proposals that are being approved.
async fn end_before(
    tx: &mut Tx<'_>,
    ids: &[i64],
    from: NaiveDate,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "update code_map old set state = 'ended', valid_to = greatest($2::date, old.valid_from), ended_at = $3, ended_by = $4
         from code_map new where new.id = any($1) and old.state = 'approved' and old.institution_id = new.institution_id
            and old.table_id = new.table_id and old.local_code = new.local_code",
    )
    .bind(ids)
    .bind(from)
    .bind(now)
    .bind(&caller.name)
    .execute(&mut **tx)
    .await
    .db("end the maps before")?;
    Ok(())
}

/// One entry of the trail for each institution concerned.
async fn record_each(
    tx: &mut Tx<'_>,
    act: &'static str,
    lines: &[(i64, i32, Option<i64>)],
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut by_institution: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for (id, institution, _) in lines {
        by_institution.entry(*institution).or_default().push(*id);
    }
    for (institution, ids) in by_institution {
        let entry = AuditEntry {
            act,
            object_kind: "institution",
            object_id: Some(i64::from(institution)),
            detail: Some(json!({ "lines": ids.len(), "first": ids.iter().take(20).collect::<Vec<_>>() })),
            ..AuditEntry::default()
        };
        audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await?;
    }
    Ok(())
}

/// Reads a map from a spreadsheet: local code and standard code, and where there are such columns the local name, the
/// table and the relation.
pub fn read_map(grid: &Grid, table: &str) -> Result<Vec<NewMap>, Refusal> {
    let local = grid.column(&["local_code", "院内编码", "院内代码", "本院编码", "本院代码", "clinical_code"]);
    let standard = grid.column(&[
        "standard_code",
        "标准编码",
        "标准代码",
        "国标编码",
        "国标代码",
        "对应标准编码",
        "insurance_code",
    ]);
    let name = grid.column(&["local_name", "院内名称", "本院名称", "名称"]);
    let of_table = grid.column(&["table", "代码表"]);
    let relation = grid.column(&["relation", "关系"]);
    if local.is_none() || standard.is_none() {
        return Err(Refusal::invalid(
            "map.no_column",
            format!(
                "文件中找不到“院内编码”或“标准编码”列。表头有：{}。请改正表头后再导入。",
                grid.headings.join("、")
            ),
        ));
    }
    let line = |row: &Vec<String>| {
        let said = cell(row, relation);
        NewMap {
            table: Some(cell(row, of_table)).filter(|t| !t.is_empty()).unwrap_or(table).to_owned(),
            local_code: cell(row, local).to_owned(),
            local_name: cell(row, name).to_owned(),
            standard_code: cell(row, standard).to_owned(),
            relation: RELATIONS
                .iter()
                .find(|(_, word)| *word == said)
                .map_or(said, |(code, _)| code)
                .to_owned(),
            score: None,
            basis: "文件导入".to_owned(),
        }
    };
    Ok(grid
        .rows
        .iter()
        .map(line)
        .filter(|m| !(m.local_code.is_empty() && m.standard_code.is_empty()))
        .collect())
}
