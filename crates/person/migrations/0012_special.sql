-- Stays in two cities: how far they have been looked for. Special registrations: the hour of a birth, deaths that people
-- recorded, and an index to find those that are open.

-- One row. First every identity record once, in the order of their numbers; from then on what changed its person since a
-- place in the order of commits, and whose stays came in later batches.
create table index_stay_place (
    one boolean primary key default true check (one),
    walked bigint not null default 0,        -- the last identity record of the first walk
    walked_all boolean not null default false,
    xid xid8,                                -- null: no look yet
    event_id bigint not null default 0,
    batch bigint                             -- the place of `contracts::Stays`
);
insert into index_stay_place default values;

alter table identity_record
    -- local time of a birth that was registered on the ward
    add column born_at timestamp,
    add column special_by text not null default '',
    add column special_at timestamptz,
    -- what stands beside the registration: how an unknown patient was found, why somebody has no documents, a nationality
    add column special_note text not null default '';
create index identity_record_special on identity_record (id) where special <> '';

-- A death that a person recorded, not a death certificate that came as data. It is written into one identity record, as
-- the certificate would be, so that it follows when people are merged and split.
create table person_death (
    id bigint generated always as identity primary key,
    identity_id bigint not null references identity_record (id),
    died_on date not null,
    -- certificate, hospital, police, civil, family
    source text not null check (source in ('certificate', 'hospital', 'police', 'civil', 'family')),
    certificate_no text not null default '',
    note text not null default '',
    institution_id int,              -- of who recorded it
    actor text not null,
    at timestamptz not null,
    withdrawn_by text,
    withdrawn_at timestamptz,
    withdrawn_why text not null default ''
);
create index person_death_identity on person_death (identity_id);
