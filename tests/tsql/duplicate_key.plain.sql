SELECT TOP (1) CONCAT(N'', CONVERT(nvarchar(100), [order_id])) AS example, COUNT_BIG(*) AS row_count FROM [dbo].[orders] GROUP BY [order_id] HAVING COUNT_BIG(*) > 1;
