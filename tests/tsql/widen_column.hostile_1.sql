ALTER TABLE [a]]b.c].[it's "odd"; DROP TABLE x --] ALTER COLUMN [k]]] int NULL;
