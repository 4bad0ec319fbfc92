-- Running number of temporary numbers for people who have none yet.
create sequence temporary_number;
