-- The master index: identity records as institutions registered them, linked into persons.

create table person (
    id bigint generated always as identity primary key,
    -- best known demographics, recomputed from the identity records when links or records change
    name text not null default '',
    sex text not null default '0',   -- GB/T 2261.1
    birth_date date,
    citizen_id text,
    phone text not null default '',
    address text not null default '',
    region text not null default '000000000000',
    blood_abo text not null default '',
    blood_rh text not null default '',
    died_on date,
    created_at timestamptz not null default now()
);

-- One citizen number belongs to at most one person; also what makes two simultaneous registrations one person.
create unique index person_citizen on person (citizen_id) where citizen_id is not null;

-- An institution's own registration of a patient, kept as it came.
create table identity_record (
    id bigint generated always as identity primary key,
    institution_id int not null,
    local_no text not null,
    person_id bigint not null references person (id),
    name text not null default '',
    initials text not null default '',  -- pinyin initials of the name
    sex text not null default '0',
    birth_date date,
    credential_kind text not null default '',
    credential_no text not null default '',
    citizen_id text,                 -- the credential, when it is a valid citizen number in 18-digit form
    card_no text not null default '',
    phone text not null default '',
    address text not null default '',
    region text not null default '000000000000',
    blood_abo text not null default '',
    blood_rh text not null default '',
    registered boolean not null default false,  -- false: known only from facts that name the local number
    link_rule text not null,         -- why it is linked where it is: citizen_id, local_no, new
    updated_at timestamptz not null,
    unique (institution_id, local_no)
);
create index identity_record_person on identity_record (person_id);
create index identity_record_citizen on identity_record (citizen_id) where citizen_id is not null;
create index identity_record_name on identity_record (name text_pattern_ops);
create index identity_record_initials on identity_record (initials text_pattern_ops);
create index identity_record_phone on identity_record (phone) where phone <> '';
create index identity_record_card on identity_record (card_no) where card_no <> '';
create index identity_record_credential on identity_record (credential_no) where credential_no <> '';
create index identity_record_local on identity_record (local_no);

-- The identity time line: registered, linked, moved.
create table identity_event (
    id bigint generated always as identity primary key,
    identity_id bigint not null,
    from_person bigint,
    to_person bigint not null,
    kind text not null,              -- registered, linked, updated
    rule text not null,
    at timestamptz not null,
    batch_id bigint
);
create index identity_event_identity on identity_event (identity_id);
