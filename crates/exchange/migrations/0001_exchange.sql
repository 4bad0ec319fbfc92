-- Batches as they were received, their issues, and quality by day.

create table batch (
    id bigint generated always as identity primary key,
    institution_id int not null,
    dataset smallint,                -- null: a bundle that feeds several data sets
    door text not null,              -- api, folder, command, fhir, form
    file_name text not null default '',
    request_key text,                -- Idempotency-Key of the request
    original_digest text not null,   -- BLAKE3, also the object's key
    original_bytes bigint not null,
    media text not null,             -- e.g. text/csv; charset=gb18030
    atomic boolean not null default false,
    state text not null check (state in ('accepted', 'processing', 'done', 'failed')),
    rows_received bigint not null default 0,
    rows_stored bigint not null default 0,
    rows_unchanged bigint not null default 0,
    rows_replaced bigint not null default 0,
    rows_withdrawn bigint not null default 0,
    rows_rejected bigint not null default 0,
    rows_done bigint not null default 0,     -- rows whose chunk is committed: where to go on after a crash
    issue_count bigint not null default 0,
    score real,                      -- 0..100; null until done or when nothing was checked
    dimension_scores real[],         -- completeness, correctness, timeliness, logic; null where not checked
    attempts int not null default 0,
    notes jsonb not null default '[]',       -- unknown headings, resources kept but not mapped, …
    failure text,                            -- for the user: why the whole batch could not be read
    submitted_by text not null,
    received_at timestamptz not null,
    finished_at timestamptz
);
create unique index batch_request_key on batch (institution_id, request_key) where request_key is not null;
create index batch_institution on batch (institution_id, id desc);
create index batch_unfinished on batch (id) where state in ('accepted', 'processing');

create table batch_issue (
    batch_id bigint not null,
    dataset smallint not null,
    row_no bigint not null,
    rule smallint not null,
    field smallint,
    rejected boolean not null,
    value text not null
);
create index batch_issue_batch on batch_issue (batch_id, row_no);

-- How often each rule was checked and broken, per batch.
create table batch_rule (
    batch_id bigint not null,
    dataset smallint not null,
    rule smallint not null,
    checked bigint not null,
    failed bigint not null,
    primary key (batch_id, dataset, rule)
);

-- By day of occurrence (rows whose day cannot be read count on the day of receipt). checked_n and failed_n are sums
-- of rule weights in the four dimensions, in the order completeness, correctness, timeliness, logic.
create table quality_day (
    institution_id int not null,
    dataset smallint not null,
    day date not null,
    received bigint not null,
    stored bigint not null,
    unchanged bigint not null,
    replaced bigint not null,
    withdrawn bigint not null,
    rejected bigint not null,
    checked_1 float8 not null,
    checked_2 float8 not null,
    checked_3 float8 not null,
    checked_4 float8 not null,
    failed_1 float8 not null,
    failed_2 float8 not null,
    failed_3 float8 not null,
    failed_4 float8 not null,
    primary key (day, institution_id, dataset)
);
create index quality_day_institution on quality_day (institution_id, dataset, day);

-- How often each rule was checked and broken, by month of receipt: how a score comes about.
create table quality_rule_month (
    institution_id int not null,
    dataset smallint not null,
    month date not null,
    rule smallint not null,
    checked bigint not null,
    failed bigint not null,
    primary key (institution_id, month, dataset, rule)
);

-- Findings between data sets, evaluated after storing and replaced by each evaluation.
create table cross_finding (
    institution_id int not null,
    dataset smallint not null,
    rule smallint not null,
    fact_id bigint not null,
    day date not null,
    value text not null,
    found_at timestamptz not null,
    primary key (dataset, rule, fact_id)
);
create index cross_finding_day on cross_finding (institution_id, dataset, day);

-- Resources of FHIR bundles that are not mapped to a data set: kept with the original, named here.
create table kept_resource (
    batch_id bigint not null,
    position int not null,
    kind text not null,
    local_id text not null,
    reason text not null,
    content jsonb not null
);
create index kept_resource_batch on kept_resource (batch_id);
