ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ADD ['when'] datetime NULL;
