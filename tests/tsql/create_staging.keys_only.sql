CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] (
    [a] int NOT NULL,
    [b] int NOT NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_seg] int NOT NULL
);
