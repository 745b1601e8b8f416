DECLARE @seen int; SELECT @seen = COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM [sales].[訂單]) AS t;
