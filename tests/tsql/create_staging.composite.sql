CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] (
    [區域] nvarchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NOT NULL,
    [modified] datetime2(7) NULL,
    [at] datetime NOT NULL,
    [code] nvarchar(20) COLLATE Chinese_Taiwan_Stroke_CI_AS NOT NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_seg] int NOT NULL
);
