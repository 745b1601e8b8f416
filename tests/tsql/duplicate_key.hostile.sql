SELECT TOP (1) CONCAT(N'', CONVERT(nvarchar(100), [k]]])) AS example, COUNT_BIG(*) AS row_count FROM [a]]b.c].[it's "odd"; DROP TABLE x --] GROUP BY [k]]] HAVING COUNT_BIG(*) > 1;
