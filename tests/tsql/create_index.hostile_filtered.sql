CREATE NONCLUSTERED INDEX [it's "odd"; DROP TABLE x --] ON [a]]b.c].[it's "odd"; DROP TABLE x --] ([k]]] DESC) INCLUDE (['when']) WHERE ([a]>(0) AND [b] IS NOT NULL) WITH (DATA_COMPRESSION = PAGE);
