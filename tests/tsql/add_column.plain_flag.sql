ALTER TABLE [dbo].[orders] ADD [is]]deleted] bit NOT NULL DEFAULT 0;
