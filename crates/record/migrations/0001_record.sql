-- The index of the lifelong record: one entry for each fact that is an event or a point of the summary.

create table record_entry (
    identity_id bigint not null,
    occurred_at timestamp not null,
    dataset smallint not null,
    fact_id bigint not null,
    institution_id int not null,
    timeline boolean not null,       -- false: only in the summary
    abnormal boolean not null,
    department text not null,
    disease text not null,           -- ICD-10, for filtering
    title text not null,
    detail text not null
);
create index record_entry_identity on record_entry (identity_id, occurred_at desc);
