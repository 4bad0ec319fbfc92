-- One death is recorded once: of an identity record at most one that was not taken back. Where two people recorded one at the
-- same instant, the one whose day was written into the record stays, of several the latest; the others are taken back as
-- doubles, which changes no day of death.
update person_death d
set withdrawn_by = '平台', withdrawn_at = now(), withdrawn_why = '同一死亡重复登记，升级时合为一条'
from (
    select x.id, row_number() over (partition by x.identity_id
        order by coalesce(x.died_on = r.died_on, false) desc, x.id desc) as place
    from person_death x join identity_record r on r.id = x.identity_id
    where x.withdrawn_at is null) o
where d.id = o.id and o.place > 1;
create unique index person_death_open on person_death (identity_id) where withdrawn_at is null;
