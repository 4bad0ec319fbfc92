-- Models compared by what each would decide; the queue of a county; keys that no rule makes any more.

alter table index_run drop constraint index_run_kind_check;
alter table index_run
    add constraint index_run_kind_check check (kind in ('relink', 'train', 'audit', 'compare')),
    -- what was asked for: models, size of the sample
    add column options jsonb not null default '{}';

-- Pairs of records that some of the compared models would link and others not: a random part of them.
create table index_difference (
    run_id bigint not null references index_run (id),
    no int not null,
    a bigint not null references identity_record (id),
    b bigint not null references identity_record (id),
    models int not null,             -- one bit for each model of the run, in order: it links the two
    joined boolean not null,         -- they were one person when the models were compared
    evidence jsonb not null,         -- by model: weight, probability, parts
    primary key (run_id, no),
    check (a < b)
);
create index index_difference_models on index_difference (run_id, models, no);

-- What waits in one county: by the institutions of both sides, and by the county where it is looked at.
create index review_task_institutions on review_task using gin (institutions)
    where state in ('open', 'asked', 'second');
create index review_task_county on review_task (county, priority, id) where state in ('open', 'asked', 'second');
update review_task t set institutions = array[a.institution_id, b.institution_id]
    from identity_record a, identity_record b
    where a.id = t.a and b.id = t.b and not t.institutions @> array[a.institution_id, b.institution_id];

-- How far keys that no record makes any more have been looked for, in blocks of the table.
alter table link_keyed
    add column swept bigint not null default 0,
    add column clean boolean not null default false;
