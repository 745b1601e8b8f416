CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] (
    [區域] nvarchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NOT NULL,
    [modified] datetime2(7) NOT NULL,
    [at] datetime NOT NULL,
    [code] varchar(20) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL
) WITH (DATA_COMPRESSION = PAGE);
