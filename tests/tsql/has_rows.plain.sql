SELECT TOP (1) 1 AS found FROM [dbo].[orders];
