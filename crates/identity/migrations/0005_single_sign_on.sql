-- The city's single sign-on: applications that rely on it, signing keys, sign-ins at applications and their tokens;
-- credentials of programs (secrets, public keys, certificates); hospitals' own providers that are trusted.

-- An application (应用) whose users sign in with their platform account.
create table application (
    id bigint generated always as identity primary key,
    client_id text not null unique,
    name text not null,
    institution_id int,               -- whose it is; none: the city's own
    kind text not null check (kind in ('public', 'confidential')),
    auth_method text not null check (auth_method in ('none', 'secret', 'private_key_jwt', 'tls_client_auth')),
    redirect_uris text[] not null,    -- compared character by character
    logout_uris text[] not null default '{}',
    backchannel_uri text not null default '', -- told when a session ends; empty: not told
    launch_uri text not null default '',      -- SMART App Launch; empty: not launched from the record
    scopes text[] not null,
    factor text not null default 'single' check (factor in ('single', 'second', 'certificate')),
    state text not null default 'open' check (state in ('open', 'closed')),
    created_by text not null,
    created_at timestamptz not null,
    last_used_at timestamptz,
    check ((kind = 'public') = (auth_method = 'none'))
);

-- How a program proves itself: of a machine client or of an application. Two may hold at once while one replaces the other.
create table program_credential (
    id bigint generated always as identity primary key,
    client_id bigint references client (id),
    application_id bigint references application (id),
    kind text not null check (kind in ('secret', 'key', 'certificate')),
    digest bytea,                     -- secret: SHA-256 of it; certificate: SHA-256 of its DER
    jwk jsonb,                        -- key: the public half
    label text not null default '',   -- what people tell it by: name of the key, subject of the certificate
    created_by text not null default '',
    created_at timestamptz not null,
    expires_at timestamptz,
    check ((client_id is null) <> (application_id is null)),
    check ((kind = 'key') = (jwk is not null) and (kind = 'key') = (digest is null))
);
create index program_credential_client on program_credential (client_id) where client_id is not null;
create index program_credential_application on program_credential (application_id) where application_id is not null;
create index program_credential_certificate on program_credential (digest) where kind = 'certificate';

insert into program_credential (client_id, kind, digest, created_by, created_at)
    select id, 'secret', secret_digest, created_by, created_at from client;
alter table client
    drop column secret_digest,
    add auth_method text not null default 'secret' check (auth_method in ('secret', 'private_key_jwt', 'tls_client_auth')),
    add datasets text[],              -- codes of the data sets it is limited to; null: all
    add reads_records boolean not null default false; -- may read the records of its institution's own patients

-- Keys that sign identity tokens. The private half is sealed; the public half is shown from creation to `shown_until`.
create table sso_key (
    kid text primary key,
    sealed bytea not null,
    public_jwk jsonb not null,
    created_by text not null,
    created_at timestamptz not null,
    signs_from timestamptz not null,
    shown_until timestamptz           -- set when a successor begins to sign
);

-- A person's sign-in at an application: what its codes and tokens hang on. Ending it ends them all.
create table sso_grant (
    id bigint generated always as identity primary key,
    sid text not null unique,         -- names the sign-in to the application
    application_id bigint not null references application (id),
    account_id bigint not null references account (id),
    session_id bigint references session (id) on delete set null, -- gone: the session has ended
    online boolean not null,          -- ends with the session
    scopes text[] not null,
    factor text not null,
    auth_time timestamptz not null,
    nonce text,
    person_id bigint,                 -- bound to this person's record
    encounter text not null default '',
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text not null default '',
    told_at timestamptz               -- the application was told that the session ended, or need not be
);
create index sso_grant_account on sso_grant (account_id, id);
create index sso_grant_application on sso_grant (application_id, id);
create index sso_grant_session on sso_grant (session_id) where session_id is not null;
create index sso_grant_untold on sso_grant (id) where told_at is null;
create index sso_grant_expires on sso_grant (expires_at);

create table sso_code (
    digest bytea primary key,         -- SHA-256
    grant_id bigint not null references sso_grant (id) on delete cascade,
    redirect_uri text not null,
    challenge text not null,          -- PKCE S256
    expires_at timestamptz not null,
    used_at timestamptz
);
create index sso_code_grant on sso_code (grant_id);
create index sso_code_expires on sso_code (expires_at);

create table sso_token (
    digest bytea primary key,         -- SHA-256
    kind text not null check (kind in ('access', 'refresh')),
    grant_id bigint references sso_grant (id) on delete cascade,
    client_id bigint references client (id),
    scopes text[] not null,
    certificate bytea,                -- SHA-256 of the client certificate that must come with it (RFC 8705)
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,              -- refresh: exchanged for its successor
    check ((grant_id is null) <> (client_id is null))
);
create index sso_token_grant on sso_token (grant_id) where grant_id is not null;
create index sso_token_client on sso_token (client_id) where client_id is not null;
create index sso_token_expires on sso_token (expires_at);

-- Client assertions already used (RFC 7523): each serves once. Kept until it has expired anyhow.
create table sso_assertion (
    issuer text not null,
    jti text not null,
    expires_at timestamptz not null,
    primary key (issuer, jti)
);
create index sso_assertion_expires on sso_assertion (expires_at);

-- Launches from the record (SMART App Launch): which person the application is to open.
create table sso_launch (
    digest bytea primary key,         -- SHA-256
    application_id bigint not null references application (id),
    account_id bigint not null references account (id),
    person_id bigint not null,
    encounter text not null default '',
    expires_at timestamptz not null
);
create index sso_launch_expires on sso_launch (expires_at);

-- A provider that an institution runs for its own staff and that the platform trusts for them.
create table partner (
    id bigint generated always as identity primary key,
    institution_id int not null,
    name text not null,               -- on the sign-in page
    issuer text not null,
    client_id text not null,
    sealed_secret bytea,              -- none: public client
    staff_claim text not null,        -- the claim that holds the staff number
    authority text not null default '', -- PEM of the authority that signs its server certificate; empty: the public ones
    state text not null default 'open' check (state in ('open', 'closed')),
    created_by text not null,
    created_at timestamptz not null,
    last_used_at timestamptz
);
create index partner_institution on partner (institution_id);

-- Sign-ins under way at a partner.
create table partner_attempt (
    digest bytea primary key,         -- SHA-256 of the state, which is also in the browser's cookie
    partner_id bigint not null references partner (id) on delete cascade,
    nonce text not null,
    verifier text not null,
    next text not null,
    expires_at timestamptz not null
);
create index partner_attempt_expires on partner_attempt (expires_at);
