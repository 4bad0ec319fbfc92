-- Accounts, sessions, machine clients, signed links that embed the record.

create table account (
    id bigint generated always as identity primary key,
    login text not null unique,      -- lower case
    password_hash text not null,     -- argon2id, PHC string
    must_change boolean not null default false, -- the password was set by somebody else; no rights until changed
    name text not null,              -- real name
    staff_no text not null default '',
    role text not null,              -- role template of the catalogue
    institution_id int,
    region text not null check (region ~ '^[0-9]{12}$'),
    state text not null default 'open' check (state in ('open', 'closed')),
    password_changed_at timestamptz not null,
    last_sign_in_at timestamptz,
    created_by text not null default '',
    created_at timestamptz not null
);
create index account_region on account (region text_pattern_ops, id);
create index account_institution on account (institution_id, id) where institution_id is not null;

create table session (
    id bigint generated always as identity unique, -- names a session on its owner's page
    token_digest bytea primary key,  -- SHA-256 of the cookie's random token
    account_id bigint not null references account (id),
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null, -- absolute
    address text not null,
    agent text not null
);
create index session_account on session (account_id);
create index session_expires on session (expires_at);

-- Failed sign-ins per login name, whether such an account exists or not: the two must look the same from outside.
create table sign_in_guard (
    login text primary key,
    failures int not null,           -- since the last success
    last_at timestamptz not null,
    locked_until timestamptz
);
create index sign_in_guard_last on sign_in_guard (last_at);

-- Failed sign-ins per address, for back-off.
create table sign_in_failure (
    address text not null,
    at timestamptz not null
);
create index sign_in_failure_address on sign_in_failure (address, at);
create index sign_in_failure_at on sign_in_failure (at);

-- An institution's machine client: uploads its own rows, and nothing else.
create table client (
    id bigint generated always as identity primary key,
    client_id text not null unique,
    secret_digest bytea not null,    -- SHA-256 of a 256-bit random secret
    institution_id int not null,
    name text not null,
    state text not null default 'open' check (state in ('open', 'closed')),
    -- signs links that embed the record browser; not a digest, for HMAC needs the key itself
    link_key bytea not null,
    created_by text not null default '',
    created_at timestamptz not null,
    last_used_at timestamptz
);
create index client_institution on client (institution_id);

-- Links already used: an embedded link serves once. Kept until the link has expired anyhow.
create table used_link (
    client_id bigint not null references client (id),
    nonce text not null,
    expires_at timestamptz not null,
    primary key (client_id, nonce)
);
create index used_link_expires on used_link (expires_at);

-- A hospital workstation that came in by a signed link.
create table embed_session (
    token_digest bytea primary key,
    client_id bigint not null references client (id),
    staff_no text not null,
    staff_name text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index embed_session_expires on embed_session (expires_at);
