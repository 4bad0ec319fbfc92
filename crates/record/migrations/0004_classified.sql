-- How far the entries of each data set have been classified by the present definitions of sensitive content.

create table record_classified (
    dataset smallint primary key,
    digest text not null,            -- of catalog/sensitivity.toml
    after bigint not null,           -- the last fact looked at
    done boolean not null
);
