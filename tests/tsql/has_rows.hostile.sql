SELECT TOP (1) 1 AS found FROM [a]]b.c].[it's "odd"; DROP TABLE x --];
