-- Divisions of several years: editions, what became of which code, operations with their undo, and where an
-- institution lay in earlier editions.

create table division_year (
    year smallint primary key,
    in_force_from date not null,     -- from this day on the edition is the one in force
    source text not null default '',
    changed_at timestamptz not null default now(),
    changed_by text not null default ''
);
insert into division_year (year, in_force_from, source)
select distinct year, make_date(year, 1, 1), '随程序发布的清单' from region;

-- Urban-rural class of a village (统计用城乡划分代码 111 … 220); empty above the village and where unknown.
alter table region add column class text not null default '';
alter table region add column origin text not null default 'list';   -- list, local, operation
create index region_name on region (year, name text_pattern_ops);
create index region_initials on region (year, initials text_pattern_ops);

-- An operation on divisions: asked for by one person, approved by another, carried out as jobs, undone exactly.
create table division_operation (
    id bigint generated always as identity primary key,
    year smallint not null,          -- the first edition in which it holds
    kind text not null check (kind in ('rename', 'merge', 'split', 'move', 'abolish', 'adopt')),
    title text not null,
    reason text not null,
    region text not null,            -- the least division that holds everything it touches
    request jsonb not null,
    plan jsonb not null,             -- rows before and after, moves, shares: enough to carry it out and to undo it
    state text not null default 'asked'
        check (state in ('asked', 'rejected', 'approved', 'moving', 'done', 'undoing', 'undone', 'failed')),
    asked_by text not null,
    asked_account bigint,
    asked_at timestamptz not null,
    decided_by text not null default '',
    decided_at timestamptz,
    decided_note text not null default '',
    ended_at timestamptz
);
create index division_operation_state on division_operation (state, id);

-- What each part (institutions, people, accounts …) has done of an operation or of its undo.
create table division_operation_part (
    operation_id bigint not null references division_operation (id),
    part text not null,
    undo boolean not null,
    moved bigint not null,
    ended_at timestamptz not null,
    primary key (operation_id, part, undo)
);

-- What became of a code: `share` of what lay in `from_code` lies in `to_code` from `year` on, and `back_share` of what
-- lies in `to_code` came from `from_code`. A division without successor has no row.
create table division_change (
    id bigint generated always as identity primary key,
    year smallint not null,
    from_code text not null,
    to_code text not null,
    kind text not null,
    share double precision not null check (share > 0 and share <= 1),
    back_share double precision not null check (back_share >= 0 and back_share <= 1),
    operation_id bigint references division_operation (id)
);
create index division_change_year on division_change (year, id);
create index division_change_from on division_change (from_code);
create index division_change_to on division_change (to_code);
create index division_change_operation on division_change (operation_id) where operation_id is not null;

-- Where an institution lay in editions before `until_year`; after the last of them its own column holds.
create table institution_place (
    institution_id int not null references institution (id),
    until_year smallint not null,
    region text not null,
    moved_to text not null,
    operation_id bigint not null references division_operation (id),
    primary key (institution_id, operation_id)
);
create index institution_place_operation on institution_place (operation_id);

-- How much each division holds, counted now and then by the parts that keep it; whole divisions are sums of these.
create table division_count (
    part text not null,
    code text not null,
    count bigint not null,
    counted_at timestamptz not null,
    primary key (part, code)
);

-- The SQL twin of divisions::mapping: where a code of edition `own` lies in edition `asked`, with shares.
create function division_in(own_code text, own smallint, asked smallint)
returns table (code text, share double precision) language plpgsql stable as $$
declare
    codes text[] := array[own_code];
    shares double precision[] := array[1.0];
    step record;
begin
    for step in
        select c.year, coalesce(c.operation_id, 0) as operation from division_change c
        where c.year > least(own, asked) and c.year <= greatest(own, asked)
        group by 1, 2
        order by case when own < asked then c.year else -c.year end,
                 case when own < asked then coalesce(c.operation_id, 0) else -coalesce(c.operation_id, 0) end
    loop
        with held as (
            select h.code, h.share from unnest(codes, shares) as h (code, share)
        ), change as (
            select case when own < asked then c.from_code else c.to_code end as before,
                   case when own < asked then c.to_code else c.from_code end as after,
                   case when own < asked then c.share else c.back_share end as part
            from division_change c
            where c.year = step.year and coalesce(c.operation_id, 0) = step.operation
              and case when own < asked then c.from_code else c.to_code end = any(codes)
        ), next as (
            select c.after as code, h.share * c.part as share from held h join change c on c.before = h.code
            union all
            select h.code, h.share * (1 - coalesce((select sum(c.part) from change c where c.before = h.code), 0))
            from held h
        ), summed as (
            select n.code, sum(n.share) as share from next n group by n.code having sum(n.share) > 1e-9
        )
        select array_agg(s.code), array_agg(s.share) into codes, shares from summed s;
    end loop;
    return query select h.code, h.share from unnest(codes, shares) as h (code, share) order by h.code;
end $$;
