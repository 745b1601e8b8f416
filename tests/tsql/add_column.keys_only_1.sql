ALTER TABLE [dbo].[follows] ADD [a] int NULL;
