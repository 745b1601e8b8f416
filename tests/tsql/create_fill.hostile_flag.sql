CREATE TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] (
    [k]]] int NOT NULL,
    ['when'] datetime NULL,
    [[_rank]]] int NULL,
    [_op] nvarchar(max) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [is]]deleted] bit NOT NULL DEFAULT 0
);
