-- Who holds which role at which post, exceptions for a time, teams, and what operators change of pages and menus.

create table account_role (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id),
    role text not null,              -- role template of the catalogue
    institution_id int,              -- the post: an institution, or none for an authority
    region text not null check (region ~ '^[0-9]{12}$'), -- the division the post is responsible for
    since timestamptz not null,
    until timestamptz,               -- ends by itself
    granted_by bigint,               -- account; null: the program or its operator
    granted_by_name text not null,
    granted_at timestamptz not null,
    reason text not null default '',
    withdrawn_at timestamptz,
    withdrawn_by text not null default '',
    withdraw_reason text not null default '',
    check (until is null or until > since)
);
create index account_role_account on account_role (account_id, id);
create index account_role_role on account_role (role, account_id) where withdrawn_at is null;
-- A role once at a post.
create unique index account_role_once on account_role (account_id, role, coalesce(institution_id, 0), region)
    where withdrawn_at is null;

-- Until now an account had one role.
insert into account_role (account_id, role, institution_id, region, since, granted_by_name, granted_at, reason)
select id, role, institution_id, region, created_at, created_by, created_at, '由原账号角色转入' from account where role <> '';

-- A right for a time, asked for by one and approved by another.
create table access_exception (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id), -- who is to hold it
    asked_by bigint not null,        -- account
    asked_by_name text not null,
    asked_at timestamptz not null,
    line text not null,
    act text not null,
    target text not null check (target in ('person', 'institution', 'region', 'team')),
    person_id bigint,
    institution_id int,
    region text,
    team_id bigint,
    target_label text not null,      -- as people name it; a person's name is masked
    reason text not null,
    since timestamptz not null,
    until timestamptz not null,
    state text not null default 'asked' check (state in ('asked', 'approved', 'refused', 'revoked', 'dropped')),
    decided_by bigint,
    decided_by_name text not null default '',
    decided_at timestamptz,
    decision_note text not null default '',
    ended_by_name text not null default '',
    ended_at timestamptz,
    end_note text not null default '',
    check (until > since),
    check (decided_by is null or decided_by not in (asked_by, account_id))
);
create index access_exception_account on access_exception (account_id, id);
create index access_exception_state on access_exception (state, id);
create index access_exception_asked on access_exception (asked_by, id);

-- Teams of staff (家庭医生团队 …). Members are named as visits and contracts name them: institution and number there.
create table team (
    id bigint generated always as identity primary key,
    name text not null,
    kind text not null check (kind in ('family_doctor', 'maternal_child', 'mental_health', 'public_health', 'other')),
    institution_id int not null,
    region text not null check (region ~ '^[0-9]{12}$'),
    state text not null default 'open' check (state in ('open', 'closed')),
    created_by text not null,
    created_at timestamptz not null,
    unique (institution_id, name)
);
create index team_region on team (region text_pattern_ops, id);

create table team_member (
    team_id bigint not null references team (id),
    institution_id int not null,
    staff_no text not null check (staff_no <> ''),
    name text not null,
    leads boolean not null default false,
    since timestamptz not null,
    until timestamptz,               -- left
    primary key (team_id, institution_id, staff_no, since)
);
create index team_member_staff on team_member (institution_id, staff_no) where until is null;

-- What operators change of pages and menus, always within what routes declare. One row for each subject and audience.
create table access_policy (
    kind text not null check (kind in ('page', 'menu')),
    subject text not null,           -- page: 'GET /record/{person}'; menu: its path
    audience text not null default '', -- '' everybody, 'role:<code>', 'unit:<class>'
    content jsonb not null,
    primary key (kind, subject, audience)
);

create table access_policy_change (
    id bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    audience text not null,
    before jsonb,                    -- null: there was none
    after jsonb,                     -- null: back to what is declared
    reason text not null,
    changed_by text not null,
    at timestamptz not null,
    undoes bigint
);
create index access_policy_change_subject on access_policy_change (kind, subject, id);
