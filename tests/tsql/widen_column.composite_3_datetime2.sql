ALTER TABLE [sales].[訂單] ALTER COLUMN [at] datetime2(3) NOT NULL; ALTER TABLE [sales].[訂單] ALTER COLUMN [at] datetime2(7) NOT NULL;
