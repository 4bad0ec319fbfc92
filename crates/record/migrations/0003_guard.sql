-- What stands between a viewer and a record beyond reach: restrictions, broken glass, protected content.

-- A seal (封存) or the resident's own refusal (拒绝调阅). Hangs on an identity record, so it follows the person through
-- merges and splits.
create table record_restriction (
    id bigint generated always as identity primary key,
    identity_id bigint not null,
    kind text not null check (kind in ('seal', 'refusal')),
    scope text not null check (scope in ('others', 'all')), -- institutions not caring for the person, or everybody
    reason text not null,
    institution_id int,              -- where it was recorded
    recorded_by text not null,
    recorded_at timestamptz not null,
    until timestamptz,
    lifted_by text,
    lifted_at timestamptz,
    lift_reason text not null default ''
);
create index record_restriction_identity on record_restriction (identity_id) where lifted_at is null;
create index record_restriction_recorded on record_restriction (id desc) where lifted_at is null;

-- Broken glass (紧急调阅): who opened what stands protected, why, until when, and what the reviewer found.
create table record_glass (
    id bigint generated always as identity primary key,
    viewer text not null,
    viewer_name text not null,
    viewer_role text not null,
    institution_id int,
    institution_name text not null,
    region text not null,            -- of the viewer, for who reviews
    person_id bigint not null,
    person_label text not null,      -- masked name
    kind text not null,
    reason text not null,
    at timestamptz not null,
    expires_at timestamptz not null,
    due_at timestamptz not null,     -- by when it must have been reviewed
    verdict text check (verdict in ('justified', 'unjustified')),
    reviewed_by text,
    reviewed_at timestamptz,
    review_note text not null default ''
);
create index record_glass_viewer on record_glass (viewer, person_id, expires_at);
create index record_glass_person on record_glass (person_id, id desc);
create index record_glass_waiting on record_glass (due_at) where verdict is null;
create index record_glass_region on record_glass (region text_pattern_ops, id desc);

-- Sensitivity category of an entry; empty for ordinary content.
alter table record_entry add column category text not null default '';
