-- Facts that the platform itself corrects (an approved map of codes): no batch ended the earlier version, a reason did.

alter table fact_history
    alter column ended_by_batch drop not null,
    add column reason text;               -- in words, for who reads the history; null: a batch replaced or withdrew it
alter table fact_history
    add constraint fact_history_cause check (ended_by_batch is not null or reason is not null) not valid;
