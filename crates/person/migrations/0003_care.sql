-- Who cares for whom: the ground of the spans "team" and "own patients". Hangs on the identity record, as facts do, so
-- that it follows when people are merged or split.

create table care_relation (
    identity_id bigint not null references identity_record (id),
    institution_id int not null,
    staff_no text not null default '',  -- number of the member of staff there; '': the institution as a whole
    team_id bigint not null default 0,  -- team of identity; 0: none
    kind text not null check (kind in ('visit', 'contract', 'referral', 'exception')),
    since date not null,
    until date,                         -- visit: day of the newest; others: last day, null while it has no end
    primary key (identity_id, institution_id, staff_no, team_id, kind)
);
create index care_relation_staff on care_relation (institution_id, staff_no, identity_id) where staff_no <> '';
create index care_relation_team on care_relation (team_id, identity_id) where team_id <> 0;
