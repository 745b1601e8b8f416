ALTER TABLE [dbo].[follows] ALTER COLUMN [b] int NULL;
