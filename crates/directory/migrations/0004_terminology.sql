-- Terminology: validity of editions, hierarchy and retirement of codes, institutions' own codes, their maps, coverage.

alter table code_edition
    add column valid_from date,
    add column valid_to date;             -- first day no longer in force; null: until the next edition

-- What was in force stays so; each earlier edition ends where the next one was loaded.
with stands as (
    select id, (loaded_at at time zone 'Asia/Shanghai')::date as day, in_force,
        lead((loaded_at at time zone 'Asia/Shanghai')::date) over (partition by table_id order by loaded_at, id) as next
    from code_edition)
update code_edition e set valid_from = s.day, valid_to = case when s.in_force then null else coalesce(s.next, s.day) end
from stands s where s.id = e.id;

drop index code_edition_in_force;
alter table code_edition
    alter column valid_from set not null,
    add constraint code_edition_validity check (valid_to is null or valid_to >= valid_from),
    drop column in_force;
create index code_edition_table on code_edition (table_id, valid_from);

alter table code_entry
    add column parent text,               -- explicit broader code, where the code itself does not show it
    add column retired boolean not null default false,
    add column replaced_by text,
    add column aliases text;              -- other names, separated by |
create index code_entry_code on code_entry (code, edition_id);

-- Codes of their own that institutions sent (院内码), with how often.
create table local_code (
    institution_id int not null,
    table_id text not null,
    code text not null,
    name text not null default '',
    first_seen date not null,
    last_seen date not null,
    row_count bigint not null,
    primary key (institution_id, table_id, code)
);

-- Local-to-standard maps (院内码对照): each line is proposed, then approved or rejected; an approved one may be ended.
-- Lines are never deleted, so that they are the history.
create table code_map (
    id bigint generated always as identity primary key,
    institution_id int not null,
    table_id text not null,
    local_code text not null,
    local_name text not null default '',
    standard_code text not null,
    standard_name text not null,
    relation text not null default 'equivalent',   -- equivalent, wider, narrower: the standard code against the local one
    score real,                                    -- similarity at the time of proposal, 0 to 1; null: by hand
    basis text not null default '',
    state text not null check (state in ('proposed', 'approved', 'rejected', 'withdrawn', 'ended')),
    proposed_at timestamptz not null,
    proposed_by text not null,
    proposed_account bigint,
    decided_at timestamptz,
    decided_by text,
    decided_account bigint,
    note text not null default '',
    valid_from date,
    valid_to date,
    ended_at timestamptz,
    ended_by text
);
-- At most one proposal and one map in force for a local code.
create unique index code_map_proposed on code_map (institution_id, table_id, local_code) where state = 'proposed';
create unique index code_map_approved on code_map (institution_id, table_id, local_code) where state = 'approved';
create index code_map_standard on code_map (table_id, local_code) where state = 'approved';
create index code_map_name on code_map (table_id, local_name) where state = 'approved';

-- Coverage: values of a coded field by day, counted in the transaction that stores them. Only tables for which
-- institutions usually have codes of their own.
create table code_day (
    day date not null,
    institution_id int not null,
    table_id text not null,
    dataset smallint not null,
    coded bigint not null,                -- values that were not empty
    mapped bigint not null,               -- translated by an approved map
    unmapped bigint not null,             -- neither standard nor mapped
    primary key (day, institution_id, table_id, dataset)
);
create index code_day_institution on code_day (institution_id, day);

-- Which codes were unknown on which day.
create table code_unmapped_day (
    institution_id int not null,
    table_id text not null,
    day date not null,
    dataset smallint not null,
    code text not null,
    row_count bigint not null,
    primary key (institution_id, table_id, day, dataset, code)
);

-- What an institution wrote where a map translated it: the fact holds the standard code.
create table code_kept (
    fact_id bigint not null,
    dataset smallint not null,
    field text not null,
    local_code text not null,
    local_name text not null default '',
    primary key (fact_id, dataset, field)
);

-- How often a standard code is used at an institution, for the order of what a search offers. Approximate.
create table code_use (
    institution_id int not null,
    table_id text not null,
    code text not null,
    uses bigint not null,
    primary key (institution_id, table_id, code)
);
