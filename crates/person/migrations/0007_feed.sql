-- The change feed: institutions ask for what happened after a place in the order of commits. Identifiers alone do not do,
-- for a transaction may commit after a later one that drew a greater number.

alter table identity_event add column xid xid8;
alter table identity_event alter column xid set default pg_current_xact_id();
create index identity_event_feed on identity_event (xid, id) where xid is not null;
