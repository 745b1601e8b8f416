ALTER TABLE [dbo].[every_type] ALTER COLUMN [c15] datetime2(3) NOT NULL; ALTER TABLE [dbo].[every_type] ALTER COLUMN [c15] datetime2(7) NOT NULL;
