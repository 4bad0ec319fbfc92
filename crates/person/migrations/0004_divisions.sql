-- People follow their divisions: which rows an operation on divisions moved, so that its undo is exact.

create table person_division_note (
    operation_id bigint not null,
    kind smallint not null,          -- 1 person, 2 identity record
    row_id bigint not null,
    from_code text not null,
    to_code text not null,
    primary key (operation_id, kind, row_id)
);

create index person_region on person (region, id);
create index identity_record_region on identity_record (region, id);
