CREATE TABLE [dbo].[orders] (
    [order_id] int IDENTITY(1,1) NOT NULL,
    [rv] binary(8) NOT NULL,
    [quantity] bigint NULL,
    [note] varchar(200) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [is]]deleted] bit NOT NULL DEFAULT 0
);
