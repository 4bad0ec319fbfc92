-- Notices for holders of a right at one institution, e.g. its engineers.
alter table notice add column institution_id int;
alter table notice add constraint notice_one_ground check (
    account_id is not null or region is not null or institution_id is not null);
