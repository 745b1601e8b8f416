ALTER TABLE [dbo].[follows] ADD [b] int NULL;
