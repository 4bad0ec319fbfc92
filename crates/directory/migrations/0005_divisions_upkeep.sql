-- Divisions that a county adds by itself are filed as operations as well, so that they have a history and an undo.

alter table division_operation drop constraint division_operation_kind_check;
alter table division_operation add constraint division_operation_kind_check
    check (kind in ('rename', 'merge', 'split', 'move', 'abolish', 'adopt', 'add'));
create index division_operation_touched on division_operation using gin (plan jsonb_path_ops);
