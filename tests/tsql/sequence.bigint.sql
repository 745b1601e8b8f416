-- @P1 nvarchar "42"
-- @P2 nvarchar "[dbo].[orders]"
SET LOCK_TIMEOUT 60000;
DECLARE @hi bigint, @last bigint = CONVERT(bigint, @P1);
SELECT @hi = MAX([order_id]) FROM [dbo].[orders] WITH (TABLOCK, READCOMMITTEDLOCK);
SELECT CONVERT(nvarchar(40), @hi) AS hi, CASE WHEN @last > @hi OR (@hi IS NULL AND @last IS NOT NULL) THEN 1 ELSE 0 END AS behind, CASE WHEN IDENT_CURRENT(@P2) >= @last THEN 1 WHEN IDENT_CURRENT(@P2) < @last THEN 0 END AS handed_out;
SET LOCK_TIMEOUT -1;
