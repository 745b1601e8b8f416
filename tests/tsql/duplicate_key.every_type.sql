SELECT TOP (1) CONCAT(N'', CONVERT(nvarchar(100), [c1])) AS example, COUNT_BIG(*) AS row_count FROM [dbo].[every_type] GROUP BY [c1] HAVING COUNT_BIG(*) > 1;
