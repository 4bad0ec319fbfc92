-- What somebody should know at once. A notice for holders of a right is stored once and found by whoever holds it.

create table notice (
    id bigint generated always as identity primary key,
    account_id bigint references account (id),
    line text,                       -- for holders of this right over this division
    act text,
    region text,
    title text not null,             -- without personal data
    link text not null,
    urgent boolean not null,
    at timestamptz not null,
    check ((account_id is null) <> (line is null))
);
create index notice_account on notice (account_id, id desc) where account_id is not null;
create index notice_line on notice (line, act, id desc) where line is not null;

create table notice_read (
    notice_id bigint not null references notice (id) on delete cascade,
    account_id bigint not null references account (id),
    at timestamptz not null,
    primary key (account_id, notice_id)
);
