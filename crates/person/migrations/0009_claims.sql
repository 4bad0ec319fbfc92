-- Claims, and what they were waited for, in one step: who else registers one of these at this moment waits for the end of
-- this transaction; afterwards each statement sees what those did for whom this one waited.
create function person_claims(claims bigint[], institution int, local_nos text[]) returns setof text
language plpgsql volatile as $$
begin
    insert into link_claim (key) select c from unnest(claims) as c on conflict do nothing;
    delete from link_claim where key = any (claims);
    return query select r.local_no from identity_record r
        where r.institution_id = institution and r.local_no = any (local_nos);
end
$$;
