-- Accounts, posts and teams follow their divisions: what an operation on divisions moved, so that its undo is exact.

create table account_division_note (
    operation_id bigint not null,
    kind smallint not null,          -- 1 account, 2 role at a post, 3 team, 4 exception
    row_id bigint not null,
    from_code text not null,
    to_code text not null,
    primary key (operation_id, kind, row_id)
);
