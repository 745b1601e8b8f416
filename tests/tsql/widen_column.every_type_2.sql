ALTER TABLE [dbo].[every_type] ALTER COLUMN [c2] bit NULL;
