SELECT TOP (1) 1 AS found FROM [sales].[訂單];
