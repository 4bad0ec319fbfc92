-- Tables of the store itself: history of replaced facts, outbox, jobs, audit trail.

-- Fact identifiers are drawn in blocks, for all data sets together.
create sequence fact_id_seq increment by 10000 start with 10000;

-- Earlier versions of facts, kept when a row is replaced or withdrawn.
create table fact_history (
    id bigint generated always as identity primary key,
    dataset smallint not null,
    fact_id bigint not null,
    institution_id int not null,
    business_key text[] not null,
    version int not null,
    content jsonb not null,          -- the whole row as it was
    ended_at timestamptz not null,
    ended_by_batch bigint not null,
    withdrawn boolean not null       -- false: replaced by a newer version
);
create index fact_history_fact on fact_history (dataset, fact_id);
create index fact_history_key on fact_history (dataset, institution_id, business_key);

-- Events to other contexts and outside systems, written with the change that causes them.
create table outbox (
    id bigint generated always as identity primary key,
    topic text not null,             -- e.g. person.linked
    subject text not null,           -- partition key: events of one subject are handled in order
    body jsonb not null,
    created_at timestamptz not null default now()
);

-- Deferred work; the outbox dispatcher turns an event into one job for each subscriber.
create table job (
    id bigint generated always as identity primary key,
    kind text not null,
    subject text not null default '',    -- jobs of one kind and subject run one by one in order; '': in any order
    topic text not null default '',      -- of the event that caused it
    body jsonb not null,
    dedup_key text,                      -- at most one waiting job of a kind with this key; cleared when it starts
    state text not null default 'ready' check (state in ('ready', 'running', 'dead')),
    attempts int not null default 0,     -- counts starts, and tells a worker whose lease is over from its successor
    run_at timestamptz not null default '-infinity',
    leased_until timestamptz,
    last_error text,
    progress jsonb,
    created_at timestamptz not null default now(),
    unique (kind, dedup_key)
);
create index job_waiting on job (id) where state = 'ready';
create index job_leased on job (leased_until) where state = 'running';
create index job_order on job (kind, subject, id) where subject <> '' and state <> 'dead';

-- Who did what to whom, why and with what result. Written in the transaction of what it records.
create table audit_entry (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    account_id bigint,
    actor text not null,
    role text not null,
    institution_id int,
    institution_name text not null,
    address text not null,
    act text not null,               -- e.g. record.view, sign_in, batch.receive
    object_kind text not null,
    object_id bigint,
    object_label text not null default '',
    person_id bigint,
    purpose text not null default '',
    note text not null default '',
    outcome text not null default 'ok',
    detail jsonb
);
create index audit_entry_at on audit_entry using brin (at);
create index audit_entry_person on audit_entry (person_id, id desc) where person_id is not null;
create index audit_entry_account on audit_entry (account_id, id desc) where account_id is not null;
