-- The audit trail as a chain: entries by month that nobody changes, segments that seal them, anchors, archives.

-- Tables that only grow. Whoever owns a table can take the trigger away; that is why the program does not own them
-- (store::role) and why segments are signed and anchored outside of the database.
create function append_only() returns trigger language plpgsql as $$
begin
    raise exception '% of % is refused: this table only grows', tg_op, tg_table_name using errcode = '42501';
end $$;

create function keep_append_only(target regclass) returns void language plpgsql as $$
begin
    -- On a partitioned table the first is passed on to every partition; the second is for one table each.
    if not exists (select from pg_trigger where tgrelid = target and tgname = 'append_only') then
        execute format('create trigger append_only before update or delete on %s
                        for each row execute function append_only()', target);
    end if;
    execute format('create trigger append_only_truncate before truncate on %s
                    for each statement execute function append_only()', target);
end $$;

alter table audit_entry rename to audit_entry_before;
alter table audit_entry_before rename constraint audit_entry_pkey to audit_entry_before_pkey;
alter index audit_entry_at rename to audit_entry_before_at;
alter index audit_entry_person rename to audit_entry_before_person;
alter index audit_entry_account rename to audit_entry_before_account;
alter index audit_entry_sign_in rename to audit_entry_before_sign_in;

create sequence audit_entry_no;

create table audit_entry (
    id bigint not null default nextval('audit_entry_no'),
    at timestamptz not null,
    -- who, as they were at that time
    account_id bigint,
    staff_id bigint,
    session_id bigint,
    kind text not null default '',          -- staff, client, embedded, resident, system
    assurance text not null default '',     -- single, second, certificate; with + when proved within the last minutes
    actor text not null,
    role text not null,
    institution_id int,
    institution_name text not null,
    region text not null default '',        -- division of the caller, 12 digits; empty for those of none
    address text not null,
    agent text not null default '',         -- what the browser calls itself; given at sign-in
    -- what
    act text not null,                      -- e.g. record.view, sign_in, batch.receive
    object_kind text not null,
    object_id bigint,
    object_label text not null default '',
    person_id bigint,
    row_count int,
    purpose text not null default '',
    note text not null default '',
    outcome text not null default 'ok',
    before_digest bytea,
    after_digest bytea,
    duration_ms int,
    detail json,                            -- kept to the letter, as it is part of what is sealed
    -- what keeps it
    mac bytea,                              -- number of the key, then 16 bytes of HMAC-SHA-256 over all of the above but the id
    xid xid8 not null default pg_current_xact_id(),   -- tells the sealer what was committed since it last looked
    primary key (at, id)
) partition by range (at);

alter sequence audit_entry_no owned by audit_entry.id;

-- Before there are partitions, so that each of them inherits it.
select keep_append_only('audit_entry');

-- Takes what lies outside all months, so that a wrong clock never hinders an act from being written down.
create table audit_entry_rest partition of audit_entry default;

-- Makes the partitions of the month of `moment` and of `ahead` months after it; gives how many are new.
create function audit_partitions(moment timestamptz, ahead int) returns int
language plpgsql security definer set search_path from current as $$
declare
    month timestamp;
    lower timestamptz;
    upper timestamptz;
    name text;
    made int := 0;
begin
    for k in 0 .. least(ahead, 60) loop
        month := date_trunc('month', moment at time zone 'Asia/Shanghai') + make_interval(months => k);
        lower := month at time zone 'Asia/Shanghai';
        upper := (month + interval '1 month') at time zone 'Asia/Shanghai';
        name := 'audit_entry_' || to_char(month, 'YYYYMM');
        continue when to_regclass(name) is not null
            or exists (select from audit_entry_rest r where r.at >= lower and r.at < upper)
            or exists (select from audit_archive a where a.part = name);
        execute format('create table %I (like audit_entry including defaults including constraints)', name);
        execute format('alter table audit_entry attach partition %I for values from (%L) to (%L)', name, lower, upper);
        perform keep_append_only(name::regclass);
        made := made + 1;
    end loop;
    return made;
end $$;
revoke execute on function audit_partitions(timestamptz, int) from public;

-- A month that was taken out of the database into a file.
create table audit_archive (
    part text primary key,
    since timestamptz not null,
    until timestamptz not null,
    entry_count bigint not null,
    file text not null,
    sha256 bytea not null,
    at timestamptz not null,
    by_whom text not null
);

-- A segment: some entries in order, what they hold, and the segment before.
create table audit_segment (
    number bigint primary key,              -- 1, 2, 3 … without gaps
    sealed_at timestamptz not null,
    entry_count int not null,
    total bigint not null,                  -- entries in this and all earlier segments
    first_at timestamptz not null,
    last_at timestamptz not null,
    min_id bigint not null,
    max_id bigint not null,
    floor_id bigint not null,               -- up to here, entries are recognised by number and not by transaction
    snapshot text not null,                 -- what had been committed when it was sealed
    entries bytea not null,                 -- of each: number (8 bytes), microseconds (8), start of its SHA-256 (16)
    previous bytea not null,
    hash bytea not null,
    key_id text not null,
    algorithm text not null,
    signature bytea not null
);
alter table audit_segment alter column entries set storage external;
create index audit_segment_max on audit_segment (max_id);

-- The keys of the entries' MACs, sealed by the platform's keyring: without its master key they are of no use.
create table audit_key (
    generation smallint primary key,
    sealed bytea not null,
    at timestamptz not null
);

-- Lines that were handed to the file outside of the database.
create table audit_anchor (
    segment bigint primary key,
    at timestamptz not null,
    line text not null
);

-- When the chain was last recomputed and what came of it.
create table audit_verification (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    by_whom text not null,
    segments bigint not null,
    entries bigint not null,
    faults bigint not null,
    detail json
);

do $$
declare
    first timestamptz;
    last timestamptz;
begin
    select min(at), max(at) into first, last from audit_entry_before;
    first := coalesce(first, now());
    perform audit_partitions(first, least(60, (extract(year from age(greatest(coalesce(last, now()), now()), first)) * 12
        + extract(month from age(greatest(coalesce(last, now()), now()), first)))::int + 4));
end $$;

insert into audit_entry (id, at, account_id, actor, role, institution_id, institution_name, address, act, object_kind,
        object_id, object_label, person_id, purpose, note, outcome, detail)
    select id, at, account_id, actor, role, institution_id, institution_name, address, act, object_kind,
        object_id, object_label, person_id, purpose, note, outcome, detail::json
    from audit_entry_before order by id;
select setval('audit_entry_no', coalesce((select max(id) from audit_entry), 0) + 1, false);
drop table audit_entry_before;

-- The order of every list is `at desc, id desc`; a tie within a microsecond is sorted by the way.
create index audit_entry_person on audit_entry (person_id, at) where person_id is not null;
create index audit_entry_account on audit_entry (account_id, at) where account_id is not null;
create index audit_entry_actor on audit_entry (actor text_pattern_ops, at);
create index audit_entry_institution on audit_entry (institution_id, at) where institution_id is not null;
create index audit_entry_address on audit_entry (address text_pattern_ops, at);
create index audit_entry_act on audit_entry (act, at);
create index audit_entry_label on audit_entry (object_label text_pattern_ops, at) where object_label <> '';
-- Of a record view the object is the person.
create index audit_entry_object on audit_entry (object_kind, object_id, at)
    where object_id is not null and object_kind <> 'person';
create index audit_entry_failed on audit_entry (at) where outcome <> 'ok';
create index audit_entry_xid on audit_entry (xid);

select keep_append_only('audit_entry_rest');
select keep_append_only('audit_archive');
select keep_append_only('audit_segment');
select keep_append_only('audit_anchor');
select keep_append_only('audit_verification');
select keep_append_only('audit_key');
-- What somebody signed stays signed.
select keep_append_only('signature');
