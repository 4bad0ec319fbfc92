-- Finding a patient by scraps of what is known: keys of names and of the last digits of telephones (search/scraps).

-- One row for each key of a registration, in the order in which it is read: key, year of birth. What filters and ranks
-- is in the index itself, so that a search touches no other row until few are left.
create table search_key (
    key bigint not null,
    identity_id bigint not null,
    region int not null,             -- nine digits of the division
    institution int not null,
    tail int not null,               -- keyed hash of the last digits of the telephone; 0: none
    birth smallint not null,         -- year; 0: unknown
    sex smallint not null,
    primary key (key, birth, identity_id) include (sex, region, institution, tail)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);

-- The keys that a registration has there, so that they can be taken away.
create table search_entry (
    identity_id bigint primary key,
    birth smallint not null,
    keys bigint[] not null
);

-- Registrations whose keys are to be written anew. Whoever changes a registration adds a row by the triggers below and
-- waits for nobody; a round of the program takes them away.
create table search_pending (
    id bigint generated always as identity primary key,
    identity_id bigint not null
);

-- How far registrations that were there before have got their keys.
create table search_filled (
    one boolean primary key default true check (one),
    upto bigint not null default 0,
    done boolean not null default false
);
insert into search_filled (upto, done) select 0, not exists (select from identity_record);

create function search_note_new() returns trigger language plpgsql as $$
begin
    insert into search_pending (identity_id) select id from new_rows;
    return null;
end $$;
create function search_note_changed() returns trigger language plpgsql as $$
begin
    insert into search_pending (identity_id)
    select n.id from new_rows n join old_rows o on o.id = n.id
    where (n.name, n.birth_date, n.sex, n.region, n.institution_id, n.phone_blind, n.contact_phone = '')
        is distinct from (o.name, o.birth_date, o.sex, o.region, o.institution_id, o.phone_blind, o.contact_phone = '');
    return null;
end $$;
create trigger search_new after insert on identity_record
    referencing new table as new_rows for each statement execute function search_note_new();
create trigger search_changed after update on identity_record
    referencing new table as new_rows old table as old_rows for each statement execute function search_note_changed();
