SELECT TOP (1) 1 AS found FROM [dbo].[every_type];
