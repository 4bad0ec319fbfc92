-- Secrets of one-time codes are sealed texts, so that the job of the keys writes them anew.
delete from totp;
alter table totp alter column secret type text using '';
