-- Accounts, sessions, machine clients, signing keys of embedded links.

create table account (
    id bigint generated always as identity primary key,
    login text not null unique,      -- lower case
    password_hash text not null,     -- argon2id, PHC string
    name text not null,              -- real name
    staff_no text not null default '',
    role text not null,              -- role template of the catalogue
    institution_id int,
    region text not null check (region ~ '^[0-9]{12}$'),
    state text not null default 'open' check (state in ('open', 'closed')),
    failures int not null default 0,
    locked_until timestamptz,
    password_changed_at timestamptz not null,
    created_at timestamptz not null default now()
);

create table session (
    token_digest bytea primary key,  -- SHA-256 of the cookie's random token
    account_id bigint not null references account (id),
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null, -- absolute
    address text not null,
    agent text not null
);
create index session_account on session (account_id);

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
    created_at timestamptz not null default now(),
    last_used_at timestamptz
);

-- Links already used: an embedded link serves once.
create table used_link (
    nonce text primary key,
    expires_at timestamptz not null
);

-- Failed sign-ins per address, for back-off.
create table sign_in_failure (
    address text not null,
    at timestamptz not null
);
create index sign_in_failure_address on sign_in_failure (address, at);
