-- What an operator has set, and the history of it. Definitions and defaults stand in the catalogue.

create table setting (
    code text primary key,
    value jsonb not null
);

create table setting_change (
    id bigint generated always as identity primary key,
    code text not null,
    value jsonb,                     -- null: back to the default
    reason text not null,
    changed_by text not null,
    at timestamptz not null
);
create index setting_change_code on setting_change (code, id desc);
