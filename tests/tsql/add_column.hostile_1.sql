ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ADD [k]]] int NULL;
