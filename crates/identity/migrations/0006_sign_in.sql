-- Accounts of registered staff and their life cycle, second factors, passkeys, certificates, step-up, known devices,
-- registered workstations.

alter table account
    add column staff_id bigint,                            -- register of staff; null for authorities without an institution
    add column handle bytea unique,                        -- what passkeys know the account by: 32 random bytes
    add column state_since timestamptz,
    add column state_reason text not null default '';
alter table account drop constraint account_state_check;
alter table account add constraint account_state_check
    check (state in ('open', 'locked', 'moved', 'dormant', 'closed'));
create unique index account_staff on account (staff_id) where staff_id is not null and state <> 'closed';
create index account_last_use on account (last_sign_in_at) where state = 'open';

-- The life of an account, one line for each step.
create table account_step (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id),
    at timestamptz not null,
    act text not null,
    state text not null,             -- from then on
    reason text not null,
    by_name text not null
);
create index account_step_account on account_step (account_id, id);

-- Rows of a spreadsheet of new accounts between the dry run and its confirmation.
create table account_draft (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id), -- whose draft
    rows jsonb not null,
    created_at timestamptz not null
);
create index account_draft_created on account_draft (created_at);

-- Former passwords, so that they are not chosen again.
create table password_history (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id),
    hash text not null,
    at timestamptz not null
);
create index password_history_account on password_history (account_id, id);

alter table session
    add column factor text not null default 'single' check (factor in ('single', 'second', 'certificate')),
    add column proved_at timestamptz,                      -- last proof of identity: sign-in or step-up
    add column new_device boolean not null default false;  -- until its owner has seen the notice

-- Browsers that an account has signed in with.
create table account_device (
    account_id bigint not null references account (id),
    key_digest bytea not null,       -- SHA-256 of the browser's long-lived cookie
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    address text not null,
    agent text not null,
    primary key (account_id, key_digest)
);

-- Things begun and not finished: a sign-in that waits for its second factor, challenges of passkeys and certificates.
create table sign_in_ticket (
    token_digest bytea primary key,
    kind text not null,
    account_id bigint references account (id),
    expires_at timestamptz not null
);
create index sign_in_ticket_expires on sign_in_ticket (expires_at);

-- One-time codes (RFC 6238).
create table totp (
    account_id bigint primary key references account (id),
    secret bytea not null,           -- sealed
    confirmed_at timestamptz,        -- null: enrolment begun, no code shown to work yet
    last_step bigint not null default 0, -- the time step of the last code used: no code serves twice
    created_at timestamptz not null
);

create table recovery_code (
    account_id bigint not null references account (id),
    digest bytea not null,           -- SHA-256 of 80 random bits
    created_at timestamptz not null,
    used_at timestamptz,
    primary key (account_id, digest)
);

-- Passkeys (W3C Web Authentication).
create table passkey (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id),
    credential_id bytea not null unique,
    public_key bytea not null,       -- COSE
    sign_count bigint not null,
    name text not null,
    synced boolean not null,         -- backup state: kept by the maker's cloud
    created_at timestamptz not null,
    last_used_at timestamptz
);
create index passkey_account on passkey (account_id);

-- Authorities whose client certificates are believed, and their lists of revoked certificates.
create table certificate_authority (
    id bigint generated always as identity primary key,
    name text not null,
    der bytea not null,
    fingerprint bytea not null unique, -- SHA-256
    subject text not null,
    sm2 boolean not null,
    not_after timestamptz not null,
    crl_at timestamptz,              -- when the list says it was made
    crl_next timestamptz,            -- when the next one is due
    added_by text not null,
    added_at timestamptz not null
);
create table revoked_certificate (
    authority_id bigint not null references certificate_authority (id) on delete cascade,
    serial bytea not null,
    primary key (authority_id, serial)
);

-- Certificates bound to accounts.
create table account_certificate (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id),
    fingerprint bytea not null unique, -- SHA-256
    authority_id bigint references certificate_authority (id) on delete set null,
    subject text not null,
    issuer text not null,
    serial text not null,            -- hexadecimal
    sm2 boolean not null,
    not_after timestamptz not null,
    bound_by text not null,
    bound_at timestamptz not null,
    last_used_at timestamptz
);
create index account_certificate_account on account_certificate (account_id);

-- Workstations of hospitals that open embedded records.
create table workstation (
    id bigint generated always as identity primary key,
    institution_id int not null,
    key_digest bytea not null,       -- SHA-256 of the device's long-lived cookie, or of the device number in its links
    name text not null default '',
    state text not null default 'new' check (state in ('new', 'registered', 'revoked')),
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    last_staff text not null,
    address text not null,
    agent text not null,
    changed_by text not null default '',
    changed_at timestamptz,
    unique (institution_id, key_digest)
);

alter table embed_session
    add column person_id bigint,      -- the one person of the link; null: opened before there was this column, opens nothing
    add column workstation_id bigint references workstation (id);

-- Refused links per address: after a few the trail gets one line for many.
create table embed_refusal (
    address text primary key,
    since timestamptz not null,
    refused int not null
);
