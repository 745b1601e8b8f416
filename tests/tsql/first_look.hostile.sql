DECLARE @seen int; SELECT @seen = COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM [a]]b.c].[it's "odd"; DROP TABLE x --]) AS t;
