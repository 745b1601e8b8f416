DECLARE @seen int; SELECT @seen = COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM [dbo].[follows]) AS t;
