SELECT CONVERT(bigint, MIN([k]]])) AS low, CONVERT(bigint, MAX([k]]])) AS high FROM [a]]b.c].[it's "odd"; DROP TABLE x --];
