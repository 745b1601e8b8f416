ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ALTER COLUMN ['when'] datetime2(3) NOT NULL; ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ALTER COLUMN ['when'] datetime2(7) NOT NULL;
