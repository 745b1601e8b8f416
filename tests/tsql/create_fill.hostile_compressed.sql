CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] (
    [k]]] int NOT NULL,
    ['when'] datetime NULL,
    [[_rank]]] int NULL,
    [_op] nvarchar(max) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL
) WITH (DATA_COMPRESSION = PAGE);
