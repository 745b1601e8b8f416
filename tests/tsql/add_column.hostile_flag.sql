ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ADD [is]]deleted] bit NOT NULL DEFAULT 0;
