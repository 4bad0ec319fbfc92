-- Which batches brought rows of a day: the way from a day of the quality monitor to its batches and, through the
-- index of fact tables by batch, to its rows.
create table batch_day (
    institution_id int not null,
    dataset smallint not null,
    day date not null,               -- of occurrence, as in quality_day
    batch_id bigint not null,
    received bigint not null,
    rejected bigint not null,
    primary key (institution_id, day, dataset, batch_id)
);

-- For the desk: failed batches are few among many.
create index batch_failed on batch (received_at) where state = 'failed';
