-- What was noticed in the audit trail and what became of it; how far its readers have come.

-- The last segment that a reader of the trail (alerts, forwarding) has dealt with.
create table trail_cursor (
    reader text primary key,
    segment bigint not null
);

-- How many people's records the accounts of a role open on a day, for comparison.
create table trail_baseline (
    role text primary key,
    mean double precision not null,
    deviation double precision not null,
    days bigint not null,                -- days of accounts that were counted
    computed_on date not null
);

create table audit_alert (
    id bigint generated always as identity primary key,
    rule text not null,
    severity text not null,              -- low, medium, high
    subject text not null,               -- whom it is about: account:7, person:42 …
    day date not null,                   -- at most one alert of a rule about a subject on a day
    raised_at timestamptz not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    account_id bigint,
    person_id bigint,
    institution_id int,
    region text not null default '',
    title text not null,
    figure int not null,
    evidence jsonb not null,             -- entries: [[microseconds, number], …]
    unique (rule, subject, day)
);
create index audit_alert_account on audit_alert (account_id, id desc) where account_id is not null;

-- What became of an alert, step by step; the last one holds.
create table audit_alert_step (
    id bigint generated always as identity primary key,
    alert_id bigint not null references audit_alert (id),
    state text not null,                 -- looking, handled, dismissed
    note text not null,
    by_whom text not null,
    account_id bigint,
    at timestamptz not null
);
create index audit_alert_step_alert on audit_alert_step (alert_id, id desc);

-- While something is looked into, what one account did with one person's record is not shown to that person.
create table audit_hold (
    id bigint generated always as identity primary key,
    person_id bigint not null,
    account_id bigint not null,
    reason text not null,
    by_whom text not null,
    at timestamptz not null
);
create index audit_hold_person on audit_hold (person_id);
create table audit_hold_end (
    hold_id bigint primary key references audit_hold (id),
    reason text not null,
    by_whom text not null,
    at timestamptz not null
);

select keep_append_only('audit_alert');
select keep_append_only('audit_alert_step');
select keep_append_only('audit_hold');
select keep_append_only('audit_hold_end');
