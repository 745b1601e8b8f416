CREATE TABLE [sales].[訂單] (
    [區域] nvarchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NOT NULL,
    [modified] datetime2(7) NOT NULL,
    [at] datetime NOT NULL,
    [code] varchar(20) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [is]]deleted] bit NOT NULL DEFAULT 0
);
