-- What a chunk of new records begins with, in one step: take part in the claims, see what those did for whom this one
-- waited, and find who shares a key. Where all of them are expected to be new and one is known, it is told and nothing
-- else is done. Parameters stand in sub-selects so that each statement is planned once: with arrays in sight the planner
-- makes a plan for each call, which takes longer than the call.
create function person_look(claims bigint[], institution int, local_nos text[], keys bigint[], most int, expected boolean)
returns table (local_no text, key bigint, identity_id bigint)
language plpgsql volatile as $$
#variable_conflict use_column
begin
    if expected then
        return query select r.local_no, null::bigint, null::bigint from identity_record r
            where r.institution_id = (select institution) and r.local_no = any ((select local_nos)::text[]);
        if found then
            return;
        end if;
    end if;
    insert into link_claim (key) select c from unnest((select claims)) as c on conflict do nothing;
    delete from link_claim where key = any ((select claims)::bigint[]);
    return query select r.local_no, null::bigint, null::bigint from identity_record r
        where r.institution_id = (select institution) and r.local_no = any ((select local_nos)::text[]);
    return query select null::text, k.key, l.identity_id
        from unnest((select keys)) as k (key) cross join lateral (
            select e.identity_id from link_key e where e.key = k.key limit (select most)) l
        where not exists (select from link_frequent f where f.key = k.key);
end
$$;
