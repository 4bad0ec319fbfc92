-- Why somebody opened the record of a person who is not in their care; holds for a while.

create table record_purpose (
    viewer text not null,            -- the account, or the embedded member of staff with institution
    person_id bigint not null,
    code text not null,              -- care, consultation, emergency, public_health, quality
    note text not null,
    expires_at timestamptz not null,
    primary key (viewer, person_id)
);
