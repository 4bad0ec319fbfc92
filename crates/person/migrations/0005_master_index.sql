-- The master index proper: blocking keys, human decisions, review tasks, operations with their undo, models and runs.

alter table person
    -- a person whose records have all gone stays, so that old addresses lead to the right place
    add column merged_into bigint references person (id),
    -- counts changes of the set of records; what was computed from an older count is computed again
    add column version int not null default 0,
    -- field → identity record from which the shown value comes
    add column sources jsonb not null default '{}';
create index person_merged_into on person (merged_into) where merged_into is not null;

alter table identity_record
    add column ethnicity text not null default '',          -- GB 3304
    add column contact_name text not null default '',
    add column contact_relation text not null default '',   -- GB/T 4761
    add column contact_phone text not null default '',      -- sealed
    add column died_on date,
    -- unknown, newborn, foreigner, undocumented; empty for an ordinary one
    add column special text not null default '',
    -- newborn: the mother's identity record and the order of birth
    add column mother_id bigint references identity_record (id),
    add column birth_order smallint,
    -- somebody decided that the number is not this patient's
    add column number_disowned boolean not null default false,
    -- the blind index of the citizen number while nothing says that it is another's: sex and birth agree, not disowned
    add column own_blind bytea,
    -- the same while the record's person is the one that holds the number
    add column claim_blind bytea;
create index identity_record_mother on identity_record (mother_id) where mother_id is not null;

-- Two citizen numbers are never in one person: whatever number a record claims is the one that its person holds, and
-- a person holds one. Checked at commit, so that numbers and records may move in any order within a transaction.
create unique index person_number on person (id, citizen_blind);
alter table identity_record
    add constraint identity_record_number foreign key (person_id, claim_blind)
        references person (id, citizen_blind) deferrable initially deferred;

-- Blocking keys: keyed hashes of what the model compares first. Two records are compared when they share one.
create table link_key (
    key bigint not null,
    identity_id bigint not null,
    primary key (key, identity_id)
);
-- Keys that so many records share that they say nothing; not looked at any more.
create table link_frequent (
    key bigint primary key,
    rule text not null,
    found_at timestamptz not null
);
-- Held while somebody who may be new is registered: the second of two at once waits here and then sees the first.
-- Rows are written and removed in one transaction; the table is always empty for others.
create table link_claim (
    key bigint primary key
);
-- How far records that were there before have got their keys, for each way of blocking.
create table link_keyed (
    blocking text primary key,
    upto bigint not null,
    total bigint not null,
    done boolean not null default false,
    updated_at timestamptz not null
);

-- What was done to the index, with what it takes to undo it.
create table person_operation (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('merge', 'split', 'link', 'unlink', 'apart', 'together', 'disown', 'pin',
        'unpin', 'run', 'undo')),
    persons bigint[] not null,
    identities bigint[] not null,
    actor_account bigint,
    actor text not null,
    reason text not null,
    at timestamptz not null,
    change jsonb not null,           -- operations::Change: before and after of everything that changed
    undoes bigint references person_operation (id),
    undone_by bigint references person_operation (id),
    task_id bigint,
    run_id bigint
);
create index person_operation_persons on person_operation using gin (persons);
create index person_operation_at on person_operation (at);

alter table identity_event
    add column operation_id bigint references person_operation (id),
    add column actor text not null default '',
    add column reason text not null default '',
    add column model_version text not null default '',
    add column weight real;          -- bits, of the evidence that linked it
create index identity_event_from on identity_event (from_person) where from_person is not null;

-- What people decided about two identity records; never asked again, and kept by every re-evaluation.
create table identity_pair (
    a bigint not null references identity_record (id),
    b bigint not null references identity_record (id),
    verdict text not null check (verdict in ('apart', 'together')),
    actor text not null,
    reason text not null,
    at timestamptz not null,
    operation_id bigint references person_operation (id),
    primary key (a, b),
    check (a < b)
);
create index identity_pair_b on identity_pair (b);

-- A record whose value is shown for a field, whatever the others say.
create table person_pin (
    identity_id bigint not null references identity_record (id),
    field text not null,
    actor text not null,
    reason text not null,
    at timestamptz not null,
    operation_id bigint references person_operation (id),
    primary key (identity_id, field)
);

create table person_model (
    id bigint generated always as identity primary key,
    version text not null unique,
    definition text not null,        -- the model as written in catalog/person-index
    parameters jsonb,                -- trained; null: as written
    frequencies bytea,
    report jsonb not null default '{}',
    blocking text not null,          -- digest of the blocking rules
    trained_on bigint not null default 0,
    trained_at timestamptz not null,
    actor text not null,
    in_force boolean not null default false,
    in_force_at timestamptz
);
create unique index person_model_in_force on person_model (in_force) where in_force;

create table index_run (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('relink', 'train', 'audit')),
    state text not null check (state in ('running', 'proposed', 'rejected', 'applying', 'applied', 'undoing',
        'undone', 'failed', 'done')),
    model_version text not null default '',
    statistics jsonb not null default '{}',
    total bigint not null default 0,
    done bigint not null default 0,
    actor text not null,
    decided_by text not null default '',
    reason text not null default '',
    started_at timestamptz not null,
    finished_at timestamptz,
    failure text not null default ''
);
create index index_run_kind on index_run (kind, id);

-- The proposed change set of a run: records that leave one person for another. `grp` holds those together that must
-- move at once.
create table index_change (
    run_id bigint not null references index_run (id),
    grp bigint not null,
    identity_id bigint not null,
    from_person bigint not null,
    to_person bigint,                -- null: a person made when it is applied, one for each target
    target bigint not null,
    weight real,
    state text not null default 'proposed' check (state in ('proposed', 'applied', 'stale', 'undone')),
    primary key (run_id, identity_id)
);
create index index_change_grp on index_change (run_id, grp);

-- Pairs that a person should look at.
create table review_task (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('similar', 'number', 'two_numbers', 'newborn', 'unknown', 'suspect', 'run')),
    a bigint not null references identity_record (id),
    b bigint not null references identity_record (id),
    identities bigint[] not null,    -- all records of both persons when it was opened
    weight real not null,            -- bits
    probability real not null,
    contributions jsonb not null,    -- [{field, level, weight}]
    priority smallint not null,      -- 1 most urgent … 5
    county text not null default '', -- six digits
    institutions int[] not null default '{}',
    state text not null default 'open' check (state in ('open', 'asked', 'second', 'done', 'closed')),
    outcome text not null default '' check (outcome in ('', 'same', 'apart', 'gone')),
    assignee bigint,
    assignee_name text not null default '',
    first_by bigint,                 -- who decided first, where a second pair of eyes is needed
    first_name text not null default '',
    first_outcome text not null default '',
    first_at timestamptz,
    decided_by bigint,
    decided_name text not null default '',
    decided_at timestamptz,
    note text not null default '',
    model_version text not null default '',
    operation_id bigint references person_operation (id),
    opened_at timestamptz not null,
    updated_at timestamptz not null,
    check (a < b)
);
create unique index review_task_pair on review_task (a, b) where state in ('open', 'asked', 'second');
create index review_task_b on review_task (b) where state in ('open', 'asked', 'second');
create index review_task_queue on review_task (priority, id) where state in ('open', 'asked', 'second');
create index review_task_decided on review_task (decided_at) where decided_at is not null;

-- Persons that look wrong, found by the nightly look.
create table index_suspect (
    id bigint generated always as identity primary key,
    person_id bigint not null references person (id),
    kind text not null check (kind in ('two_deaths', 'two_sexes', 'birth_after_death', 'two_births', 'two_places',
        'many_records', 'after_death')),
    detail jsonb not null,
    state text not null default 'open' check (state in ('open', 'explained', 'gone')),
    note text not null default '',
    decided_name text not null default '',
    decided_at timestamptz,
    found_at timestamptz not null,
    seen_at timestamptz not null,
    unique (person_id, kind)
);
create index index_suspect_open on index_suspect (kind, id) where state = 'open';
