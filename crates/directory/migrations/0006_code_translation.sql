-- Stored rows follow the maps of institutions' own codes: what is asked, how far it is, what it did.

-- One run through the rows of one institution. A decision joins the run that waits, or asks for a new one.
create table code_translation (
    id bigint generated always as identity primary key,
    institution_id int not null,
    state text not null check (state in ('waiting', 'running', 'failed', 'done')),
    asked_at timestamptz not null,
    asked_by text not null,
    started_at timestamptz,
    stepped_at timestamptz,               -- when it was last worked on
    finished_at timestamptz,
    dataset smallint,                     -- where it is: data set …
    after_key text[],                     -- … and business key of the last row looked at; null: the data set is done
    pass int not null default 1,
    pass_at timestamptz,
    waits_since timestamptz,              -- a pass is over and waits for uploads that were checked by the maps before
    rows_total bigint,                    -- rows of the institution in the data sets concerned; null: not counted yet
    rows_seen bigint not null default 0,  -- of them in this pass
    translated bigint not null default 0, -- values
    restored bigint not null default 0,
    failure text,                         -- why it stopped the last time
    gave_up boolean not null default false -- not tried again by itself
);
create unique index code_translation_waiting on code_translation (institution_id) where state = 'waiting';
create index code_translation_institution on code_translation (institution_id, id desc);

-- The lines of maps that a run is about.
create table code_translation_line (
    translation_id bigint not null,
    map_id bigint not null,
    changed bigint not null default 0,    -- values
    primary key (translation_id, map_id)
);
create index code_translation_line_map on code_translation_line (map_id, translation_id desc);

-- Maps approved before rows followed: what was stored earlier follows now.
insert into code_translation (institution_id, state, asked_at, asked_by)
select institution_id, 'waiting', now(), '平台升级' from code_map where state = 'approved' group by institution_id;
insert into code_translation_line (translation_id, map_id)
select t.id, m.id from code_translation t join code_map m on m.institution_id = t.institution_id
where m.state = 'approved';
-- One a minute: other work is not to stand behind hundreds of them.
insert into job (kind, subject, body, dedup_key, run_at)
select 'exchange.stored_codes', institution_id::text, jsonb_build_object('institution', institution_id), institution_id::text,
    now() + (row_number() over (order by id) - 1) * interval '1 minute'
from code_translation;
