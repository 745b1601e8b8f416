ALTER TABLE [dbo].[every_type] ALTER COLUMN [c1] uniqueidentifier NULL;
