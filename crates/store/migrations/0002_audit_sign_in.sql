-- For the desk, which everybody sees first: one's own last sign-ins among all entries.
create index audit_entry_sign_in on audit_entry (object_id, id desc) where act = 'sign_in' and object_kind = 'account';
