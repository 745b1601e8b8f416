CREATE UNIQUE CLUSTERED INDEX [it's "odd"; DROP TABLE x --] ON [a]]b.c].[it's "odd"; DROP TABLE x --] ([k]]] DESC);
