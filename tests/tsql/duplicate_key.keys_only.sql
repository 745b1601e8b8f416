SELECT TOP (1) CONCAT(N'', CONVERT(nvarchar(100), [a]), N', ', CONVERT(nvarchar(100), [b])) AS example, COUNT_BIG(*) AS row_count FROM [dbo].[follows] GROUP BY [a], [b] HAVING COUNT_BIG(*) > 1;
