ALTER TABLE [sales].[訂單] ALTER COLUMN [modified] datetime2(7) NULL;
