-- Fewer entries for each registration: what a new one costs is mostly its indexes.

-- One index finds a local number with its institution and without.
alter table identity_record
    add constraint identity_record_local_no unique (local_no, institution_id),
    drop constraint identity_record_institution_id_local_no_key;
drop index identity_record_local;

-- A valid citizen number is found by its own index; the credential's has the others.
drop index identity_record_credential_blind;
create index identity_record_credential_blind on identity_record (credential_blind)
    where credential_blind is not null and citizen_blind is null;

-- What is still plain: one index that is empty once everything is encrypted in place of four.
drop index identity_record_citizen_plain;
drop index identity_record_credential_plain;
drop index identity_record_card_plain;
drop index identity_record_phone_plain;
create index identity_record_plain on identity_record (id)
    where (citizen_id is not null and citizen_blind is null) or (credential_no <> '' and credential_blind is null)
        or (card_no <> '' and card_blind is null) or (phone <> '' and phone_blind is null);

-- The linker itself notes new registrations for the search by scraps; a trigger costs more than the note. Rows that come
-- by any other way are found once search_filled is set back.
drop trigger search_new on identity_record;
drop function search_note_new();

-- Claims are gone with the transaction that made them: after a crash the table is empty as it should be.
alter table link_claim set unlogged;

-- As in 0011, without a look beforehand: a claim too many harms nobody. The rows of claims are taken away by their place,
-- and never by reading the table: a plan made while it was small would read all that is left of claims gone by.
drop function person_look(bigint[], int, text[], bigint[], int, boolean);
drop function person_claims(bigint[], int, text[]);
create function person_look(claims bigint[], institution int, local_nos text[], keys bigint[], most int)
returns table (local_no text, key bigint, identity_id bigint)
language plpgsql volatile set enable_seqscan = off as $$
#variable_conflict use_column
declare
    places tid[];
begin
    with claimed as (
        insert into link_claim (key) select c from unnest((select claims)) as c on conflict do nothing returning ctid)
    select array_agg(ctid) into places from claimed;
    delete from link_claim where ctid = any ((select places)::tid[]);
    -- Each statement sees what those did for whom the claims waited.
    return query select r.local_no, null::bigint, null::bigint from identity_record r
            where r.institution_id = (select institution) and r.local_no = any ((select local_nos)::text[])
        union all select null::text, k.key, l.identity_id
            from unnest((select keys)) as k (key) cross join lateral (
                select e.identity_id from link_key e where e.key = k.key limit (select most)) l
            where not exists (select from link_frequent f where f.key = k.key);
end
$$;
