CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] (
    [order_id] int IDENTITY(1000,-5) NOT NULL,
    [rv] binary(8) NOT NULL,
    [quantity] bigint NULL,
    [note] varchar(200) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL
) WITH (DATA_COMPRESSION = PAGE);
