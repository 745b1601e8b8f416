ALTER TABLE [dbo].[follows] ADD [is]]deleted] bit NOT NULL DEFAULT 0;
