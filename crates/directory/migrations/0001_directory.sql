-- Registries: divisions by year, institutions, code tables loaded by the operator.

create table region (
    year smallint not null,
    code text not null check (code ~ '^[0-9]{12}$'),
    name text not null,
    parent text,
    tier smallint not null,          -- 1 province … 5 village
    initials text not null,          -- pinyin initials, for search
    primary key (year, code)
);
create index region_parent on region (year, parent);

create table institution (
    id int generated always as identity primary key,
    code text not null unique,       -- the code by which it uploads: its unified social credit code (GB 32100)
    name text not null,
    short_name text not null,
    class text not null,             -- WS 218 class, e.g. A100
    sender_class text not null,      -- hospital, township, village, maternal_child, cdc: what it is expected to send
    region text not null check (region ~ '^[0-9]{12}$'),
    parent_id int references institution (id),
    address text not null default '',
    phone text not null default '',
    initials text not null default '',
    invented boolean not null default false,  -- part of a demonstration city
    opened_on date,
    closed_on date,
    created_at timestamptz not null default now()
);
create index institution_region on institution (region text_pattern_ops);

-- Other identifiers of an institution: 22-character organisation code, insurance code, …
create table institution_identifier (
    kind text not null,
    value text not null,
    institution_id int not null references institution (id),
    primary key (kind, value)
);

-- Editions of code tables loaded by the operator over those that are shipped.
create table code_edition (
    id int generated always as identity primary key,
    table_id text not null,
    name text not null,
    standard text not null,
    edition text not null,
    source text not null,
    complete boolean not null,
    code_count int not null,
    loaded_at timestamptz not null,
    loaded_by text not null,
    in_force boolean not null,
    unique (table_id, edition)
);
create unique index code_edition_in_force on code_edition (table_id) where in_force;

create table code_entry (
    edition_id int not null references code_edition (id) on delete cascade,
    code text not null,
    name text not null,
    initials text not null,
    position int not null,
    primary key (edition_id, code)
);
