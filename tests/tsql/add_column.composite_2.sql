ALTER TABLE [sales].[訂單] ADD [modified] datetime2(7) NULL;
