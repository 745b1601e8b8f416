CREATE NONCLUSTERED COLUMNSTORE INDEX [it's "odd"; DROP TABLE x --] ON [a]]b.c].[it's "odd"; DROP TABLE x --] (['when']) WHERE ([a]>(0) AND [b] IS NOT NULL);
