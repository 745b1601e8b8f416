ALTER TABLE [sales].[訂單] ADD [is]]deleted] bit NOT NULL DEFAULT 0;
