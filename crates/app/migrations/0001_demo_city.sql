-- The demonstration city that `minkang demo` makes, if it does: what it was asked for and how far it is.

create table demo_city (
    only_one boolean primary key default true check (only_one),
    plan jsonb not null,                 -- people, years, seed, prefix, the moment at which its time ends
    state text not null check (state in ('making', 'done')),
    rows_sent bigint,
    started_at timestamptz not null,
    finished_at timestamptz
);
