ALTER TABLE [dbo].[every_type] ADD [is]]deleted] bit NOT NULL DEFAULT 0;
