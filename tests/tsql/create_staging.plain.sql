CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] (
    [order_id] int NOT NULL,
    [rv] binary(8) NULL,
    [quantity] bigint NULL,
    [note] nvarchar(200) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_seg] int NOT NULL
);
