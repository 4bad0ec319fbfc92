-- Numbers, telephones and addresses are encrypted; what finds them are blind indexes (keyed hashes).
alter table person add column citizen_blind bytea;
alter table identity_record
    add column citizen_blind bytea,
    add column credential_blind bytea,
    add column card_blind bytea,
    add column phone_blind bytea;

drop index person_citizen;
drop index identity_record_citizen;
drop index identity_record_phone;
drop index identity_record_card;
drop index identity_record_credential;

-- One citizen number belongs to at most one person; also what makes two simultaneous registrations one person.
create unique index person_citizen_blind on person (citizen_blind) where citizen_blind is not null;
create index identity_record_citizen_blind on identity_record (citizen_blind) where citizen_blind is not null;
create index identity_record_credential_blind on identity_record (credential_blind)
    where credential_blind is not null;
create index identity_record_card_blind on identity_record (card_blind) where card_blind is not null;
create index identity_record_phone_blind on identity_record (phone_blind) where phone_blind is not null;

-- What was written plain is found too until the job has encrypted it; these are empty afterwards.
create unique index person_citizen_plain on person (citizen_id)
    where citizen_id is not null and citizen_blind is null;
create index identity_record_citizen_plain on identity_record (citizen_id)
    where citizen_id is not null and citizen_blind is null;
create index identity_record_credential_plain on identity_record (credential_no)
    where credential_no <> '' and credential_blind is null;
create index identity_record_card_plain on identity_record (card_no) where card_no <> '' and card_blind is null;
create index identity_record_phone_plain on identity_record (phone) where phone <> '' and phone_blind is null;
