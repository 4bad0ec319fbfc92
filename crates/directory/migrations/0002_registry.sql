-- Registers of institutions, staff and what belongs to them: entries, their versions, change requests and imports.

-- One entry: an institution, a member of staff, or a part of one (department, bed row, apparatus, vehicle, licence …).
-- What is queried stands in columns; the fields of the definition (catalog/registry) in `content`.
create table registry_entry (
    id bigint generated always as identity primary key,
    kind text not null,
    institution_id int not null references institution (id),
    parent_id bigint references registry_entry (id),  -- the member of staff whose it is, for parts of staff
    key text not null,               -- what makes it the same within its institution and parent
    name text not null,
    initials text not null default '',
    state text not null default 'active',  -- active, closed, merged, left, ended, removed
    content jsonb not null,
    guarded jsonb not null default '{}',   -- identifying fields, written only by registry::guard
    expires_on date,
    score smallint not null default 0,     -- completeness, 0 … 100
    version int not null default 1,
    merged_into int references institution (id),
    updated_at timestamptz not null
);
create unique index registry_entry_key on registry_entry (kind, institution_id, coalesce(parent_id, 0), key)
    where state <> 'removed';
create index registry_entry_kind on registry_entry (kind, id);
create index registry_entry_of on registry_entry (institution_id, kind, id);
create index registry_entry_parent on registry_entry (parent_id, kind) where parent_id is not null;
create index registry_entry_expiry on registry_entry (expires_on) where expires_on is not null and state = 'active';

-- Every version of every entry. `seq` is the cursor of the change feed: written under a lock, so that its order is
-- the order of commits.
create table registry_version (
    seq bigint generated always as identity primary key,
    entry_id bigint not null references registry_entry (id),
    version int not null,
    kind text not null,
    institution_id int not null,
    change text not null,            -- registered, changed, renamed, moved, left, returned, closed, merged, reopened, ended, removed, restored
    name text not null,
    key text not null,
    state text not null,
    content jsonb not null,
    guarded jsonb not null default '{}',
    merged_into int,
    valid_from date not null,
    recorded_at timestamptz not null,
    recorded_by text not null,
    account_id bigint,
    reason text not null default '',
    request_id bigint,
    import_id bigint,
    unique (entry_id, version)
);
create index registry_version_import on registry_version (import_id) where import_id is not null;

-- What a member of staff or an institution asks to have changed in its own entries.
create table registry_request (
    id bigint generated always as identity primary key,
    kind text not null,
    entry_id bigint references registry_entry (id),   -- null: a new entry
    base_version int not null default 0,              -- the version that was seen when asking
    institution_id int not null references institution (id),
    parent_id bigint references registry_entry (id),
    name text not null,              -- whose or what, for lists
    content jsonb not null,          -- the fields asked for, in full
    guarded jsonb not null default '{}',
    changed text[] not null,         -- names of the fields that differ
    stage text not null,             -- unit, commission, approved, returned, withdrawn
    reason text not null,
    asked_by text not null,
    account_id bigint,
    staff_id bigint,
    asked_at timestamptz not null,
    settled_at timestamptz
);
create index registry_request_open on registry_request (stage, institution_id, id) where stage in ('unit', 'commission');
create index registry_request_account on registry_request (account_id, id);
create index registry_request_entry on registry_request (entry_id, id);
create table registry_request_step (
    id bigint generated always as identity primary key,
    request_id bigint not null references registry_request (id),
    act text not null,               -- asked, passed, approved, returned, withdrawn
    by_name text not null,
    account_id bigint,
    at timestamptz not null,
    note text not null default ''
);
create index registry_request_step_of on registry_request_step (request_id, id);

-- Imports from spreadsheets: checked first, applied as a job, undone as a whole.
create table registry_import (
    id bigint generated always as identity primary key,
    kind text not null,
    file_name text not null,
    digest text not null,
    state text not null,             -- checked, applying, applied, undoing, undone, failed
    made_by text not null,
    account_id bigint,
    caller jsonb not null,           -- in whose name the job writes
    reason text not null default '',
    made_at timestamptz not null,
    applied_at timestamptz,
    undone_at timestamptz,
    added int not null default 0,
    changed int not null default 0,
    same int not null default 0,
    refused int not null default 0,
    done int not null default 0,
    note text not null default ''
);
create table registry_import_row (
    import_id bigint not null references registry_import (id) on delete cascade,
    row_no int not null,
    verdict text not null,           -- add, change, same, refused
    label text not null,
    message text not null default '',
    cells jsonb not null,            -- texts by field as they came; guarded ones sealed
    institution_id int,
    entry_id bigint,
    base_version int not null default 0,
    outcome text not null default '',    -- '', done, lost, undone, kept
    primary key (import_id, row_no)
);
create index registry_import_row_open on registry_import_row (import_id, row_no)
    where outcome = '' and verdict in ('add', 'change');

-- What is registered already begins its history here.
insert into registry_entry (kind, institution_id, key, name, initials, state, content, updated_at)
select 'institution', id, code, name, initials, case when closed_on is null then 'active' else 'closed' end,
    jsonb_strip_nulls(jsonb_build_object('code', code, 'name', name, 'short_name', short_name, 'class', class,
        'sender_class', sender_class, 'region', region, 'address', nullif(address, ''), 'phone', nullif(phone, ''),
        'opened_on', opened_on, 'closed_on', closed_on)), now()
from institution order by id;
insert into registry_version (entry_id, version, kind, institution_id, change, name, key, state, content,
    valid_from, recorded_at, recorded_by, reason)
select e.id, 1, e.kind, e.institution_id, 'registered', e.name, e.key, e.state, e.content,
    coalesce(i.opened_on, (i.created_at at time zone 'Asia/Shanghai')::date), i.created_at, '系统', '由早期版本迁入'
from registry_entry e join institution i on i.id = e.institution_id order by e.id;
