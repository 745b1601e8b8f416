ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ADD CONSTRAINT [PK_it's "odd"; DROP TABLE x --] DEFAULT (getutcdate()) FOR ['when'];
