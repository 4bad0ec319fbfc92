-- Keys, wrapped by the master key; how far re-encryption has come; signatures of documents.

create table protect_key (
    id int generated always as identity primary key,   -- what ciphertext names the key by: ~<id>.<base64>
    purpose text not null check (purpose in ('data', 'blind', 'sign')),
    name text not null,              -- domain (identity, facts, secrets, objects), or name of a signer
    version int not null,
    algorithm text not null,         -- aes-256-gcm, sm4-gcm, hmac-sha-256, hmac-sm3, ed25519, sm2-sm3
    state text not null check (state in ('coming', 'active', 'reading', 'retired')),
    master text not null,            -- which master key wraps it
    wrapped bytea not null,
    public_key bytea,                -- of a signing key
    key_id text,                     -- of a signing key: what signatures name it by
    created_at timestamptz not null,
    retired_at timestamptz,
    unique (purpose, name, version)
);
create unique index protect_key_active on protect_key (purpose, name) where state = 'active';

-- How far the table has been brought to the active keys; begun anew when they change.
create table protect_sweep (
    table_name text primary key,
    target text not null,            -- the active keys that it is brought to
    page bigint not null,            -- pages of the table that are done
    pages bigint not null,           -- pages when the sweep began
    changed bigint not null,         -- values written anew
    done boolean not null default false,
    updated_at timestamptz not null
);

-- Who signed what, when, with which key. The digest is of the content in the form that the part which signs defines.
create table signature (
    id bigint generated always as identity primary key,
    object_kind text not null,       -- e.g. batch.receipt, document
    object_id bigint not null,
    digest bytea not null,           -- SHA-256 or SM3, after the algorithm
    statement text not null,         -- the very text that was signed
    account_id bigint,
    signer_name text not null,
    institution_id int,
    institution_name text not null default '',
    signed_at timestamptz not null,
    algorithm text not null,
    key_id text not null,
    signature bytea not null
);
create index signature_object on signature (object_kind, object_id, id);
