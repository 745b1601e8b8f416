ALTER TABLE [sales].[訂單] ALTER COLUMN [區域] nvarchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL;
