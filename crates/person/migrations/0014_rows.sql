-- Rows that the linker sends to be written, one parameter for many: a function scan for each of thirty columns takes
-- longer than writing a record does.
create type identity_row as (
    id bigint,                       -- null where the record is there already
    local_no text, person_id bigint, name text, initials text, sex text, birth_date date, credential_kind text,
    credential_no text, citizen_id text, card_no text, phone text, address text, region text, blood_abo text,
    blood_rh text, registered boolean, link_rule text, citizen_blind bytea, credential_blind bytea, card_blind bytea,
    phone_blind bytea, ethnicity text, contact_name text, contact_relation text, contact_phone text, died_on date,
    own_blind bytea, claim_blind bytea, weight real
);
-- A person to be made, of a record or empty.
create type person_made as (id bigint, record bigint, citizen_id text, citizen_blind bytea);
-- The best record of a person.
create type person_best as (
    id bigint, name text, sex text, birth_date date, phone text, address text, region text, blood_abo text,
    blood_rh text, died_on date, sources jsonb
);
