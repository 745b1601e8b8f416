-- @P1 nvarchar "[dbo].[it's \"odd\"; DROP TABLE x --]]]"
-- @P2 nvarchar "2024-05-02T10:00:00.123"
DECLARE @held int;
SELECT TOP (1) @held = 1 FROM [dbo].[it's "odd"; DROP TABLE x --]]] WITH (TABLOCK, HOLDLOCK);
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = OBJECT_ID(@P1) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P2) THROW 51010, N'the target table was recreated or altered', 1;
