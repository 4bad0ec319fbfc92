-- For the list of a day's batches; times of receipt grow with the numbers of batches.
create index batch_received on batch using brin (received_at);
