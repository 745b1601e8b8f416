ALTER TABLE [dbo].[follows] ALTER COLUMN [a] int NULL;
