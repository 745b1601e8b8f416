ALTER TABLE [dbo].[every_type] ADD [c1] uniqueidentifier NULL;
