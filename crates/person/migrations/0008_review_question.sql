-- What the review desk asks an institution about its registration, and what it answered.
create table review_question (
    id bigint generated always as identity primary key,
    task_id bigint not null references review_task (id),
    identity_id bigint not null references identity_record (id),
    institution_id int not null,
    question text not null,
    asked_by bigint,
    asked_name text not null,
    asked_at timestamptz not null,
    -- right: as registered; wrong: registered wrongly; unknown: cannot be told any more
    answer text not null default '' check (answer in ('', 'right', 'wrong', 'unknown')),
    note text not null default '',
    answered_name text not null default '',
    answered_at timestamptz
);
create index review_question_task on review_question (task_id, id);
create index review_question_open on review_question (institution_id, id) where answered_at is null;
-- The time line of persons at whom something was undone or decided is read by person and moment.
create index if not exists identity_event_to on identity_event (to_person, id);
