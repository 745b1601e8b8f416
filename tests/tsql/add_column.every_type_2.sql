ALTER TABLE [dbo].[every_type] ADD [c2] bit NULL;
